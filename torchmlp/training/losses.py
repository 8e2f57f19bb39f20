"""Losses: name -> output activation, residual, value per row, and the targets it is defined for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from torchmlp.training.callable_loss import CallableLoss
from torchmlp.training.compute import one_thread
from torchmlp.training.inputs import as_tensor

BLOCK_SIZE = 1 << 18  # outputs that `row_losses` activates at a time


def _output_minus_target(outputs, y, out):
    torch.sub(outputs, y, out=out)


@dataclass(frozen=True)
class Loss:
    """A loss and the output activation that belongs to it.

    Attributes
    ----------
    out_activation : str
        Key of `OUTPUT_ACTIVATIONS`.
    values : callable (outputs, y) -> tensor of shape (n_rows,)
        Loss of each row, for activated outputs. The losses of more than two classes take codes
        y of shape (n_rows, 1), the others targets of shape (n_rows, n_outputs).
    residual : callable (outputs, y, out) -> None
        Write d loss / dz, the derivative with respect to the raw outputs z. For a canonical pair
        of loss and output activation, output - y.
    averages_outputs : bool
        Whether `values` averages over the outputs where `residual` does not.
    lowest : float
        Smallest target.
    open_range : bool
        Whether that target itself is not allowed.
    recordable : bool
        Whether a graph of the device may hold it: not what users write, which may wait for the
        device, or do something else at every call.
    """

    out_activation: str
    values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    residual: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None] = _output_minus_target
    averages_outputs: bool = False
    lowest: float = -math.inf
    open_range: bool = False
    recordable: bool = True


def _softmax_(z):
    # torch's kernel for a short last dimension runs element by element: with ten classes it
    # takes three to five times as long as the other dimension does, transposing included.
    columns = z.t()
    if columns.is_contiguous():
        torch.softmax(columns, 0, out=columns)
    elif z.shape[1] < 16 and z.device.type == "cpu":
        z.copy_(torch.softmax(columns.contiguous(), 0).t())
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
    with one_thread():
        OUTPUT_ACTIVATIONS[out_activation](torch.from_numpy(raw))
    return raw


def row_losses(loss, raw, y):
    """Return the loss of each row, a block of rows at a time.

    Parameters
    ----------
    loss : Loss
    raw : ndarray of shape (n_rows, n_outputs)
        Raw outputs.
    y : ndarray of shape (n_rows, n_outputs), or (n_rows, 1) for class codes

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    losses = np.empty(len(raw), raw.dtype)
    n_block = max(1, BLOCK_SIZE // raw.shape[1])
    for start in range(0, len(raw), n_block):
        rows = slice(start, start + n_block)
        outputs = torch.from_numpy(activate_outputs(raw[rows].copy(), loss.out_activation))
        targets = as_tensor(y[rows])
        if targets.dtype != torch.int64:
            targets = targets.to(outputs.dtype)
        losses[rows] = loss.values(outputs, targets).numpy()
    return losses


def _clipped(probability):
    # scikit-learn's bounds: a loss of at most 36 per row in float64.
    eps = torch.finfo(probability.dtype).eps
    return probability.clamp(eps, 1 - eps)


def _log_loss(probabilities, codes):
    return _clipped(probabilities.gather(1, codes)).log_().neg_().squeeze(1)


def _log_loss_residual(probabilities, codes, out):
    if out.dtype == probabilities.dtype:
        torch.scatter(probabilities, 1, codes, -1.0, reduce="add", out=out)
    else:  # rounded once, after the subtraction
        out.copy_(torch.scatter(probabilities, 1, codes, -1.0, reduce="add"))


def _binary_log_loss(outputs, y):
    # The probability of what came out: p where y is 1, and 1 - p where it is 0. (torch's own
    # loss fails where a diverging fit has NaN.)
    p = _clipped(outputs)
    return torch.lerp(1 - p, p, y).log_().sum(1).neg_()


def _half_squared_error(outputs, y):
    return (outputs - y).square_().mean(1).mul_(0.5)


def _half_poisson_deviance(outputs, y):
    return torch.xlogy(y, y / outputs).sub_(y).add_(outputs).sum(1)


def _half_gamma_deviance(outputs, y):
    ratio = y / outputs
    return (ratio - ratio.log() - 1).sum(1)


def _gamma_residual(outputs, y, out):
    out.copy_(1 - y / outputs)


def _absolute_error(outputs, y):
    return (outputs - y).abs_().sum(1)


def _absolute_residual(outputs, y, out):
    out.copy_((outputs - y).sign_())


def _huber(outputs, y):
    return torch.nn.functional.huber_loss(outputs, y, reduction="none").sum(1)


def _huber_residual(outputs, y, out):
    out.copy_((outputs - y).clamp_(-1, 1))


def quantile_loss(quantile):
    """Return the pinball loss, which a prediction of this quantile minimises.

    (q - 1[y < p]) (y - p) for a target y and a prediction p (Koenker and Bassett, Econometrica
    1978).
    """

    def values(outputs, y):
        error = y - outputs
        return torch.maximum(quantile * error, (quantile - 1) * error).sum(1)

    def residual(outputs, y, out):
        out.copy_((outputs > y) * 1.0 - quantile * (outputs != y))

    return Loss("identity", values, residual)


def _signed(y):
    return y * 2 - 1


def _hinge(outputs, y):
    return (1 - _signed(y) * outputs).clamp_min_(0).sum(1)


def _hinge_residual(outputs, y, out):
    sign = _signed(y)
    out.copy_(-sign * (sign * outputs < 1))


def _perceptron(outputs, y):
    return (-_signed(y) * outputs).clamp_min_(0).sum(1)


def _perceptron_residual(outputs, y, out):
    sign = _signed(y)
    out.copy_(-sign * (sign * outputs <= 0))


def _lead_of_rival(outputs, codes):
    """Return by how much the best wrong class leads the true one, and which it is."""
    rival, index = outputs.scatter(1, codes, -math.inf).max(1, keepdim=True)
    return rival - outputs.gather(1, codes), index


def _correct(wrong, rival, codes, out):
    """Write the derivative of the lead of the rival, in the rows that are wrong."""
    out.zero_().scatter_(1, codes, -1.0).scatter_(1, rival, 1.0).mul_(wrong)


def _multiclass_hinge(outputs, codes):
    lead, _ = _lead_of_rival(outputs, codes)
    return lead.add_(1).clamp_min_(0).squeeze(1)


def _multiclass_hinge_residual(outputs, codes, out):
    lead, rival = _lead_of_rival(outputs, codes)
    _correct(lead > -1, rival, codes, out)


def _multiclass_perceptron(outputs, codes):
    lead, _ = _lead_of_rival(outputs, codes)
    return lead.clamp_min_(0).squeeze(1)


def _multiclass_perceptron_residual(outputs, codes, out):
    lead, rival = _lead_of_rival(outputs, codes)
    _correct(lead >= 0, rival, codes, out)


LOSSES = {
    "log_loss": Loss("softmax", _log_loss, _log_loss_residual),
    "binary_log_loss": Loss("logistic", _binary_log_loss),
    "hinge": Loss("identity", _hinge, _hinge_residual),
    # Crammer and Singer, Journal of Machine Learning Research 2, 2001.
    "multiclass_hinge": Loss("identity", _multiclass_hinge, _multiclass_hinge_residual),
    "perceptron": Loss("identity", _perceptron, _perceptron_residual),
    "multiclass_perceptron": Loss(
        "identity", _multiclass_perceptron, _multiclass_perceptron_residual
    ),
    "squared_error": Loss("identity", _half_squared_error, averages_outputs=True),
    "absolute_error": Loss("identity", _absolute_error, _absolute_residual),
    "huber": Loss("identity", _huber, _huber_residual),
    "quantile": quantile_loss(0.5),
    "poisson": Loss("exp", _half_poisson_deviance, lowest=0.0),
    "gamma": Loss("exp", _half_gamma_deviance, _gamma_residual, lowest=0.0, open_range=True),
}


def resolve_loss(loss, quantile=0.5):
    """Return the `Loss` for a key of `LOSSES` or a callable.

    Parameters
    ----------
    loss : str or callable (raw_outputs, y) -> tensor of shape (n_rows,)
        A callable is differentiated by autograd, with respect to the raw outputs only.
    quantile : float
        For "quantile".
    """
    if callable(loss):
        own = CallableLoss(loss)
        return Loss("identity", own.values, own.residual, recordable=False)
    return quantile_loss(quantile) if loss == "quantile" else LOSSES[loss]
