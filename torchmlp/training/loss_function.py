"""The class `Loss`, which describes a loss function, and functions to create its parts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from torchmlp.training.activations import Call


def _output_minus_target(outputs, y, out):
    return [partial(torch.sub, outputs, y, out=out)]


def as_call(function):
    """Return a `Loss.gradient` for a function that writes the gradient to its last argument."""
    return lambda outputs, y, out: [partial(function, outputs, y, out)]


def weighted_mean(y, weights):
    """Return the mean of each column of y, repeated in each row, as a tensor."""
    return torch.from_numpy(np.average(y, axis=0, weights=weights)).expand(y.shape)


def class_frequencies(codes, weights):
    """Return the share of each class in the codes, repeated in each row, as a tensor."""
    counts = np.bincount(codes[:, 0], weights)
    return torch.from_numpy(counts / counts.sum()).expand(len(codes), -1)


@dataclass(frozen=True)
class Loss:
    """A loss function with its output activation.

    Tensors have additional leading dimensions for a stack of networks.

    Attributes
    ----------
    out_activation : str
        Key of `output_activations.OUTPUT_ACTIVATIONS`, the output activation for predictions.
    per_sample : callable (outputs, y) -> tensor of shape (n_rows,)
        Returns the loss of each sample, given the outputs after the output activation. y has shape
        (n_rows, 1) and contains class codes for multiclass losses. For other losses it has shape
        (n_rows, n_targets). The number of outputs is that of the targets, except for the losses
        "gaussian" and "quantile".
    gradient : callable (outputs, y, out) -> list of Call
        Binds the operations that write the gradient of `per_sample` with respect to the raw outputs
        to `out`, given the outputs after the output activation. The default is ``outputs - y``,
        which holds if the output activation is the inverse of the canonical link.
    raw_outputs : {"targets", "log_targets", "means_and_log_variances"}
        What the raw outputs predict.
    takes_raw_outputs : bool
        Whether `per_sample` and `gradient` get the raw outputs instead.
    averages_outputs : bool
        Whether `per_sample` averages the losses of the outputs, while `gradient` is that of their
        sum.
    lowest : float
        Lower bound of the targets.
    open_range : bool
        Whether the lower bound itself is excluded.
    capturable : bool
        Whether the operations can be captured in a CUDA graph. User-defined callables cannot,
        because they may synchronize with the device or do something different in each call.
    describe_not_finite : callable (raw_outputs, y) -> str, or None
        Describes the rows for which a user-defined loss or its gradient is not finite. Returns an
        empty string if there are none. None for the other losses.
    constant_outputs : callable (y, weights) -> tensor of shape (n_rows, n_outputs), or None
        Returns the outputs of a model that predicts the mean of the targets, or the frequencies of
        the classes, for every sample, given all targets as an array and the sample weights or None.
        None if no such prediction is known.
    adapted : callable (y, weights) -> Loss, or None
        Returns the loss for these training targets. None if it does not depend on them.
    """

    out_activation: str
    per_sample: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    gradient: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], list[Call]] = (
        _output_minus_target
    )
    raw_outputs: str = "targets"
    takes_raw_outputs: bool = False
    averages_outputs: bool = False
    lowest: float = -math.inf
    open_range: bool = False
    capturable: bool = True
    describe_not_finite: Callable[[torch.Tensor, torch.Tensor], str] | None = None
    constant_outputs: Callable[[np.ndarray, Any], torch.Tensor] | None = None
    adapted: Callable[[np.ndarray, Any], "Loss"] | None = None

    @property
    def training_activation(self):
        """Output activation before `per_sample` and `gradient`."""
        return "identity" if self.takes_raw_outputs else self.out_activation

    def for_data(self, data):
        """Return the loss for the targets of a training `Dataset`."""
        return self if self.adapted is None else self.adapted(*data.targets_and_weights())
