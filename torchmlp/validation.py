"""Checks of parameters and input: the only home of imports that scikit-learn calls private."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = [
    "CLASSIFIER_CONSTRAINTS",
    "REGRESSOR_CONSTRAINTS",
    "check_input",
    "check_layers",
    "check_lbfgs_result",
    "check_resumable",
    "check_training_input",
    "check_weights",
    "fit_context",
    "is_first_partial_fit",
]

fit_context = _fit_context(prefer_skip_nested_validation=True)
is_first_partial_fit = _check_partial_fit_first_call

_OWN_CONSTRAINTS = {
    "device": [str, torch.device],
    "dtype": [StrOptions({"auto", "float64", "float32", "bfloat16"})],
}
CLASSIFIER_CONSTRAINTS: dict = {**MLPClassifier._parameter_constraints, **_OWN_CONSTRAINTS}
REGRESSOR_CONSTRAINTS: dict = {**MLPRegressor._parameter_constraints, **_OWN_CONSTRAINTS}


def check_training_input(estimator, X, y, *, reset, y_numeric):
    """Return X as floats, dense or CSR, and y as an array, or say what is wrong with them."""
    try:
        return validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=y_numeric,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise ValueError(
            f"X or y holds values that are not numbers: {error}. Encode categories first, for "
            "example with OneHotEncoder in a ColumnTransformer."
        ) from error


def check_input(estimator, X):
    """Return X as a dense or CSR array of the width that the estimator was fitted on."""
    return validate_data(estimator, X, accept_sparse="csr", reset=False)


def check_weights(sample_weight, X):
    """Return the weights of the rows as a float array, or None if there are none.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, their number is wrong, or all of them are zero.
    """
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, allow_all_zero_weights=True)
    if weights.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, got {weights.min()}. A weight of 0 leaves a "
            "row out."
        )
    if not weights.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number. Got sample_weight with "
            f"{len(weights)} zeros; give the rows to learn from a positive weight."
        )
    return weights


def check_layers(hidden_layer_sizes):
    """Return the widths of the hidden layers as a list of int.

    Raises
    ------
    ValueError
        If one of them is no whole number or less than 1.
    """
    if not hasattr(hidden_layer_sizes, "__iter__"):
        hidden_layer_sizes = [hidden_layer_sizes]
    sizes = list(hidden_layer_sizes)
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be whole numbers, one per hidden layer, got {sizes}."
        )
    if any(size <= 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be > 0, got {sizes}. Leave a layer without units out; () "
            "is a linear model."
        )
    return [int(size) for size in sizes]


def check_resumable(coefs, layer_units):
    """Make sure that training can go on from these weights.

    Raises
    ------
    ValueError
        If the network asked for has another shape.
    """
    fitted = (*(np.shape(w)[0] for w in coefs), np.shape(coefs[-1])[1])
    if fitted != tuple(layer_units):
        raise ValueError(
            f"Training cannot go on: the fitted network has layers of {fitted} units, but X, y "
            f"and hidden_layer_sizes ask for {tuple(layer_units)}. Set warm_start=False and "
            "call fit to start anew."
        )


def check_lbfgs_result(result, max_iter):
    """Warn, in scikit-learn's words, if L-BFGS did not converge."""
    _check_optimize_result("lbfgs", result, max_iter)
