"""Tests for torchmlp.training.losses."""

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_same_weights, fit_quietly, iris
from sklearn.base import clone
from sklearn.linear_model import GammaRegressor, Perceptron, QuantileRegressor
from sklearn.metrics import mean_squared_error
from sklearn.svm import LinearSVC

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X_IRIS, Y_IRIS = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]
LINEAR = dict(hidden_layer_sizes=(), random_state=0, alpha=0.0, tol=0.0, n_iter_no_change=10**6)
# Rosenblatt's rule: one sample per step, in the order of the data, from weights of 0.
PERCEPTRON = dict(
    loss="perceptron",
    init="zeros",
    batch_size=1,
    solver="sgd",
    momentum=0.0,
    shuffle=False,
    learning_rate_init=1.0,
)


def test_perceptron_is_the_classical_rule():
    _, X, y, _ = TASKS["binary"]
    theirs = Perceptron(shuffle=False, tol=None, max_iter=7).fit(X, y)
    ours = TorchMLPClassifier(**PERCEPTRON, max_iter=7, **LINEAR)
    fit_quietly(ours, X, y)
    np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.intercepts_[0], theirs.intercept_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_multiclass_perceptron_updates_two_units():
    w, b = np.zeros((4, 3)), np.zeros(3)
    for _ in range(5):
        for row, label in zip(X_IRIS, Y_IRIS, strict=True):
            z = row @ w + b
            rival = max((j for j in range(3) if j != label), key=lambda j: z[j])
            if z[rival] >= z[label]:
                w[:, label] += row
                b[label] += 1
                w[:, rival] -= row
                b[rival] -= 1
    ours = TorchMLPClassifier(**PERCEPTRON, max_iter=5, **LINEAR)
    fit_quietly(ours, X_IRIS, Y_IRIS)
    np.testing.assert_allclose(ours.coefs_[0], w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.intercepts_[0], b)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_hinge_is_a_support_vector_machine(task):
    _, X, y, _ = TASKS[task]
    y = y if task == "binary" else y % 3
    kind = {"multi_class": "crammer_singer"} if task == "multiclass" else {"loss": "hinge"}
    machine = LinearSVC(C=0.1, tol=1e-6, max_iter=10**6, random_state=0, **kind).fit(X, y)
    mlp = TorchMLPClassifier(
        loss="hinge",
        hidden_layer_sizes=(),
        alpha=10.0,
        random_state=0,
        max_iter=3000,
        learning_rate="cosine",
        learning_rate_init=0.01,
        n_iter_no_change=10**6,
        batch_size=len(X),
    )
    fit_quietly(mlp, X, y)
    assert (mlp.predict(X) == machine.predict(X)).mean() > 0.98
    if task == "binary":  # liblinear shrinks the intercept as well
        np.testing.assert_allclose(mlp.coefs_[0].T, machine.coef_, atol=0.02)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_quantile_is_quantile_regression(quantile):
    exact = QuantileRegressor(quantile=quantile, alpha=0.0).fit(X_REG, Y_REG)
    mlp = TorchMLPRegressor(
        "quantile",
        quantile=quantile,
        learning_rate="cosine",
        learning_rate_init=0.03,
        max_iter=3000,
        batch_size=250,
        **LINEAR,
    )
    fit_quietly(mlp, X_REG, Y_REG)

    def pinball(model):
        error = Y_REG - model.predict(X_REG)
        return np.maximum(quantile * error, (quantile - 1) * error).mean()

    assert pinball(mlp) == pytest.approx(pinball(exact), rel=2e-3)
    assert (mlp.predict(X_REG) > Y_REG).mean() == pytest.approx(quantile, abs=0.05)


def test_absolute_error_is_twice_the_pinball_loss_of_the_median():
    parameters = dict(random_state=0, max_iter=20, alpha=0.0, batch_size=250)
    absolute = fit_quietly(TorchMLPRegressor("absolute_error", **parameters), X_REG, Y_REG)
    half = fit_quietly(TorchMLPRegressor("quantile", **parameters), X_REG, Y_REG)
    np.testing.assert_allclose(absolute.loss_curve_[0], 2 * half.loss_curve_[0])


def test_gamma_is_the_generalized_linear_model():
    _, X, y, _ = TASKS["poisson"]
    y = y + 0.5
    glm = GammaRegressor(alpha=0.0, tol=1e-8, max_iter=1000).fit(X, y)
    mlp = TorchMLPRegressor("gamma", solver="lbfgs", max_iter=2000, **{**LINEAR, "tol": 1e-8})
    fit_quietly(mlp, X, y)
    np.testing.assert_allclose(mlp.predict(X), glm.predict(X), rtol=1e-3)


def test_huber_is_squared_within_one_and_absolute_beyond():
    near = Y_REG / 100  # no error comes near one
    parameters = dict(random_state=0, max_iter=5, init="zeros", hidden_layer_sizes=(), alpha=0.0)
    huber = fit_quietly(TorchMLPRegressor("huber", **parameters), X_REG, near)
    squared = fit_quietly(TorchMLPRegressor(**parameters), X_REG, near)
    assert_same_weights(huber, squared)
    far = Y_REG * 1e6
    huber = fit_quietly(TorchMLPRegressor("huber", **parameters), X_REG, far)
    absolute = fit_quietly(TorchMLPRegressor("absolute_error", **parameters), X_REG, far)
    assert_same_weights(huber, absolute)


def half_squared(outputs, y):
    return ((outputs - y) ** 2).sum(dim=1) / 2


def test_callable_loss():
    mlp = TorchMLPRegressor(half_squared, random_state=0, max_iter=10)
    fit_quietly(mlp, X_REG, Y_REG)
    same = fit_quietly(clone(mlp).set_params(loss="squared_error"), X_REG, Y_REG)
    assert_same_weights(mlp, same)
    np.testing.assert_allclose(mlp.loss_curve_, same.loss_curve_)
    with pytest.raises(ValueError, match=r"must return one loss per sample.*got \(200, 1\).*dim=1"):
        TorchMLPRegressor(lambda outputs, y: (outputs - y) ** 2).fit(X_REG, Y_REG)


@pytest.mark.parametrize(
    ("loss", "bad", "message"),
    [
        ("gamma", 0.0, "loss='gamma' requires y > 0, got 0.0. Use loss='squared_error'"),
        ("gamma", -1.0, "loss='gamma' requires y > 0, got -1.0"),
        ("poisson", -1.0, "loss='poisson' requires y >= 0, got -1.0"),
    ],
)
def test_targets_outside_the_range_of_the_loss_raise(loss, bad, message):
    with pytest.raises(ValueError, match=message):
        TorchMLPRegressor(loss).fit(X_REG[:5], [1.0, 2.0, bad, 1.0, 2.0])


@pytest.mark.parametrize("loss", [mean_squared_error, torch.nn.MSELoss], ids=["function", "class"])
def test_loss_of_another_library_raises(loss):
    with pytest.raises(ValueError, match=r"could not be computed.*Use functions of torch"):
        TorchMLPRegressor(loss).fit(X_REG, Y_REG)


@pytest.mark.parametrize("default", [torch.float16, torch.float64])
def test_quantile_loss_does_not_depend_on_the_default_dtype_of_torch(default):
    _, X, y, _ = TASKS["regression"]
    mlp = TorchMLPRegressor("quantile", quantile=0.1, random_state=0, max_iter=5)
    expected = fit_quietly(clone(mlp), X, y)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        got = fit_quietly(clone(mlp), X, y)
    finally:
        torch.set_default_dtype(before)
    assert_same_weights(expected, got, rtol=0, atol=0)
