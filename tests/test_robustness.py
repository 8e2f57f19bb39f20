"""Odd but legitimate input and surroundings: what scikit-learn's class takes, ours takes."""

import pickle
import re
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import (
    CLASSIFIERS,
    REGRESSORS,
    TASKS,
    assert_identical,
    assert_same_fit,
    assert_same_weights,
    fit_quietly,
    iris,
)
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
def test_numpy_integers_as_parameters(kind):
    fits = (
        fit_quietly(r(random_state=0, batch_size=kind(7), max_iter=kind(4)), X_REG, Y_REG)
        for r in REGRESSORS
    )
    assert_same_fit(*fits, X_REG)


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", np.longdouble, np.float16, np.int8, bool])
def test_odd_dtypes_of_data_and_targets(dtype):
    rows, targets = (X_REG * 5).astype(dtype), (Y_REG * 5).astype(dtype)
    for given in ((rows, Y_REG), (X_REG, targets)):
        theirs, ours = (fit_quietly(r(random_state=0, max_iter=4), *given) for r in REGRESSORS)
        digits = 1e-9 if theirs.coefs_[0].dtype == np.float64 else 1e-3
        assert_same_weights(theirs, ours, rtol=digits, atol=digits)
        np.testing.assert_allclose(
            ours.predict(given[0]).astype(float), theirs.predict(given[0]).astype(float), rtol=1e-2
        )


def test_fields_of_records():
    records = np.zeros(150, dtype=[("x", "f8", (4,)), ("id", "i1")])
    records["x"] = X
    mlp = TorchMLPRegressor(random_state=0, max_iter=3)
    plain, packed = fit_quietly(clone(mlp), X, y), fit_quietly(clone(mlp), records["x"], y)
    assert_identical(plain, packed)
    np.testing.assert_array_equal(plain.predict(X), packed.predict(records["x"]))


def test_targets_of_a_regressor_are_numbers():
    with pytest.raises(ValueError, match=r"y must hold numbers, got .*<U.*TorchMLPClassifier"):
        TorchMLPRegressor().fit(X, np.array(["a", "b"])[y % 2])


def test_float32_weights_count_in_float64():
    weights = np.random.RandomState(0).rand(250).astype(np.float32)
    for solver in ("adam", "sgd"):
        theirs, ours = (
            fit_quietly(r(random_state=0, max_iter=30, solver=solver), X_REG, Y_REG, weights)
            for r in REGRESSORS
        )
        # scikit-learn sums the weights in float32.
        assert_same_weights(theirs, ours, rtol=1e-6, atol=1e-7)
        exact = fit_quietly(clone(ours), X_REG, Y_REG, weights.astype(float))
        assert_identical(exact, ours)


@pytest.mark.parametrize("first", ["adam", "sgd", "adamw", torch.optim.SGD])
@pytest.mark.parametrize("second", ["sgd", "adam"])
def test_another_solver_begins_afresh(first, second):
    mlp = TorchMLPRegressor(random_state=0, solver=first).partial_fit(X_REG, Y_REG)
    before = mlp.coefs_[0].copy()
    mlp.set_params(solver=second).partial_fit(X_REG, Y_REG)
    assert not np.array_equal(mlp.coefs_[0], before)
    assert len(mlp.loss_curve_) == 2


def test_another_seed_counts_from_the_next_step_on():
    steps = TorchMLPRegressor(random_state=0, batch_size=20).partial_fit(X_REG, Y_REG)
    other = pickle.loads(pickle.dumps(steps)).set_params(random_state=1)
    assert not np.array_equal(
        steps.partial_fit(X_REG, Y_REG).coefs_[0], other.partial_fit(X_REG, Y_REG).coefs_[0]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_torchs_default_dtype_does_not_matter(dtype):
    mlp = TorchMLPClassifier((8,), random_state=0, max_iter=100, batch_size=20)
    expected = fit_quietly(clone(mlp), X, y)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        got = fit_quietly(clone(mlp), X, y)
    finally:
        torch.set_default_dtype(before)
    assert_identical(expected, got)


def test_torchs_default_device_does_not_matter():
    mlp = TorchMLPClassifier((8,), random_state=0, max_iter=5, early_stopping=True, dropout=0.1)
    expected = fit_quietly(clone(mlp), X, y)
    with torch.device("meta"):
        got = fit_quietly(clone(mlp), X, y)
        probabilities = got.predict_proba(X)
    assert_identical(expected, got)
    np.testing.assert_array_equal(probabilities, expected.predict_proba(X))


def test_no_score_that_is_a_number_keeps_the_initial_weights():
    # All but the first epoch's step explode, in every layer.
    mlp = TorchMLPRegressor(
        solver="sgd", learning_rate_init=1e200, early_stopping=True, random_state=0, max_iter=3
    )
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X_REG, Y_REG)
    assert any("No validation score was finite" in str(w.message) for w in caught)
    assert any("diverged in epoch 1" in str(w.message) for w in caught)
    start = TorchMLPRegressor(random_state=0, max_iter=1, learning_rate_init=1e-300)
    fit_quietly(start, X_REG, Y_REG)
    assert_same_weights(mlp, start)


def test_early_stopping_without_enough_of_each_class_says_what_to_do():
    digits, labels = load_digits(return_X_y=True)
    message = r"early_stopping=True needs samples of each class.*validation_fraction=0.1, or set"
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifier(early_stopping=True).fit(digits[:90], labels[:90])


def test_the_split_keeps_the_shares_of_the_classes(monkeypatch):
    from torchmlp import early_stopping

    split, seen = early_stopping.train_test_split, []

    def spy(rows, **kwargs):
        seen.extend(split(rows, **kwargs))
        return seen

    monkeypatch.setattr(early_stopping, "train_test_split", spy)
    labels = np.repeat([0, 1, 2], [90, 45, 15])
    fit_quietly(
        TorchMLPClassifier(
            early_stopping=True, max_iter=2, random_state=0, validation_fraction=0.2
        ),
        X,
        labels,
    )
    np.testing.assert_array_equal(np.bincount(labels[seen[1]]), [18, 9, 3])


def test_warm_start_learns_from_new_data_under_early_stopping():
    mlp = TorchMLPClassifier(
        early_stopping=True, warm_start=True, random_state=0, learning_rate_init=0.01
    )
    mlp.fit(X, y > 0)
    assert mlp.best_validation_score_ == 1.0
    mlp.fit(X, y == 0)
    assert mlp.score(X, y == 0) > 0.9


@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_a_warning_made_an_error_does_not_cost_the_model(parameters):
    mlp = TorchMLPClassifier(random_state=0, max_iter=2, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            mlp.fit(X, y)
    assert mlp.predict(X).shape == (150,)


def test_warnings_point_at_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TorchMLPClassifier(random_state=0, max_iter=2, batch_size=999).fit(X, y)
    assert len(caught) == 2
    assert {re.sub(r".*/", "", w.filename) for w in caught} == {"test_robustness.py"}


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_array])
def test_sparse_data_stay_sparse(container, solver, monkeypatch):
    for kind in (sp.csr_matrix, sp.csr_array, sp.csc_array, sp.csc_matrix):
        for method in ("toarray", "todense"):
            monkeypatch.setattr(kind, method, lambda *args, **kwargs: pytest.fail("densified"))
    rows = container(X)
    mlp = TorchMLPRegressor(random_state=0, max_iter=3, solver=solver)
    fit_quietly(mlp, rows, y, np.ones(150)).predict(rows)
    if solver != "lbfgs":
        mlp.partial_fit(rows, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_sparse_and_weighted_parity(solver, weighted):
    weights = np.linspace(0.1, 2, 150) if weighted else None
    fits = (
        fit_quietly(c(random_state=0, max_iter=8, solver=solver), sp.csr_array(X), y, weights)
        for c in CLASSIFIERS
    )
    assert_same_fit(*fits, X, rtol=1e-6 if solver == "lbfgs" else 1e-9)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_does_not_copy_the_data(shuffle, weighted):
    big = np.random.RandomState(0).rand(60_000, 50)
    weights = np.ones(60_000) if weighted else None
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(2,), max_iter=1, random_state=0, shuffle=shuffle, early_stopping=True
    )
    # Only NumPy reports to tracemalloc; torch's buffers are those of a block and a batch.
    tracemalloc.start()
    fit_quietly(mlp, big, big[:, 0], weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * big.nbytes  # a tenth is the validation part, and there are masks of checks


def test_data_in_order_are_used_where_they_are(monkeypatch):
    from torchmlp.training import batches

    def gather(source, rows, out):
        assert out.shape[1] == 1  # the targets
        original(source, rows, out)

    original = batches.gather
    monkeypatch.setattr(batches, "gather", gather)
    many = np.tile(X, (20, 1))
    mlp = TorchMLPRegressor(shuffle=False, batch_size=5, max_iter=1, random_state=0)
    fit_quietly(mlp, many, many[:, 0])
