"""Loss functions of networks that predict quantiles, or means and variances."""

import math
from functools import cache, lru_cache

import numpy as np
import torch

from torchmlp.training.loss_function import Loss, as_call, weighted_mean

# The variance that `gaussian_loss` adds to the squared errors, relative to the variance of y.
VARIANCE_FLOOR = 1e-9


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

    return Loss("identity", per_sample, as_call(gradient), constant_outputs=weighted_mean)


@lru_cache  # see `quantile_loss`
def gaussian_loss(floor):
    """Return the negative log-likelihood of a normal distribution (Nix and Weigend, ICNN 1994).

    The raw outputs are the mean m of each target, then the logarithm s of each variance. The loss
    is (log(2 pi) + s + ((y - m)**2 + floor) exp(-s)) / 2, summed over the targets. It is the
    expected loss of targets with additional noise of variance `floor`. For given errors, the
    variance with the lowest loss is their mean square plus `floor`. The loss is therefore bounded
    from below even if all errors are zero.

    With the logarithm of the variance, instead of the deviation or its softplus, the curvature with
    respect to s is 1/2 at the minimum for any scale of y, and a change of that scale only shifts s.

    Parameters
    ----------
    floor : float or tuple of float
        The variance that is added to the squared errors of each target.
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
        as_call(gradient),
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
    mean = weighted_mean(y, weights)
    variance = weighted_mean((torch.from_numpy(y) - mean).square().numpy(), weights)
    return torch.cat([mean, variance.log()], -1)
