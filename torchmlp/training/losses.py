"""Loss functions."""

import math
from functools import lru_cache, partial

import numpy as np
import torch

from torchmlp.training.callable_loss import CallableLoss
from torchmlp.training.distribution_losses import gaussian_loss, quantile_loss
from torchmlp.training.loss_function import Loss, as_call, class_frequencies, weighted_mean
from torchmlp.training.output_activations import activate_outputs
from torchmlp.training.products import as_tensor

MAX_BLOCK_OUTPUTS = 1 << 18  # number of raw outputs that `row_losses` processes at once


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
    "log_loss": Loss("logistic", _binary_log_loss, constant_outputs=weighted_mean),
    "hinge": Loss("identity", _hinge, as_call(_hinge_gradient)),
    "perceptron": Loss("identity", _perceptron, as_call(_perceptron_gradient)),
}
MULTICLASS_LOSSES = {
    "log_loss": Loss("softmax", _log_loss, _log_loss_gradient, constant_outputs=class_frequencies),
    # Crammer and Singer, Journal of Machine Learning Research 2, 2001.
    "hinge": Loss("identity", _multiclass_hinge, as_call(_multiclass_hinge_gradient)),
    "perceptron": Loss(
        "identity", _multiclass_perceptron, as_call(_multiclass_perceptron_gradient)
    ),
}
REGRESSOR_LOSSES = {
    "squared_error": Loss(
        "identity", _half_squared_error, averages_outputs=True, constant_outputs=weighted_mean
    ),
    "absolute_error": Loss(
        "identity", _absolute_error, as_call(_absolute_gradient), constant_outputs=weighted_mean
    ),
    "huber": Loss("identity", _huber, as_call(_huber_gradient), constant_outputs=weighted_mean),
    "quantile": quantile_loss(0.5),
    "poisson": Loss(
        "exp",
        _half_poisson_deviance,
        raw_outputs="log_targets",
        lowest=0.0,
        constant_outputs=weighted_mean,
    ),
    "gamma": Loss(
        "exp",
        _half_gamma_deviance,
        as_call(_gamma_gradient),
        raw_outputs="log_targets",
        lowest=0.0,
        open_range=True,
        constant_outputs=weighted_mean,
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


def classifier_loss(loss, multiclass, label_smoothing=0.0):
    """Return the `Loss` for the parameters of a classifier.

    Parameters
    ----------
    loss : str or callable (raw_outputs, y) -> tensor of shape (n_rows,)
        A key of `BINARY_LOSSES`, or a function that autograd differentiates with respect to the raw
        outputs. Its probabilities are those of the log-loss.
    multiclass : bool
        Whether each sample has exactly one of more than two classes.
    label_smoothing : float
        For the loss "log_loss", see `smoothed_log_loss`.
    """
    losses = MULTICLASS_LOSSES if multiclass else BINARY_LOSSES
    if callable(loss):
        return user_loss(loss, losses["log_loss"].out_activation)
    if loss == "log_loss" and label_smoothing:
        return smoothed_log_loss(multiclass, label_smoothing)
    return losses[loss]


@lru_cache  # see `quantile_loss`
def smoothed_log_loss(multiclass, label_smoothing):
    """Return the log-loss for targets that are mixed with the uniform distribution.

    The probability of class k in the target is (1 - s) 1[y = k] + s / K for the share s and K
    classes; for two classes and for each label of a multilabel target, K = 2. Szegedy et al.,
    "Rethinking the Inception Architecture for Computer Vision", 2016, arXiv:1512.00567.

    Parameters
    ----------
    multiclass : bool
    label_smoothing : float
        The share s, in (0, 1).
    """
    targets_of = _smoothed_codes if multiclass else _smoothed_labels
    cross_entropy = _multiclass_cross_entropy if multiclass else _binary_cross_entropy
    constant_outputs = class_frequencies if multiclass else weighted_mean

    def smoothed_constant_outputs(y, weights):
        frequencies = constant_outputs(y, weights)
        n_classes = frequencies.shape[-1] if multiclass else 2
        return (1 - label_smoothing) * frequencies + label_smoothing / n_classes

    def gradient(outputs, y, out):
        torch.sub(outputs, targets_of(outputs, y, label_smoothing), out=out)

    return Loss(
        "softmax" if multiclass else "logistic",
        lambda outputs, y: cross_entropy(outputs, targets_of(outputs, y, label_smoothing)),
        as_call(gradient),
        constant_outputs=smoothed_constant_outputs,
    )


def _smoothed_labels(outputs, y, label_smoothing):
    return (1 - label_smoothing) * y + label_smoothing / 2


def _smoothed_codes(outputs, codes, label_smoothing):
    """Return the smoothed probability of each class, given class codes."""
    share = label_smoothing / outputs.shape[-1]
    return torch.full_like(outputs, share).scatter_(-1, codes, 1 - label_smoothing + share)


def _binary_cross_entropy(probabilities, targets):
    p = _clip_(probabilities.clone())
    return torch.lerp((1 - p).log_(), p.log(), targets).sum(-1).neg_()


def _multiclass_cross_entropy(probabilities, targets):
    return _clip_(probabilities.clone()).log_().mul_(targets).sum(-1).neg_()


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
        as_call(lambda outputs, y, out: own.gradient(outputs, passed(y), out)),
        takes_raw_outputs=True,
        capturable=False,
        describe_not_finite=lambda outputs, y: own.describe_not_finite(outputs, passed(y)),
    )
