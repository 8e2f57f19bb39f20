"""Output activations, which convert the raw outputs of a network to predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
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
    """

    forward: Callable[[torch.Tensor], list[Call]]
    modules: Sequence[Callable[[], nn.Module]]
    onnx: Callable[[Any, str], str]


OUTPUT_ACTIVATIONS = {
    "identity": OutputActivation(lambda z: [], [], lambda graph, raw: raw),
    "logistic": OutputActivation(
        lambda z: [partial(torch.sigmoid_, z)],
        [nn.Sigmoid],
        lambda graph, raw: graph("Sigmoid", raw),
    ),
    "softmax": OutputActivation(
        _softmax, [partial(nn.Softmax, dim=1)], lambda graph, raw: graph("Softmax", raw, axis=1)
    ),
    "exp": OutputActivation(
        lambda z: [partial(torch.exp_, z)],
        [partial(Apply, torch.exp)],
        lambda graph, raw: graph("Exp", raw),
    ),
}


def activate_outputs(raw, out_activation):
    """Apply an output activation to an array of raw outputs in place, and return it."""
    with one_thread():
        for call in OUTPUT_ACTIVATIONS[out_activation].forward(torch.from_numpy(raw)):
            call()
    return raw
