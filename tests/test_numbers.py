"""A hyperparameter means the same whatever kind of number it is."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import TASKS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks.monitors import TimeLimit

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]
INTEGERS = [bool, np.uint8, np.int8, np.int64]
FLOATS = [np.float16, np.float32, np.float64]
SGD = {"solver": "sgd"}
# parameter -> (what else it takes to have an effect, an integer or None, a fraction or None)
REAL = {
    "alpha": ({}, 1, 0.3),
    "learning_rate_init": ({**SGD, "max_grad_norm": 1.0}, 1, 0.1),
    "power_t": ({**SGD, "learning_rate": "invscaling"}, 0, 0.3),
    "tol": ({"n_iter_no_change": 2, "max_iter": 9}, 1, 0.01),
    "momentum": (SGD, 1, 0.7),
    "beta_1": ({}, 0, 0.7),
    "beta_2": ({}, 0, 0.7),
    "epsilon": ({}, 1, 0.1),
    "max_grad_norm": (SGD, 1, 0.1),
    "dropout": ({}, 0, 0.3),
    "quantile": ({"loss": "quantile"}, None, 0.3),
    "validation_fraction": ({"early_stopping": True}, None, 0.33),
    "n_iter_no_change": ({}, None, np.inf),
}
INTEGRAL = {
    "batch_size": ({}, 7),
    "max_iter": ({}, 2),
    "max_fun": ({"solver": "lbfgs", "tol": 0.0}, 3),
    "n_iter_no_change": ({"tol": 10.0}, 1),
    "hidden_layer_sizes": ({}, 3),
    "random_state": ({}, 1),
}


def _cases():
    for name, (more, integer, fraction) in REAL.items():
        if integer is not None:
            yield from (pytest.param(name, more, kind(integer), float) for kind in INTEGERS)
        yield from (pytest.param(name, more, kind(fraction), float) for kind in FLOATS)
    for name, (more, integer) in INTEGRAL.items():
        yield from (pytest.param(name, more, kind(integer), int) for kind in INTEGERS)
    for name in ("shuffle", "nesterovs_momentum", "early_stopping"):
        yield from (pytest.param(name, SGD, np.bool_(value), bool) for value in (False, True))


def _fit(**parameters):
    settings = {"hidden_layer_sizes": (6,), "batch_size": 50, "max_iter": 4, "random_state": 0}
    return fit_quietly(TorchMLPRegressor(**{**settings, **parameters}), X_REG, Y_REG)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "more", "value", "python"), list(_cases()))
def test_numpy_scalar_is_the_python_number(name, more, value, python):
    expected, got = (_fit(**{**more, name: v}) for v in (python(value), value))
    assert_identical(expected, got)
    assert got.loss_curve_ == expected.loss_curve_
    assert got.n_iter_ == expected.n_iter_


@pytest.mark.parametrize("kind", [*FLOATS, Fraction])
def test_dropout_of_each_layer_is_converted(kind):
    mlp = TorchMLPRegressor("squared_error", (6, 5), max_iter=3, random_state=0)
    shares = [kind(0.3), kind(0)]
    got = fit_quietly(clone(mlp).set_params(dropout=shares), X_REG, Y_REG)
    expected = fit_quietly(mlp.set_params(dropout=[float(share) for share in shares]), X_REG, Y_REG)
    assert_identical(expected, got)
    assert repr(got.to_torch()) == repr(expected.to_torch())


@pytest.mark.parametrize("kind", [np.uint8, np.int8, *FLOATS, Fraction, Decimal])
def test_class_weights_are_converted(kind):
    mlp = TorchMLPClassifier((6,), max_iter=3, random_state=0)
    weights = {0: kind(1), 1: kind(200 if kind is np.uint8 else 100), 2: kind(3)}
    got = fit_quietly(clone(mlp).set_params(class_weight=weights), X, y)
    plain = {label: float(weight) for label, weight in weights.items()}
    assert_identical(fit_quietly(mlp.set_params(class_weight=plain), X, y), got)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, *FLOATS])
def test_time_limit_is_converted(kind, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 1e6)
    assert TimeLimit(kind(3)).end == 1e6 + 3
