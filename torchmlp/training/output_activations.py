"""Output activations, which convert the raw outputs of a network to predictions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from torchmlp.training.activations import Apply, Call
from torchmlp.training.threads import one_thread


def _softmax(z):
    # torch's kernel for a short last dimension is not vectorized. With ten classes, the kernel for
    # the other dimension is three to five times as fast, including the transposition.
    columns = z.mT
    if columns.is_contiguous():
        return [partial(torch.softmax, columns, -2, out=columns)]
    if z.shape[-1] < 16 and z.device.type == "cpu":
        return [lambda: z.copy_(torch.softmax(columns.contiguous(), -2).mT)]
    return [partial(torch.softmax, z, -1, out=z)]


def _mean_of_sigmoids(z):
    log_sum, log_rest = (F.logsigmoid(signed).logsumexp(0) for signed in (z, -z))
    return log_sum - log_rest


@dataclass(frozen=True)
class OutputActivation:
    """An output activation, which converts raw outputs to predictions.

    Attributes
    ----------
    forward : callable (z) -> list of Call
        Binds the operations that apply the function in place to the raw outputs z, of shape
        (*stack, n_rows, n_outputs).
    modules : list of callables () -> torch.nn.Module
        Create the modules for `to_torch`.
    onnx : callable (graph, raw) -> str
        Adds the nodes of the function to a `torchmlp.export.onnx_converters.Graph` and returns the
        name of their output.
    mean : callable (z) -> tensor of shape (n_rows, n_outputs)
        Takes the raw outputs of several networks, of shape (n_members, n_rows, n_outputs). Returns
        the raw outputs for which the activation gives the mean of the predictions. It is computed
        from logarithms, so that probabilities close to 0 and 1 are exact.
    """

    forward: Callable[[torch.Tensor], list[Call]]
    modules: Sequence[Callable[[], nn.Module]]
    onnx: Callable[[Any, str], str]
    mean: Callable[[torch.Tensor], torch.Tensor]


OUTPUT_ACTIVATIONS = {
    "identity": OutputActivation(lambda z: [], [], lambda graph, raw: raw, lambda z: z.mean(0)),
    "logistic": OutputActivation(
        lambda z: [partial(torch.sigmoid_, z)],
        [nn.Sigmoid],
        lambda graph, raw: graph("Sigmoid", raw),
        _mean_of_sigmoids,
    ),
    "softmax": OutputActivation(
        _softmax,
        [partial(nn.Softmax, dim=1)],
        lambda graph, raw: graph("Softmax", raw, axis=1),
        lambda z: z.log_softmax(-1).logsumexp(0),
    ),
    "exp": OutputActivation(
        lambda z: [partial(torch.exp_, z)],
        [partial(Apply, torch.exp)],
        lambda graph, raw: graph("Exp", raw),
        lambda z: z.logsumexp(0) - math.log(len(z)),
    ),
}


def activate_outputs(raw, out_activation):
    """Apply an output activation to an array of raw outputs in place, and return it."""
    with one_thread():
        for call in OUTPUT_ACTIVATIONS[out_activation].forward(torch.from_numpy(raw)):
            call()
    return raw


def mean_outputs(raw, out_activation):
    """Return the raw outputs for the mean of the predictions of several networks.

    Parameters
    ----------
    raw : list of ndarrays of shape (n_rows, n_outputs)
        The raw outputs of each network.
    out_activation : str

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        Those of the network if there is only one. See `OutputActivation.mean`.
    """
    if len(raw) == 1:
        return raw[0]
    with one_thread():
        return OUTPUT_ACTIVATIONS[out_activation].mean(torch.from_numpy(np.stack(raw))).numpy()
