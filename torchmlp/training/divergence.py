"""Advice for a fit that diverged, or whose targets are too large for it to converge."""

import math
from contextlib import suppress

import numpy as np
import torch

from torchmlp.training.processes import has_own_rows
from torchmlp.training.products import as_tensor

LARGE_RMS = 10.0  # limit of the root mean square, which is 1 for standardized values
# Standard deviation and number of the random values with which user-defined functions are tested.
# The values are small, so that functions that grow fast, such as exp, do not overflow.
TEST_SCALE = 3.0
N_TEST_VALUES = 1 << 16
# Limit of the root mean square of targets of a fit that did not converge.
LARGE_TARGET_RMS = 100.0
# A warning is issued if the training loss exceeds that of a constant prediction by this factor.
UNLEARNED_RATIO = 1.1


def divergence_advice(inputs):
    """Return advice for a fit that diverged, as one or more sentences.

    If a user-defined activation or loss is not finite for random inputs with the standard deviation
    `TEST_SCALE`, the advice begins with it and does not name the learning rate. The advice names X
    and y if they have large values, that is, if their root mean square exceeds `LARGE_RMS`.

    Parameters
    ----------
    inputs : FitInputs
        The inputs of the fit.

    Returns
    -------
    str
    """
    settings = inputs.settings
    error = _error_of_callable(inputs)
    advice = [error] if error else []
    advice += _large_values(inputs.data)
    if not error and not settings.uses_lbfgs:
        advice.append(f"Lower learning_rate_init={settings.learning_rate_init}.")
    elif not advice:
        advice.append(f"Scale X and y, or increase alpha={settings.alpha}.")
    return " ".join(advice)


def large_target_advice(inputs):
    """Return advice for a fit that reached `max_iter`, or an empty string.

    The first predictions are of the order of 1. Larger targets need more epochs.

    Parameters
    ----------
    inputs : FitInputs
        The inputs of the fit.

    Returns
    -------
    str
        Advice to scale y if its root mean square exceeds `LARGE_TARGET_RMS`.
    """
    return _large_targets(inputs.data, LARGE_TARGET_RMS)


def unlearned_advice(loss, inputs):
    """Return advice for a fit whose loss exceeds that of a constant prediction, or an empty string.

    Parameters
    ----------
    loss : float
        Training loss of the last epoch.
    inputs : FitInputs
        The inputs of the fit.

    Returns
    -------
    str
        The advice if the training loss exceeds that of a constant prediction by the factor
        `UNLEARNED_RATIO`. Empty for losses without `constant_outputs`, for constant targets, and if
        each process has rows of its own.
    """
    if has_own_rows(inputs.processes):  # no process has the targets of all rows
        return ""
    constant = _constant_loss(inputs)
    if constant is None or not loss > constant + (UNLEARNED_RATIO - 1) * abs(constant):
        return ""
    settings = inputs.settings
    is_class = settings.loss.out_activation in ("softmax", "logistic")
    prediction = "the class frequencies" if is_class else "the mean of y"
    unscaled = not is_class and inputs.data.unscaled_y is None
    return (
        f"The training loss is larger than that of predicting {prediction}. "
        f"{'Set normalize_y=True, or i' if unscaled else 'I'}ncrease max_iter={settings.max_iter} "
        f"or learning_rate_init={settings.learning_rate_init}."
    )


def _constant_loss(inputs):
    """Return the training loss of a constant prediction, or None if it is not known or 0."""
    loss = inputs.settings.loss
    if loss.constant_outputs is None:
        return None
    y, weights = inputs.data.targets_and_weights()
    if (y == y[0]).all():  # a constant prediction has no error
        return None
    y = y if y.dtype.kind == "i" else y.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # huge targets
        losses = loss.per_sample(loss.constant_outputs(y, weights), torch.from_numpy(y))
        return np.average(losses, weights=weights)


def _error_of_callable(inputs):
    """Describe the first user-defined function that is not finite, or return an empty string."""
    with suppress(Exception):  # a function may fail for another number of rows than in training
        return next(filter(None, _descriptions(inputs)), "")
    return ""


def _descriptions(inputs):
    """Yield what `describe_not_finite` returns for each user-defined function."""
    layout, data, loss = inputs.layout, inputs.data, inputs.settings.loss
    generator = torch.Generator().manual_seed(0)

    def random_values(n_rows, n_units, dtype):
        values = torch.randn(n_rows, n_units, generator=generator, dtype=dtype)
        return values.mul_(TEST_SCALE).to(layout.device)

    for activation, n_units in zip(layout.activations, layout.layer_units[1:-1], strict=True):
        if activation.describe_not_finite is not None:
            n_rows = max(1, N_TEST_VALUES // n_units)
            z = random_values(n_rows, n_units, layout.product_dtype)
            yield activation.describe_not_finite(z)
    if loss.describe_not_finite is not None:
        n_outputs = layout.layer_units[-1]
        n_rows = max(1, N_TEST_VALUES // n_outputs)
        rows = slice(n_rows) if data.rows is None else data.rows[:n_rows]
        y = as_tensor(data.y[rows]).to(layout.device)
        y = y if y.dtype == torch.int64 else y.to(layout.dtype)  # class codes remain integers
        yield loss.describe_not_finite(random_values(len(y), n_outputs, layout.dtype), y)


def _large_values(data):
    """Return the advice for each of X and y that has large values."""
    advice = []
    if _is_large(data.X, LARGE_RMS):
        advice.append(
            f"X has values up to {_largest(data.X):.3g}. Scale X, for example with StandardScaler "
            "in a Pipeline."
        )
    if targets := _large_targets(data, LARGE_RMS):
        advice.append(targets)
    return advice


def _large_targets(data, limit):
    """Return the advice to scale y if it is large and not scaled yet, or an empty string."""
    if data.unscaled_y is not None or not _is_large(data.y, limit):
        return ""
    return f"y has values up to {_largest(data.y):.3g}. Set normalize_y=True."


def _values(array):
    """Return the values of an array, or the stored values of a sparse matrix."""
    return array if isinstance(array, np.ndarray) else array.data


def _is_large(array, limit):
    """Return whether the root mean square of the values exceeds a limit."""
    values = _values(array)
    if values.dtype.kind != "f" or not values.size:  # classes, or an empty sparse matrix
        return False
    with np.errstate(over="ignore"):
        return bool(np.linalg.norm(values) > limit * math.sqrt(values.size))


def _largest(array):
    values = _values(array)
    return max(values.max(), -values.min())
