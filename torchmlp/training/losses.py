"""Loss functions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import torch

from torchmlp.training.activations import Call
from torchmlp.training.callable_loss import CallableLoss
from torchmlp.training.output_activations import activate_outputs
from torchmlp.training.products import as_tensor

MAX_BLOCK_OUTPUTS = 1 << 18  # number of raw outputs that `row_losses` processes at once
# The variance that `gaussian_loss` adds to the squared errors, relative to the variance of y.
VARIANCE_FLOOR = 1e-9


def _output_minus_target(outputs, y, out):
    return [partial(torch.sub, outputs, y, out=out)]


def _as_call(function):
    """Return a `Loss.gradient` for a function that writes the gradient to its last argument."""
    return lambda outputs, y, out: [partial(function, outputs, y, out)]


def _weighted_mean(y, weights):
    """Return the mean of each column of y, repeated in each row, as a tensor."""
    return torch.from_numpy(np.average(y, axis=0, weights=weights)).expand(y.shape)


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
        Whether `per_sample` averages over the outputs, while `gradient` is that of their sum.
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
    constant_outputs : callable (y, weights) -> tensor of shape (n_rows, n_outputs)
        Returns the outputs of a model that predicts the mean of the targets for every sample, given
        all targets as an array and the sample weights or None.
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
    constant_outputs: Callable[[np.ndarray, Any], torch.Tensor] = _weighted_mean
    adapted: Callable[[np.ndarray, Any], "Loss"] | None = None

    @property
    def training_activation(self):
        """Output activation before `per_sample` and `gradient`."""
        return "identity" if self.takes_raw_outputs else self.out_activation

    def for_data(self, data):
        """Return the loss for the targets of a training `Dataset`."""
        return self if self.adapted is None else self.adapted(*data.targets_and_weights())


def row_losses(loss, raw, y):
    """Return the loss of each sample, computed in blocks of rows.

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
    n_block = max(1, MAX_BLOCK_OUTPUTS // raw.shape[1])
    for start in range(0, len(raw), n_block):
        rows = slice(start, start + n_block)
        outputs = torch.from_numpy(activate_outputs(raw[rows].copy(), loss.training_activation))
        targets = as_tensor(y[rows])
        if targets.dtype != torch.int64:
            targets = targets.to(outputs.dtype)
        losses[rows] = loss.per_sample(outputs, targets).numpy()
    return losses


def _clip_(probability):
    # These are the bounds of scikit-learn. They limit the loss of a sample to 36 in float64.
    eps = torch.finfo(probability.dtype).eps
    return probability.clamp_(eps, 1 - eps)


def _log_loss(probabilities, codes):
    return _clip_(probabilities.gather(-1, codes)).log_().neg_().squeeze(-1)


def _log_loss_gradient(probabilities, codes, out):
    minus_one = torch.full_like(codes, -1, dtype=probabilities.dtype)
    if out.dtype == probabilities.dtype:
        return [partial(torch.scatter_add, probabilities, -1, codes, minus_one, out=out)]
    # If `out` is bfloat16, subtract in the higher precision and round the difference.
    return [lambda: out.copy_(probabilities.scatter_add(-1, codes, minus_one))]


def _binary_log_loss(outputs, y):
    # The probability of the true label: p if y is 1, and 1 - p if y is 0. (torch's
    # binary_cross_entropy raises an error for NaN, which a diverging fit produces.)
    p = _clip_(outputs.clone())
    return torch.lerp(1 - p, p, y).log_().sum(-1).neg_()


def _half_squared_error(outputs, y):
    return (outputs - y).square_().mean(-1).mul_(0.5)


def _half_poisson_deviance(outputs, y):
    return torch.xlogy(y, y / outputs).sub_(y).add_(outputs).sum(-1)


def _half_gamma_deviance(outputs, y):
    ratio = y / outputs
    return (ratio - ratio.log() - 1).sum(-1)


def _gamma_gradient(outputs, y, out):
    out.copy_(1 - y / outputs)


def _absolute_error(outputs, y):
    return (outputs - y).abs_().sum(-1)


def _absolute_gradient(outputs, y, out):
    out.copy_((outputs - y).sign_())


def _huber(outputs, y):
    return torch.nn.functional.huber_loss(outputs, y, reduction="none").sum(-1)


def _huber_gradient(outputs, y, out):
    out.copy_((outputs - y).clamp_(-1, 1))


def _constants(values):
    """Return a function that returns numbers as a tensor of the dtype and device of another tensor.

    The tensor is created once, because a captured CUDA graph cannot copy it from the host.
    """

    @cache
    def create(dtype, device):
        with torch.inference_mode(False):
            return torch.tensor(values, dtype=dtype, device=device)

    return lambda like: create(like.dtype, like.device)


@lru_cache  # fits with the same `Loss` object can be trained as one stack
def quantile_loss(quantiles):
    """Return the pinball loss, which is minimized by predicting quantiles.

    The loss is (q - 1[y < p]) (y - p) for a quantile q, a target y and a prediction p (Koenker and
    Bassett, Econometrica 46, 1978).

    Parameters
    ----------
    quantiles : float or tuple of float
        A float for one output per target, over which the loss is summed. A tuple for a single
        target and one output per quantile, over which the loss is averaged.
    """
    levels = _constants(quantiles)
    several = isinstance(quantiles, tuple)

    def per_sample(outputs, y):
        error, q = y - outputs, levels(outputs)
        losses = torch.maximum(q * error, (q - 1) * error)
        return losses.mean(-1) if several else losses.sum(-1)

    def gradient(outputs, y, out):
        q = levels(outputs)
        above, below = (outputs > y).to(outputs.dtype), (outputs < y).to(outputs.dtype)
        slope = above * (1 - q) - below * q
        out.copy_(slope / len(quantiles) if several else slope)

    return Loss("identity", per_sample, _as_call(gradient))


@lru_cache  # see `quantile_loss`
def gaussian_loss(floor):
    """Return the negative log-likelihood of a normal distribution (Nix and Weigend, ICNN 1994).

    The raw outputs are the mean m of each target, then the logarithm s of each variance. The loss
    is (log(2 pi) + s + ((y - m)**2 + floor) exp(-s)) / 2, summed over the targets. It is the
    expected loss of targets with additional noise of variance `floor`. For given errors it is
    minimized by their mean square plus `floor`, so it is bounded from below if all errors are zero.

    With the logarithm of the variance, instead of the deviation or its softplus, the curvature with
    respect to s is 1/2 at the minimum for any scale of y, and a change of that scale only shifts s.

    Parameters
    ----------
    floor : float or tuple of float
        The smallest variance of each target.
    """
    floors = _constants(floor)

    def parts(outputs, y):
        mean, log_variance = outputs.split(y.shape[-1], -1)
        error = mean - y
        return error, error.square() + floors(outputs), log_variance, torch.exp(-log_variance)

    def per_sample(outputs, y):
        _, square, log_variance, precision = parts(outputs, y)
        return (square.mul_(precision) + log_variance).add_(math.log(2 * math.pi)).sum(-1).mul_(0.5)

    def gradient(outputs, y, out):
        error, square, _, precision = parts(outputs, y)
        out.copy_(torch.cat([error * precision, 0.5 - square * precision / 2], -1))

    return Loss(
        "identity",
        per_sample,
        _as_call(gradient),
        raw_outputs="means_and_log_variances",
        constant_outputs=_mean_and_log_variance,
        adapted=_gaussian_loss_for,
    )


def _gaussian_loss_for(y, weights):
    """Return the `gaussian_loss` whose floor is small compared with the variance of the targets.

    For a constant target, it is small compared with its square, or with 1 if that is zero. It is
    rounded to a power of ten, which is usually the same for all splits of a cross-validation.
    """
    y = y.astype(np.float64)
    with np.errstate(over="ignore"):  # huge targets are reported when training diverges
        mean = np.average(y, axis=0, weights=weights)
        variance = np.average((y - mean) ** 2, axis=0, weights=weights)
        is_constant = variance <= 1e-24 * mean**2  # up to rounding errors
        scale = np.where(is_constant, np.where(mean == 0, 1.0, mean**2), variance)
    floor = np.maximum(VARIANCE_FLOOR * scale, np.finfo(np.float64).tiny)
    return gaussian_loss(tuple((10.0 ** np.floor(np.log10(floor))).tolist()))


def _mean_and_log_variance(y, weights):
    mean = _weighted_mean(y, weights)
    variance = _weighted_mean((torch.from_numpy(y) - mean).square().numpy(), weights)
    return torch.cat([mean, variance.log()], -1)


def _plus_minus_one(y):
    return y * 2 - 1


def _hinge(outputs, y):
    return (1 - _plus_minus_one(y) * outputs).clamp_min_(0).sum(-1)


def _hinge_gradient(outputs, y, out):
    sign = _plus_minus_one(y)
    out.copy_(-sign * (sign * outputs < 1))


def _perceptron(outputs, y):
    return (-_plus_minus_one(y) * outputs).clamp_min_(0).sum(-1)


def _perceptron_gradient(outputs, y, out):
    sign = _plus_minus_one(y)
    out.copy_(-sign * (sign * outputs <= 0))


def _negative_margin(outputs, codes):
    """Return (largest output of a wrong class) - (output of the true class), and that class."""
    rival, index = outputs.scatter(-1, codes, -math.inf).max(-1, keepdim=True)
    return rival - outputs.gather(-1, codes), index


def _write_margin_gradient(wrong, rival, codes, out):
    """Write the gradient of the negative margin for the samples in `wrong`, and 0 for others."""
    out.zero_().scatter_(-1, codes, -1.0).scatter_(-1, rival, 1.0).mul_(wrong)


def _multiclass_hinge(outputs, codes):
    negative_margin, _ = _negative_margin(outputs, codes)
    return negative_margin.add_(1).clamp_min_(0).squeeze(-1)


def _multiclass_hinge_gradient(outputs, codes, out):
    negative_margin, rival = _negative_margin(outputs, codes)
    _write_margin_gradient(negative_margin > -1, rival, codes, out)


def _multiclass_perceptron(outputs, codes):
    negative_margin, _ = _negative_margin(outputs, codes)
    return negative_margin.clamp_min_(0).squeeze(-1)


def _multiclass_perceptron_gradient(outputs, codes, out):
    negative_margin, rival = _negative_margin(outputs, codes)
    _write_margin_gradient(negative_margin >= 0, rival, codes, out)


# Keys are values of the parameter `loss`. The binary losses are also used for each label of a
# multilabel target. The binary and the multiclass losses must have the same keys.
BINARY_LOSSES = {
    "log_loss": Loss("logistic", _binary_log_loss),
    "hinge": Loss("identity", _hinge, _as_call(_hinge_gradient)),
    "perceptron": Loss("identity", _perceptron, _as_call(_perceptron_gradient)),
}
MULTICLASS_LOSSES = {
    "log_loss": Loss("softmax", _log_loss, _log_loss_gradient),
    # Crammer and Singer, Journal of Machine Learning Research 2, 2001.
    "hinge": Loss("identity", _multiclass_hinge, _as_call(_multiclass_hinge_gradient)),
    "perceptron": Loss(
        "identity", _multiclass_perceptron, _as_call(_multiclass_perceptron_gradient)
    ),
}
REGRESSOR_LOSSES = {
    "squared_error": Loss("identity", _half_squared_error, averages_outputs=True),
    "absolute_error": Loss("identity", _absolute_error, _as_call(_absolute_gradient)),
    "huber": Loss("identity", _huber, _as_call(_huber_gradient)),
    "quantile": quantile_loss(0.5),
    "poisson": Loss("exp", _half_poisson_deviance, raw_outputs="log_targets", lowest=0.0),
    "gamma": Loss(
        "exp",
        _half_gamma_deviance,
        _as_call(_gamma_gradient),
        raw_outputs="log_targets",
        lowest=0.0,
        open_range=True,
    ),
    "gaussian": gaussian_loss(0.0),
}


def regressor_loss(loss, quantiles=0.5):
    """Return the `Loss` for the parameters of a regressor.

    Parameters
    ----------
    loss : str or callable (raw_outputs, y) -> tensor of shape (n_rows,)
        A key of `REGRESSOR_LOSSES`, or a function that autograd differentiates with respect to
        the raw outputs.
    quantiles : float or tuple of float
        For the loss "quantile", see `quantile_loss`.
    """
    if callable(loss):
        return user_loss(loss, "identity")
    return quantile_loss(quantiles) if loss == "quantile" else REGRESSOR_LOSSES[loss]


def classifier_loss(loss, multiclass):
    """Return the `Loss` for the parameter `loss` of a classifier.

    Parameters
    ----------
    loss : str or callable (raw_outputs, y) -> tensor of shape (n_rows,)
        A key of `BINARY_LOSSES`, or a function that autograd differentiates with respect to the raw
        outputs. Its probabilities are those of the log-loss.
    multiclass : bool
        Whether each sample has exactly one of more than two classes.
    """
    losses = MULTICLASS_LOSSES if multiclass else BINARY_LOSSES
    if callable(loss):
        return user_loss(loss, losses["log_loss"].out_activation)
    return losses[loss]


def user_loss(function, out_activation):
    """Return the `Loss` for a user-defined function of the raw outputs and the targets.

    Class codes are passed to the function as a vector, as torch's losses expect them.
    """
    own = CallableLoss(function)

    def passed(y):
        return y.squeeze(-1) if y.dtype == torch.int64 else y

    return Loss(
        out_activation,
        lambda outputs, y: own.per_sample(outputs, passed(y)),
        _as_call(lambda outputs, y, out: own.gradient(outputs, passed(y), out)),
        takes_raw_outputs=True,
        capturable=False,
        describe_not_finite=lambda outputs, y: own.describe_not_finite(outputs, passed(y)),
    )
