"""Tests for torchmlp.training.fit_state."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import REGRESSORS, TASKS, assert_identical, assert_same_fit, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.base import FitCall

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]

INTEGERS = [bool, np.uint8, np.int8, np.int64]
FLOATS = [np.float16, np.float32, np.float64]
SGD = {"solver": "sgd"}
# parameter -> (parameters without which it has no effect, an integer or None, a float or None)
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
def test_numpy_scalars_equal_python_numbers(name, more, value, python):
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


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
def test_numpy_integers_give_the_numbers_of_scikit_learn(kind):
    fits = (
        fit_quietly(r(random_state=0, batch_size=kind(7), max_iter=kind(4)), X_REG, Y_REG)
        for r in REGRESSORS
    )
    assert_same_fit(*fits, X_REG)


def test_history_holds_the_curves_and_grows_with_partial_fit():
    X_train, y_train = X[::2], y[::2]
    model = TorchMLPClassifier((10,), max_iter=6, random_state=0, batch_size=20)
    stepwise, stopped = clone(model), clone(model).set_params(early_stopping=True)
    fit_quietly(model, X_train, y_train, X_val=X[1::2], y_val=y[1::2])
    history = model.history_
    assert history[:, "epoch"] == [1, 2, 3, 4, 5, 6]
    assert history[:, "train_loss"] == model.loss_curve_
    assert history[:, "valid_loss"] == model.validation_loss_curve_
    falls = np.minimum.accumulate([np.inf, *model.loss_curve_])[:-1] > model.loss_curve_
    assert history[:, "train_loss_best"] == falls.tolist()
    for _ in range(6):
        stepwise.partial_fit(X_train, y_train, classes=[0, 1, 2])
    assert stepwise.history_[:, ("epoch", "train_loss")] == history[:, ("epoch", "train_loss")]
    fit_quietly(stopped, X, y)
    assert stopped.history_[:, "valid_score"] == stopped.validation_scores_


def test_history_of_lbfgs():
    model = fit_quietly(TorchMLPClassifier(solver="lbfgs", max_iter=5, random_state=0), X, y)
    assert model.history_[:, "train_loss"] == model.loss_curve_
    assert len(model.history_) == model.n_iter_ == 5


def test_largest_product_is_that_of_one_process():
    _, inputs, *_ = TorchMLPClassifier((10, 20), batch_size=50)._begin(FitCall(X, y))
    assert inputs.largest_product == 50 * 10 * 20
    shared = replace(inputs, processes=SimpleNamespace(world_size=4))
    assert shared.largest_product == 13 * 10 * 20  # the process with the most rows
