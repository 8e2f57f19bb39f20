"""Tests for normalize_y with warm_start and partial_fit."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from helpers import assert_identical, fit_quietly
from normalize_y_helpers import (
    PRICES,
    WEIGHT,
    Units,
    X,
    Y,
    assert_same_in_units,
    fit_both,
    mlp,
    targets_for,
    training_rows,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from torchmlp import TorchMLPRegressor


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd", torch.optim.RMSprop])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_steps_of_partial_fit_equal_one_fit(loss, solver, dtype, weight):
    y, rows = targets_for(loss), X.astype(dtype)
    model = mlp(loss=loss, solver=solver, normalize_y=True, batch_size=40)
    whole, steps = fit_quietly(clone(model), rows, y, weight), clone(model)
    for _ in range(whole.n_iter_):
        steps = pickle.loads(pickle.dumps(steps.partial_fit(rows, y, weight)))
    assert_identical(whole, steps)
    assert whole.loss_curve_ == steps.loss_curve_


def test_partial_fit_keeps_the_scale_of_the_first_piece():
    units = Units(PRICES[:50])
    model, reference = mlp(normalize_y=True), mlp()
    for start in range(0, 250, 50):
        rows = slice(start, start + 50)
        model.partial_fit(X[rows], PRICES[rows])
        reference.partial_fit(X[rows], units.scale(PRICES[rows]))
        assert_same_in_units(model, reference, units)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_partial_fit_keeps_the_scale_of_fit(loss, warm_start):
    y = targets_for(loss)
    parameters = {"loss": loss, "warm_start": warm_start}
    model, reference, units = fit_both(parameters, X, y)
    for rows in (slice(0, 100), slice(100, 250)):
        model.partial_fit(X[rows], y[rows])
        reference.partial_fit(X[rows], units.scale(y[rows]))
    assert_same_in_units(model, reference, units)


@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warm_start_keeps_the_scale_of_the_first_fit(dtype, parameters):
    rows, rtol = X.astype(dtype), 1e-12 if dtype == np.float64 else 1e-4
    units = Units(PRICES[training_rows(parameters)] if "early_stopping" in parameters else PRICES)
    model, reference, _ = fit_both({**parameters, "warm_start": True}, rows, PRICES, units=units)
    for y in (PRICES, 3e5 - 2 * PRICES):
        fit_quietly(model, rows, y)
        fit_quietly(reference, rows, units.scale(y))
        assert_same_in_units(model, reference, units, rows, rtol)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_training_continues_from_weights_that_the_user_changed(loss, method):
    y = targets_for(loss)
    model = fit_quietly(mlp(loss=loss, normalize_y=True, warm_start=True), X, y)
    model.coefs_[-1][2] *= 1.5
    model.intercepts_[-1] = model.intercepts_[-1] + 0.1
    model.coefs_[0][0, 0] = 0.25
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-300, solver="sgd")  # the weights do not change
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        getattr(model, method)(X, y)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_training_continues_from_a_model_of_scikit_learn(loss):
    y = targets_for(loss)
    theirs = MLPRegressor((9,), max_iter=5, random_state=0)
    theirs = fit_quietly(theirs.set_params(loss=loss), X, y / 1e4)
    ours = TorchMLPRegressor.from_sklearn(theirs)
    ours.set_params(normalize_y=True, learning_rate_init=1e-300, solver="sgd")
    ours.partial_fit(X, y / 1e4)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    ours.set_params(learning_rate_init=0.01, solver="adam")
    first = ours.partial_fit(X, y / 1e4).loss_
    for _ in range(50):
        ours.partial_fit(X, y / 1e4)
    assert ours.loss_ < first


@pytest.mark.parametrize("first", [False, True])
def test_a_change_of_normalize_y_continues_from_the_weights_with_a_new_solver(first):
    model = mlp(normalize_y=first).partial_fit(X, Y).partial_fit(X, Y)
    model.set_params(normalize_y=not first)
    other = pickle.loads(pickle.dumps(model))
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-300).partial_fit(X, Y)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-12)
    assert other.partial_fit(X, Y)._saved_state.solver["t"] == 2  # batches of one epoch


def test_a_change_of_the_loss_computes_another_scale():
    model = mlp(normalize_y=True).partial_fit(X, Y + 5)
    raw = model.predict(X)
    model.set_params(loss="gamma", learning_rate_init=1e-300).partial_fit(X, Y + 5)
    np.testing.assert_allclose(model.predict(X), np.exp(raw), rtol=1e-12)


def test_a_failed_fit_keeps_the_scale():
    model = mlp(normalize_y=True, warm_start=True)
    expected = fit_quietly(fit_quietly(clone(model), X, PRICES), X, PRICES)
    fit_quietly(model, X, PRICES)
    with pytest.raises(ValueError, match="y contains NaN"):
        fit_quietly(model, X, np.full(len(X), np.nan))
    assert_identical(fit_quietly(model, X, PRICES), expected)
