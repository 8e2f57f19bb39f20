"""Tests against closed forms and invariances: truths that do not come from scikit-learn's MLP."""

import numpy as np
import pytest
from helpers import TASKS, assert_same_weights, fit_quietly, iris, some_weights
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

LINEAR = dict(
    hidden_layer_sizes=(), solver="lbfgs", tol=1e-8, max_iter=2000, max_fun=10**6, random_state=0
)


@pytest.mark.parametrize("weighted", [False, True])
def test_linear_regressor_is_ridge(weighted):
    _, X, y, _ = TASKS["regression"]
    weights = some_weights(len(y)) if weighted else None
    ridge = Ridge(alpha=2.0).fit(X, y, weights)
    mlp = TorchMLPRegressor(alpha=2.0, **LINEAR).fit(X, y, weights)
    np.testing.assert_allclose(mlp.coefs_[0].ravel(), ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(mlp.intercepts_[0][0], ridge.intercept_, atol=1e-4)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_linear_classifier_is_logistic_regression(task):
    _, X, y, _ = TASKS[task]
    logistic = LogisticRegression(C=1 / 20.0, tol=1e-8, max_iter=5000).fit(X, y)
    mlp = TorchMLPClassifier(alpha=20.0, **LINEAR).fit(X, y)
    np.testing.assert_allclose(mlp.predict_proba(X), logistic.predict_proba(X), atol=2e-4)
    if task == "binary":
        np.testing.assert_allclose(mlp.coefs_[0].T, logistic.coef_, atol=1e-4)


def test_linear_poisson_is_the_generalized_linear_model():
    _, X, y, _ = TASKS["poisson"]
    glm = PoissonRegressor(alpha=0.0, tol=1e-8, max_iter=1000).fit(X, y)
    mlp = TorchMLPRegressor("poisson", alpha=0.0, **LINEAR).fit(X, y)
    np.testing.assert_allclose(mlp.predict(X), glm.predict(X), rtol=1e-3)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_integer_weights_equal_repeated_rows(task, solver):
    (_, ours), X, y, needed = TASKS[task]
    X, y = X[:90], y[:90]
    counts = np.random.RandomState(0).randint(0, 3, 90)
    parameters = dict(
        solver=solver, random_state=0, max_iter=15, batch_size="auto", hidden_layer_sizes=(6,)
    )
    repeated = np.repeat(np.arange(90), counts)  # fewer than 200: one batch
    assert len(repeated) <= 200
    # Both must know the same classes, or their outputs differ.
    assert (
        len(np.unique(y[repeated], axis=0)) == len(np.unique(y, axis=0))
        or y.ndim == 2
        or (task in ("regression", "poisson"))
    )
    weighted = fit_quietly(ours(**parameters, **needed), X, y, counts.astype(float))
    twice = fit_quietly(ours(**parameters, **needed), X[repeated], y[repeated])
    tolerance = 1e-5 if solver == "lbfgs" else 1e-9
    assert_same_weights(weighted, twice, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_weights_are_repeated_rows_in_float32(task):
    (_, ours), X, y, _ = TASKS[task]
    counts = np.random.RandomState(0).randint(0, 3, 90)
    repeated = np.repeat(np.arange(90), counts)
    mlp = ours(hidden_layer_sizes=(6,), max_iter=15, dtype="float32", random_state=0)
    weighted = fit_quietly(clone(mlp), X[:90], y[:90], counts.astype(float))
    twice = fit_quietly(clone(mlp), X[repeated], y[repeated])
    assert_same_weights(weighted, twice, rtol=1e-4, atol=1e-5)


def test_permuted_classes_permute_columns():
    X, y = iris()
    names = np.array(["a", "b", "c"])
    renamed = np.array(["c", "a", "b"])[y]
    parameters = dict(random_state=0, hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, tol=1e-8)
    straight = TorchMLPClassifier(**parameters).fit(X, names[y])
    permuted = TorchMLPClassifier(**parameters).fit(X, renamed)
    columns = [list(permuted.classes_).index(new) for new in "cab"]
    np.testing.assert_allclose(
        straight.predict_proba(X), permuted.predict_proba(X)[:, columns], atol=1e-4
    )
