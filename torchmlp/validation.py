"""Checks of parameters: the only module that imports what scikit-learn calls private."""

import inspect
import operator
from numbers import Real

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils._array_api import get_namespace_and_device, move_to
from sklearn.utils._param_validation import Interval, StrOptions, make_constraint
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, _check_y

from torchmlp.callback_checks import check_callbacks
from torchmlp.training.activations import ACTIVATIONS, check_activations
from torchmlp.training.schedules import PLANNED, SCHEDULES, schedule_of
from torchmlp.training.solvers import SOLVERS

__all__ = [
    "CLASSIFIER_CONSTRAINTS",
    "REGRESSOR_CONSTRAINTS",
    "accepts",
    "check_combinations",
    "check_layers",
    "check_lbfgs_result",
    "check_resumable",
    "check_sample_weight",
    "check_y",
    "describe_ignored",
    "fit_context",
    "get_namespace_and_device",
    "is_first_partial_fit",
    "move_to",
    "takes_weights",
]

fit_context = _fit_context(prefer_skip_nested_validation=True)
is_first_partial_fit = _check_partial_fit_first_call
check_sample_weight = _check_sample_weight
check_y = _check_y

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


def takes_weights(scorer):
    """Whether a scorer, scikit-learn's or a function, takes sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in inspect.signature(scorer).parameters


def check_layers(hidden_layer_sizes):
    """Return the widths of the hidden layers as a list of int.

    Raises
    ------
    ValueError
        If one of them is not an integer, or less than 1.
    """
    # An array of no dimension has __iter__, but cannot be iterated.
    iterable = hasattr(hidden_layer_sizes, "__iter__")
    several = iterable and getattr(hidden_layer_sizes, "ndim", 1) > 0
    sizes = list(hidden_layer_sizes) if several else [hidden_layer_sizes]
    if not all(_is_integer(size) for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be whole numbers, one per hidden layer, got {sizes}."
        )
    if any(size <= 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be > 0, got {sizes}. Leave a layer without units out; () "
            "is a linear model."
        )
    return [int(size) for size in sizes]


def _is_integer(size):
    """Whether a value is an integer, or an array or tensor of no dimension that holds one."""
    try:
        operator.index(size)
    except TypeError:
        return False
    return True


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
    check_activations(estimator.activation, n_hidden)
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
