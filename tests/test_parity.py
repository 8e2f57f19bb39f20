"""Tests for parity with scikit-learn's MLP in float64: weights, losses, attributes, predictions."""

import contextlib
import dataclasses
import inspect
import io
import re

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    CLASSIFIERS,
    REGRESSORS,
    TASKS,
    assert_identical,
    assert_same_fit,
    assert_same_weights,
    fit_pair,
    fit_quietly,
    iris,
    requires_sklearn,
    some_weights,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.multiclass import unique_labels

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_stochastic(solver, activation, task, weighted):
    weights = some_weights(len(TASKS[task][1])) if weighted else None
    X, theirs, ours = fit_pair(
        task,
        weights,
        solver=solver,
        activation=activation,
        hidden_layer_sizes=(12, 7),
        batch_size=60,
        max_iter=25,
        alpha=0.01,
        learning_rate_init=0.005,
    )
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_defaults_for_300_epochs(solver, task):
    X, theirs, ours = fit_pair(task, solver=solver, max_iter=300, tol=0.0)
    assert theirs.n_iter_ >= 200
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("task", [name for name in TASKS if name != "multioutput"])
def test_lbfgs(task, activation, weighted):
    # Rounding errors grow from one iteration of the line search to the next, so the number of
    # iterations is small enough for 1e-6.
    weights = some_weights(len(TASKS[task][1])) if weighted else None
    X, theirs, ours = fit_pair(
        task, weights, solver="lbfgs", activation=activation, hidden_layer_sizes=(6,), max_iter=10
    )
    assert_same_fit(theirs, ours, X, rtol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "invscaling", "power_t": 0.3},
        {"learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2, "max_iter": 400},
        {"momentum": 0.0},
        {"nesterovs_momentum": False},
        {"shuffle": False},
        {"batch_size": 1, "max_iter": 4},
        {"batch_size": 7},
        {"batch_size": 249},
        {"n_iter_no_change": np.inf, "tol": 10.0},
        {"alpha": 0.0},
        {"alpha": 5.0},
        {"tol": 0.05, "max_iter": 300},
    ],
    ids=lambda p: ",".join(f"{k}={v}" for k, v in p.items()),
)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_parameters_of_sgd(task, parameters):
    parameters = {"max_iter": 25, "learning_rate_init": 0.01, **parameters}
    X, theirs, ours = fit_pair(task, solver="sgd", hidden_layer_sizes=(9,), **parameters)
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"shuffle": False, "batch_size": 32},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 5},
        {"hidden_layer_sizes": np.array([5, 4, 3])},
        {"random_state": np.random.RandomState(8).get_state()[1][:3].astype(np.uint32)},
    ],
    ids=lambda p: ",".join(p),
)
@pytest.mark.parametrize("task", TASKS)
def test_parameters_of_adam(task, parameters):
    if "random_state" in parameters:  # one instance for each estimator, in the same state
        seed = parameters["random_state"]
        estimators, X, y, needed = TASKS[task]
        theirs, ours = (
            fit_quietly(
                estimator(random_state=np.random.RandomState(seed), max_iter=9, **needed), X, y
            )
            for estimator in estimators
        )
    else:
        X, theirs, ours = fit_pair(task, **{"max_iter": 20, **parameters})
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("task", ["binary", "multilabel", "regression", "multioutput"])
def test_early_stopping(task, solver, weighted):
    weights = some_weights(len(TASKS[task][1])) if weighted else None
    X, theirs, ours = fit_pair(
        task,
        weights,
        solver=solver,
        early_stopping=True,
        validation_fraction=0.2,
        batch_size=50,
        max_iter=60,
        learning_rate_init=0.01,
        n_iter_no_change=5,
    )
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("multiclass", {}),
        ("multiclass", {"shuffle": False}),
        ("multilabel", {"early_stopping": True}),
        ("regression", {"early_stopping": True}),
        ("regression", {"shuffle": False}),
    ],
)
def test_sparse(container, task, parameters):
    X, theirs, ours = fit_pair(task, convert=container, max_iter=12, batch_size=64, **parameters)
    assert_same_fit(theirs, ours, X)


def test_sparse_lbfgs():
    X, theirs, ours = fit_pair("multiclass", convert=sp.csr_array, solver="lbfgs", max_iter=10)
    assert_same_fit(theirs, ours, X, rtol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_warm_start(task, solver):
    estimators, X, y, needed = TASKS[task]
    pair = [
        estimator(warm_start=True, max_iter=6, random_state=1, solver=solver, **needed)
        for estimator in estimators
    ]
    for _ in range(4):
        for estimator in pair:
            fit_quietly(estimator, X, y)
        if solver != "lbfgs":
            assert_same_fit(*pair, X)
    if solver == "lbfgs":
        assert_same_fit(*pair, X, rtol=1e-6)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_warm_start_and_schedules(learning_rate):
    _, X, y, _ = TASKS["binary"]
    pair = [
        estimator(
            warm_start=True,
            max_iter=5,
            random_state=1,
            solver="sgd",
            learning_rate=learning_rate,
            n_iter_no_change=1,
            tol=0.1,
        )
        for estimator in CLASSIFIERS
    ]
    for _ in range(3):
        for estimator in pair:
            fit_quietly(estimator, X, y)
        assert_same_fit(*pair, X)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("task", TASKS)
def test_partial_fit(task, solver):
    # In the order of the data, since scikit-learn repeats one shuffle: test_differences.py.
    estimators, X, y, needed = TASKS[task]
    classes = {"classes": unique_labels(y)} if estimators is CLASSIFIERS else {}
    pair = [
        estimator(solver=solver, random_state=0, shuffle=False, batch_size=40, **needed)
        for estimator in estimators
    ]
    for chunk in (slice(0, 100), slice(100, 250), slice(0, 240)):
        for estimator in pair:
            estimator.partial_fit(X[chunk], y[chunk], **classes)
        assert_same_fit(*pair, X)


def test_one_class_and_one_row():
    X = np.array([[0.5, -1.0]])
    for y in (np.array([1]), np.array(["only"])):
        theirs, ours = (fit_quietly(c(random_state=0, max_iter=20), X, y) for c in CLASSIFIERS)
        assert_same_fit(theirs, ours, X)
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)


def test_integer_and_column_targets():
    X, y = iris()
    theirs, ours = (
        fit_quietly(r(random_state=0, max_iter=20), (X * 10).astype(int), y) for r in REGRESSORS
    )
    assert_same_fit(theirs, ours, X)
    for estimator in (theirs, ours):
        with pytest.warns(UserWarning, match="A column-vector y was passed"):
            fit_quietly(estimator, X, y[:, None])
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("task", TASKS)
def test_float32_stays_float32(task):
    X, theirs, ours = fit_pair(task, convert=np.float32, max_iter=20)
    assert {w.dtype for w in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert_same_weights(theirs, ours, rtol=1e-3, atol=1e-4)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        for rows in (X, X.astype(float)):  # float64 rows promote, as in scikit-learn
            if hasattr(theirs, method):
                expected = getattr(theirs, method)(rows)
                assert getattr(ours, method)(rows).dtype == expected.dtype


@requires_sklearn("1.7", "losses of MLPRegressor")
@pytest.mark.parametrize("pair", [CLASSIFIERS, REGRESSORS])
def test_signature(pair):
    theirs, ours = (inspect.signature(estimator).parameters for estimator in pair)
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default
        assert ours[name].kind == parameter.kind
    assert all(ours[n].kind is inspect.Parameter.KEYWORD_ONLY for n in ours if n not in theirs)


@requires_sklearn("1.7", "the tag for sparse input of MLPClassifier and MLPRegressor")
@pytest.mark.parametrize("pair", [CLASSIFIERS, REGRESSORS])
def test_tags_and_methods(pair):
    theirs, ours = (estimator() for estimator in pair)
    expected = dataclasses.replace(theirs.__sklearn_tags__(), array_api_support=True)
    assert ours.__sklearn_tags__() == expected
    public = {name for name in dir(theirs) if not name.startswith("_")}
    assert public <= set(dir(ours))


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_fitted_attributes(task, parameters):
    _, theirs, ours = fit_pair(task, max_iter=5, **parameters)

    def public(estimator):
        return {name for name in vars(estimator) if re.fullmatch(r"[a-z].*[a-z]_", name)}

    added = {"device_", "n_parameters_", "validation_loss_curve_"} | (
        {"loss_curve_"} if parameters.get("solver") else set()
    )
    assert public(ours) - public(theirs) == added
    assert public(theirs) <= public(ours)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_iter": 4},
        {"early_stopping": True, "max_iter": 4},
        {"tol": 1.0, "n_iter_no_change": 2},
        {"tol": 1.0, "n_iter_no_change": 2, "early_stopping": True},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
    ],
)
def test_verbose_prints_the_same_lines(parameters):
    _, X, y, _ = TASKS["binary"]
    printed = []
    for estimator in CLASSIFIERS:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            fit_quietly(estimator(random_state=0, verbose=True, **parameters), X, y)
        printed.append(out.getvalue())
    assert printed[0] == printed[1]
    assert "Iteration 1, loss = " in printed[0]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_same_convergence_warning(solver):
    _, X, y, _ = TASKS["binary"]
    messages = []
    for estimator in CLASSIFIERS:
        with pytest.warns(ConvergenceWarning) as caught:
            estimator(random_state=0, max_iter=3, solver=solver).fit(X, y)
        messages.append([str(w.message) for w in caught])
    assert messages[0] == messages[1]


def test_the_same_warning_about_batch_size():
    X, y = iris()
    for estimator in (MLPClassifier, TorchMLPClassifier, MLPRegressor, TorchMLPRegressor):
        with pytest.warns(UserWarning, match=r"Got `batch_size` less than 1 or larger than"):
            fit_quietly(estimator(batch_size=999, max_iter=2, random_state=0), X, y)


def test_float32_sample_weights_are_summed_in_float64():
    _, X, y, _ = TASKS["regression"]
    weights = np.random.RandomState(0).rand(250).astype(np.float32)
    for solver in ("adam", "sgd"):
        theirs, ours = (
            fit_quietly(r(random_state=0, max_iter=30, solver=solver), X, y, weights)
            for r in REGRESSORS
        )
        # scikit-learn sums the weights in float32.
        assert_same_weights(theirs, ours, rtol=1e-6, atol=1e-7)
        exact = fit_quietly(clone(ours), X, y, weights.astype(float))
        assert_identical(exact, ours)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_sparse_and_weighted(solver, weighted):
    X, y = iris()
    weights = np.linspace(0.1, 2, 150) if weighted else None
    fits = (
        fit_quietly(c(random_state=0, max_iter=8, solver=solver), sp.csr_array(X), y, weights)
        for c in CLASSIFIERS
    )
    assert_same_fit(*fits, X, rtol=1e-6 if solver == "lbfgs" else 1e-9)
