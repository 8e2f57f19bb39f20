"""Advice for a fit that diverged."""

import math

import numpy as np

LARGE_RMS = 10.0  # limit of the root mean square, which is 1 for standardized values


def divergence_advice(inputs):
    """Return advice for a fit that diverged, as one or more sentences.

    The advice names X and y if they have large values, that is, if their root mean square exceeds
    `LARGE_RMS`.

    Parameters
    ----------
    inputs : FitInputs
        The inputs of the fit.

    Returns
    -------
    str
    """
    data, settings, advice = inputs.data, inputs.settings, []
    if _is_large(data.X):
        advice.append(
            f"X has values up to {_largest(data.X):.3g}. Scale X, for example with StandardScaler "
            "in a Pipeline."
        )
    if _is_large(data.y):
        how = (
            "Scale y, for example with TransformedTargetRegressor and StandardScaler."
            if settings.loss.lowest == -math.inf
            else "Divide y by its mean."
        )
        advice.append(f"y has values up to {_largest(data.y):.3g}. {how}")
    if not settings.uses_lbfgs:
        advice.append(f"Lower learning_rate_init={settings.learning_rate_init}.")
    elif not advice:
        advice.append(f"Scale X and y, or increase alpha={settings.alpha}.")
    return " ".join(advice)


def _values(array):
    """Return the values of an array, or the stored values of a sparse matrix."""
    return array if isinstance(array, np.ndarray) else array.data


def _is_large(array):
    values = _values(array)
    if values.dtype.kind != "f" or not values.size:  # classes, or an empty sparse matrix
        return False
    with np.errstate(over="ignore"):
        return bool(np.linalg.norm(values) > LARGE_RMS * math.sqrt(values.size))


def _largest(array):
    values = _values(array)
    return max(values.max(), -values.min())
