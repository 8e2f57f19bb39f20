"""Checks of parameters and input: the only home of imports that scikit-learn calls private."""

import functools
import inspect
from numbers import Integral, Number, Real

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import _fit_context, is_regressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import column_or_1d
from sklearn.utils._array_api import get_namespace_and_device, move_to
from sklearn.utils._param_validation import Interval, StrOptions, make_constraint
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, validate_data

from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.device.placement import one_thread
from torchmlp.training.schedules import PLANNED, SCHEDULES, schedule_of
from torchmlp.training.solvers import SOLVERS

__all__ = [
    "CLASSIFIER_CONSTRAINTS",
    "REGRESSOR_CONSTRAINTS",
    "accepts",
    "check_any_weight",
    "check_combinations",
    "check_input",
    "check_layers",
    "check_lbfgs_result",
    "check_resumable",
    "check_targets",
    "check_together",
    "check_training_input",
    "check_weights",
    "describe_ignored",
    "fit_context",
    "in_namespace_of_X",
    "is_first_partial_fit",
    "takes_weights",
    "to_numpy",
]

fit_context = _fit_context(prefer_skip_nested_validation=True)
is_first_partial_fit = _check_partial_fit_first_call

_OWN_CONSTRAINTS = {
    "activation": [StrOptions(set(ACTIVATIONS)), callable, list, tuple],
    "solver": [StrOptions({"lbfgs", *SOLVERS}), callable],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "init": [StrOptions({"glorot", "torch", "zeros"})],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "scoring": [str, callable, None],
    "verbose": [*MLPClassifier._parameter_constraints["verbose"], StrOptions({"bar"})],
    "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    "callbacks": [list, tuple, None],
    "device": [str, torch.device],
    "dtype": [StrOptions({"auto", "float64", "float32", "bfloat16"})],
}
CLASSIFIER_CONSTRAINTS: dict = {
    **MLPClassifier._parameter_constraints,
    **_OWN_CONSTRAINTS,
    "loss": [StrOptions({"log_loss", "hinge", "perceptron"})],
    "class_weight": [StrOptions({"balanced"}), dict, None],
}
REGRESSOR_CONSTRAINTS: dict = {
    **MLPRegressor._parameter_constraints,
    **_OWN_CONSTRAINTS,
    "loss": [
        StrOptions({"squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma"}),
        callable,
    ],
    "quantile": [Interval(Real, 0, 1, closed="neither")],
}


def accepts(estimator, name, value):
    """Whether an estimator of scikit-learn's has this parameter and takes this value."""
    constraints = type(estimator)._parameter_constraints.get(name, [])
    return any(make_constraint(constraint).is_satisfied_by(value) for constraint in constraints)


def to_numpy(*arrays):
    """Return arrays of array-API libraries as NumPy's, where scikit-learn dispatches by them.

    Without a copy where memory can be shared. Data frames, lists, sparse matrices and None stay
    what they are.
    """
    if not get_config()["array_api_dispatch"]:
        return arrays
    with one_thread():
        return [move_to(_plain(a), xp=np, device="cpu") if _origin(a) else a for a in arrays]


def _plain(array):
    """Return a tensor that NumPy can share: without a gradient, in a dtype that it knows."""
    if not isinstance(array, torch.Tensor):
        return array
    return array.detach().float() if array.dtype is torch.bfloat16 else array.detach()


def _origin(array):
    """Return (namespace, device) of an array that is not NumPy's, else None."""
    if isinstance(array, Number):  # a weight for all, which scikit-learn's inspection refuses
        return None
    namespace, is_array, device = get_namespace_and_device(array)
    return (namespace, device) if is_array and not isinstance(array, np.ndarray) else None


def in_namespace_of_X(method):
    """Make a method of X return arrays of the library and device of X, where they dispatch.

    Labels that are not numbers stay in NumPy's.
    """

    @functools.wraps(method)
    def wrapper(estimator, X):
        if not get_config()["array_api_dispatch"]:
            return method(estimator, X)
        origin, (X,) = _origin(X), to_numpy(X)
        result = method(estimator, X)
        if origin is None:
            return result
        namespace, device = origin
        if isinstance(result, list):
            return [move_to(part, xp=namespace, device=device) for part in result]
        numeric = result.dtype.kind in "biuf"
        return move_to(result, xp=namespace, device=device) if numeric else result

    return wrapper


def check_training_input(estimator, X, y, *, reset):
    """Return X as floats, dense or CSR, and y as an array, or say what is wrong with them."""
    try:
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=is_regressor(estimator),
            dtype=(np.float64, np.float32),
            reset=reset,
        )
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise ValueError(
            f"X or y holds values that are not numbers: {error}. Encode categories of X first, for "
            "example with OneHotEncoder in a ColumnTransformer; labels in y are for "
            "TorchMLPClassifier."
        ) from error
    column = y.ndim == 2 and y.shape[1] == 1
    return X, column_or_1d(y, warn=True) if column else y


def check_input(estimator, X):
    """Return X as a dense or CSR array of the width that the estimator was fitted on."""
    return (
        X
        if _is_right(estimator, X)
        else validate_data(estimator, X, accept_sparse="csr", reset=False)
    )


def _is_right(estimator, X):
    """Whether scikit-learn would return X as it is: for a single row its checks take longest."""
    with np.errstate(over="ignore", invalid="ignore"):  # its own checks then say what is wrong
        return _is_plain(estimator, X)


def _is_plain(estimator, X):
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype in (np.float32, np.float64)
        and X.shape[0] > 0
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
        and np.isfinite(X.sum())
    )


def takes_weights(scorer):
    """Whether a scorer, scikit-learn's or a function, takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in inspect.signature(scorer).parameters


def check_weights(sample_weight, X):
    """Return the weights of the rows as a float array, or None if there are none.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, their number is wrong, or all of them are zero.
    """
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, allow_all_zero_weights=True)
    if weights.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, got {weights.min()}. A weight of 0 leaves a "
            "row out."
        )
    check_any_weight(weights)
    return weights


def check_any_weight(weights):
    """Raise a ValueError if all weights are zero."""
    if not weights.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number. Got sample_weight with "
            f"{len(weights)} zeros; give the rows to learn from a positive weight."
        )


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


def check_combinations(estimator, n_hidden, incremental, resumed, validated):
    """Make sure that the parameters make sense together.

    Parameters
    ----------
    estimator : BaseTorchMLP
    n_hidden : int
        Number of hidden layers.
    incremental : bool
        Whether this is a step of `partial_fit`.
    resumed : bool
        Whether training goes on with a fitted network.
    validated : bool
        Whether the user brought validation data.

    Raises
    ------
    ValueError
        If one of them asks for what another rules out.
    """
    _check_activations(estimator.activation, n_hidden)
    _check_dropout(estimator.dropout, n_hidden)
    if estimator.init == "zeros" and n_hidden and not resumed:
        raise ValueError(
            "init='zeros' is for linear models, hidden_layer_sizes=(): hidden units that begin "
            "alike stay alike. Use init='glorot'."
        )
    rate, solver = estimator.learning_rate, estimator.solver
    if "lr" in getattr(solver, "keywords", {}):
        raise ValueError(
            f"solver={solver!r} sets lr, but the rate of each epoch comes from learning_rate_init="
            f"{estimator.learning_rate_init} and learning_rate={rate!r}. Leave lr out."
        )
    if estimator.callbacks:
        if solver == "lbfgs":
            raise ValueError(
                "callbacks are those of skorch's loop over epochs, which solver='lbfgs' has not. "
                "Use solver='adam'; or, with lbfgs, set_callbacks(), verbose='bar' or time_limit."
            )
        validated = validated or estimator.early_stopping
        schedule = schedule_of(solver, rate)
        from torchmlp.callbacks.skorch_checks import check_callbacks  # imports skorch

        check_callbacks(estimator.callbacks, schedule, validated, incremental or resumed)
    if incremental and rate in PLANNED:
        raise ValueError(
            f"learning_rate={rate!r} needs to know where training ends, and partial_fit does not "
            "tell. Use fit, or learning_rate='constant'."
        )


def describe_ignored(estimator):
    """Name the parameters that others make ineffective, beyond those that scikit-learn ignores.

    As there they are no error, so that a search can combine all values.

    Parameters
    ----------
    estimator : BaseTorchMLP

    Returns
    -------
    str
        The text of a warning; empty if every parameter has an effect.
    """
    lbfgs, quantile = estimator.solver == "lbfgs", getattr(estimator, "quantile", 0.5)
    scored = estimator.scoring is not None
    rules = [
        ("dropout", "solver", lbfgs and np.any(estimator.dropout)),
        ("max_grad_norm", "solver", lbfgs and estimator.max_grad_norm is not None),
        ("learning_rate", "solver", lbfgs and estimator.learning_rate in PLANNED),
        ("quantile", "loss", quantile != 0.5 and estimator.loss != "quantile"),
        ("scoring", "early_stopping", scored and not estimator.early_stopping),
    ]
    ignored = [
        f"{name}={getattr(estimator, name)!r} with {other}={getattr(estimator, other)!r}"
        for name, other, is_ignored in rules
        if is_ignored
    ]
    if not ignored:
        return ""
    return f"These parameters have no effect and are ignored: {', '.join(ignored)}."


def _check_activations(activation, n_hidden):
    if not isinstance(activation, (list, tuple)):
        return
    if len(activation) != n_hidden:
        raise ValueError(
            f"activation={activation!r} names {len(activation)} functions for {n_hidden} hidden "
            "layers. Give one per hidden layer, or one for all."
        )
    for name in activation:
        if not callable(name) and name not in ACTIVATIONS:
            raise ValueError(
                f"activation={activation!r} has {name!r}, which is none of {sorted(ACTIVATIONS)} "
                "and no callable."
            )


def _check_dropout(dropout, n_hidden):
    if not isinstance(dropout, (list, tuple)):
        return
    if len(dropout) != n_hidden:
        raise ValueError(
            f"dropout={dropout!r} has {len(dropout)} values for {n_hidden} hidden layers. Give one "
            "per hidden layer, or one for all."
        )
    if not all(isinstance(share, Real) and 0 <= float(share) < 1 for share in dropout):
        raise ValueError(f"dropout={dropout!r} must hold shares in [0, 1), one per hidden layer.")


def check_targets(encoded, loss, name):
    """Make sure that a loss is defined for the targets.

    Parameters
    ----------
    encoded : ndarray
    loss : Loss
    name : str or callable
        As the user names it.

    Raises
    ------
    ValueError
        If one of them is too small.
    """
    if loss.lowest == -np.inf:
        return
    smallest = encoded.min()
    if smallest < loss.lowest or (loss.open_range and smallest == loss.lowest):
        sign = ">" if loss.open_range else ">="
        raise ValueError(
            f"loss={name!r} needs y {sign} {loss.lowest:g}, got {smallest}. Use "
            "loss='squared_error' for targets outside that range."
        )


def check_together(X_val, y_val, sample_weight_val):
    """Make sure that validation data come with their targets.

    Raises
    ------
    ValueError
        If something of them is missing.
    """
    if (X_val is None) != (y_val is None):
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {missing}; pass both, or neither.")
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val was given without X_val and y_val; pass all three.")


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
