"""Parameter validation: constraints, invalid combinations, and suggestions in errors."""

import operator
from numbers import Real

import numpy as np
import torch
from sklearn.base import is_regressor

from torchmlp import _sklearn_compat
from torchmlp._sklearn_compat import Interval, StrOptions, accepts
from torchmlp.callbacks.checkpoint import Checkpoint, check_checkpoint, split_callbacks
from torchmlp.training.activations import ACTIVATIONS, check_activations
from torchmlp.training.device.placement import DTYPES
from torchmlp.training.losses import BINARY_LOSSES, REGRESSOR_LOSSES
from torchmlp.training.parameters import INITS
from torchmlp.training.schedules import SCHEDULES, schedule_of
from torchmlp.training.solvers import SOLVERS

MAX_UNITS = 2**31 - 1
# `keys()` is a view: a name that is added to one of these tables later is valid, too.
_OWN_CONSTRAINTS = {
    "activation": [StrOptions(ACTIVATIONS.keys()), callable, list, tuple],
    "solver": [StrOptions({"lbfgs"}), StrOptions(SOLVERS.keys()), callable],
    "learning_rate": [StrOptions(SCHEDULES.keys())],
    "n_iter_no_change": [
        *_sklearn_compat.CLASSIFIER_CONSTRAINTS["n_iter_no_change"],
        StrOptions({"auto"}),
    ],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "init": [StrOptions(INITS.keys())],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "average": ["boolean"],
    "scoring": [str, callable, None],
    "verbose": [*_sklearn_compat.CLASSIFIER_CONSTRAINTS["verbose"], StrOptions({"bar"})],
    "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    "callbacks": [list, tuple, None],
    "device": [str, torch.device],
    "dtype": [StrOptions({"auto", *DTYPES})],
}
CLASSIFIER_CONSTRAINTS: dict = {
    **_sklearn_compat.CLASSIFIER_CONSTRAINTS,
    **_OWN_CONSTRAINTS,
    "loss": [StrOptions(BINARY_LOSSES.keys()), callable],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
}
REGRESSOR_CONSTRAINTS: dict = {
    **_sklearn_compat.REGRESSOR_CONSTRAINTS,
    **_OWN_CONSTRAINTS,
    "loss": [StrOptions(REGRESSOR_LOSSES.keys()), callable],
    "quantile": [Interval(Real, 0, 1, closed="neither"), list, tuple, np.ndarray],
    "normalize_y": ["boolean"],
}
# Names of other libraries -> names in torchmlp, for suggestions in errors.
_OTHER_NAMES = {
    "mse": "squared_error",
    "mae": "absolute_error",
    "pinball": "quantile",
    "cross_entropy": "log_loss",
    "sigmoid": "logistic",
    "linear": "identity",
    "swish": "silu",
}


def uses_lbfgs(estimator):
    """Return whether the solver of an estimator of torchmlp or scikit-learn is L-BFGS."""
    return estimator.solver == "lbfgs"


def check_layers(hidden_layer_sizes):
    """Return the sizes of the hidden layers as a list of int.

    Raises
    ------
    ValueError
        If a size is not an integer, is less than 1, or is larger than torch and NumPy support.
    """
    # A 0-dimensional array has `__iter__`, but is not iterable.
    iterable = hasattr(hidden_layer_sizes, "__iter__")
    several = iterable and getattr(hidden_layer_sizes, "ndim", 1) > 0
    sizes = list(hidden_layer_sizes) if several else [hidden_layer_sizes]
    if not all(_is_integer(size) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, one per hidden layer, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be > 0, got {sizes}. Use () for a linear model without "
            "hidden layers."
        )
    if any(size > MAX_UNITS for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be at most {MAX_UNITS}, got {sizes}.")
    return [int(size) for size in sizes]


def _is_integer(size):
    """Return whether a value is an integer or a 0-dimensional integer array."""
    try:
        operator.index(size)
    except TypeError:
        return False
    return True


def check_combinations(estimator, n_hidden, incremental, resumed, validated):
    """Check combinations of parameters.

    Parameters
    ----------
    estimator : BaseTorchMLP
    n_hidden : int
        Number of hidden layers.
    incremental : bool
        Whether `partial_fit` was called.
    resumed : bool
        Whether training continues from fitted weights.
    validated : bool
        Whether validation data were passed to `fit`.

    Raises
    ------
    ValueError
        If the parameters contradict each other.
    """
    check_activations(estimator.activation, n_hidden)
    _check_dropout(estimator.dropout, n_hidden)
    _check_quantile(getattr(estimator, "quantile", 0.5))
    if estimator.init == "zeros" and n_hidden and not resumed:
        raise ValueError(
            "init='zeros' requires a linear model, hidden_layer_sizes=(): hidden units with equal "
            "initial weights would stay equal. Use init='glorot'."
        )
    rate, solver = estimator.learning_rate, estimator.solver
    if "lr" in getattr(solver, "keywords", {}):
        raise ValueError(
            f"solver={solver!r} sets lr, but the learning rate is set by learning_rate_init="
            f"{estimator.learning_rate_init} and learning_rate={rate!r}. Remove lr."
        )
    if estimator.callbacks:
        _check_callbacks(estimator, incremental, resumed, validated)
    if incremental and SCHEDULES[rate].planned:
        raise ValueError(
            f"learning_rate={rate!r} needs the total number of epochs, which partial_fit does not "
            "know. Use fit, or learning_rate='constant'."
        )


def _check_callbacks(estimator, incremental, resumed, validated):
    checkpoint, of_skorch = split_callbacks(estimator.callbacks)
    if checkpoint is not None:
        check_checkpoint(checkpoint, estimator, incremental)
    if not of_skorch:
        return
    if uses_lbfgs(estimator):
        raise ValueError(
            "callbacks is not supported with solver='lbfgs', because skorch callbacks need the "
            "epochs of a stochastic solver. Use solver='adam'. With 'lbfgs', set_callbacks(), "
            "verbose='bar' and time_limit are available."
        )
    from torchmlp.callbacks.skorch_checks import check_callbacks  # imports skorch

    rate = estimator.learning_rate
    constant = schedule_of(estimator.solver, rate) is SCHEDULES["constant"]
    check_callbacks(
        of_skorch,
        learning_rate=None if constant else rate,
        with_validation=validated or estimator.early_stopping,
        resumed=incremental or resumed,
        saved=checkpoint is not None,
    )


def describe_ignored(estimator):
    """Describe the parameters that have no effect in combination with others.

    They cause a warning instead of an error, so that a search can combine all values. Parameters
    that scikit-learn ignores silently are not listed.

    Parameters
    ----------
    estimator : BaseTorchMLP

    Returns
    -------
    str
        The text of a warning; empty if every parameter has an effect.
    """
    lbfgs = uses_lbfgs(estimator)
    quantile = getattr(estimator, "quantile", 0.5)
    has_quantile = not np.array_equal(quantile, 0.5)
    smoothed = getattr(estimator, "label_smoothing", 0.0) > 0
    scored = estimator.scoring is not None
    rules = [
        ("dropout", "solver", lbfgs and np.any(estimator.dropout)),
        ("max_grad_norm", "solver", lbfgs and estimator.max_grad_norm is not None),
        ("average", "solver", lbfgs and estimator.average),
        ("learning_rate", "solver", lbfgs and SCHEDULES[estimator.learning_rate].planned),
        ("quantile", "loss", has_quantile and estimator.loss != "quantile"),
        ("label_smoothing", "loss", smoothed and estimator.loss != "log_loss"),
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
            f"dropout={dropout!r} has {len(dropout)} values for {n_hidden} hidden layers. Pass one "
            "value per hidden layer, or a single number."
        )
    if not all(isinstance(share, Real) and 0 <= float(share) < 1 for share in dropout):
        raise ValueError(f"dropout={dropout!r} must be numbers in [0, 1), one per hidden layer.")


def _check_quantile(quantile):
    values = np.ravel(quantile).tolist()
    valid = all(isinstance(value, Real) and 0 < float(value) < 1 for value in values)
    if not valid or np.ndim(quantile) > 1 or len(set(values)) < max(len(values), 1):
        raise ValueError(
            f"quantile={quantile!r} must be a number in (0, 1), or a list with one or more "
            "different numbers in (0, 1)."
        )


def check_resumable(coefs, layer_units):
    """Check that training can continue from fitted weights.

    Raises
    ------
    ValueError
        If the layer sizes differ from those of the fitted network.
    """
    fitted = (*(np.shape(w)[0] for w in coefs), np.shape(coefs[-1])[1])
    if fitted != tuple(layer_units):
        raise ValueError(
            f"Training cannot continue: the fitted network has layers of {fitted} units, but X, y "
            f"and hidden_layer_sizes require {tuple(layer_units)}. Set warm_start=False and call "
            "fit to train a new network."
        )


def suggestion(estimator):
    """Return a suggestion to append to the error for an invalid parameter, or "".

    Parameters
    ----------
    estimator : BaseTorchMLP
        An estimator with an invalid parameter.
    """
    loss, solver, rate = estimator.loss, estimator.solver, estimator.learning_rate
    if is_regressor(estimator) and (np.ndim(loss) or isinstance(loss, Real)):
        return (
            f" The first parameter of {type(estimator).__name__} is the loss, as in scikit-learn. "
            f"Use hidden_layer_sizes={loss!r}."
        )
    for name in ("loss", "activation", "solver"):
        value = getattr(estimator, name)
        if not isinstance(value, str) or accepts(estimator, name, value):
            continue
        meant = _OTHER_NAMES.get(value.lower(), value.lower())
        if accepts(estimator, name, meant):
            return f" Did you mean {name}={meant!r}?"
    if isinstance(solver, str) and isinstance(getattr(torch.optim, solver, None), type):
        return "" if accepts(estimator, "solver", solver) else f" Use solver=torch.optim.{solver}."
    if isinstance(estimator.callbacks, Checkpoint):
        return f" Use callbacks=[{estimator.callbacks!r}]."
    if isinstance(rate, Real):
        return f" learning_rate names a schedule. Did you mean learning_rate_init={rate!r}?"
    return ""
