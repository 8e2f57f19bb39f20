"""Losses: name -> output activation, residual and value per row.

Each pairs a loss with its canonical output activation, so that the gradient with respect to
the raw output z is one subtraction: d loss / dz = output - y.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Loss:
    """A loss and the output activation that belongs to it.

    Attributes
    ----------
    out_activation : str
        Key of `OUTPUT_ACTIVATIONS`.
    values : callable (outputs, y) -> tensor of shape (n_rows,)
        Loss of each row, summed or averaged over the outputs.
    averages_outputs : bool
        Whether `values` averages over the outputs, so that the gradient of `values` is
        (output - y) / n_outputs.
    """

    out_activation: str
    values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    averages_outputs: bool = False

    def residual(self, outputs, y, out):
        """Write d loss / dz, summed over the outputs, for canonical pairs of loss and link."""
        torch.sub(outputs, y, out=out)


def _softmax_(z):
    # torch's kernel for a short last dimension runs element by element: with ten classes it
    # takes three to five times as long as the other dimension does, transposing included.
    if z.shape[1] < 16 and z.device.type == "cpu":
        z.copy_(torch.softmax(z.t().contiguous(), 0).t())
    else:
        torch.softmax(z, 1, out=z)


OUTPUT_ACTIVATIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "identity": lambda z: None,
    "logistic": torch.sigmoid_,
    "softmax": _softmax_,
    "exp": torch.exp_,
}


def activate_outputs(raw, out_activation):
    """Apply an output activation to an array of raw outputs in place, and return it."""
    OUTPUT_ACTIVATIONS[out_activation](torch.from_numpy(raw))
    return raw


def _clipped(probability):
    # scikit-learn's bounds: a loss of at most 36 per row in float64.
    eps = torch.finfo(probability.dtype).eps
    return probability.clamp(eps, 1 - eps)


def _log_loss(outputs, y):
    return torch.xlogy(y, _clipped(outputs)).sum(1).neg_()


def _binary_log_loss(outputs, y):
    # The probability of what came out: p where y is 1, and 1 - p where it is 0.
    p = _clipped(outputs)
    return p.neg().add_(1).lerp_(p, y).log_().sum(1).neg_()


def _half_squared_error(outputs, y):
    return (outputs - y).square_().mean(1).mul_(0.5)


def _half_poisson_deviance(outputs, y):
    return torch.xlogy(y, y / outputs).sub_(y).add_(outputs).sum(1)


LOSSES = {
    "log_loss": Loss("softmax", _log_loss),
    "binary_log_loss": Loss("logistic", _binary_log_loss),
    "squared_error": Loss("identity", _half_squared_error, averages_outputs=True),
    "poisson": Loss("exp", _half_poisson_deviance),
}
