"""Tests for arrays of other libraries, data frames, unusual dtypes and memory-mapped data."""

import tracemalloc

import array_api_strict
import numpy as np
import polars as pl
import pytest
import torch
from helpers import (
    OURS,
    REGRESSORS,
    SKLEARN_VERSION,
    TASKS,
    assert_identical,
    assert_same_weights,
    fit_quietly,
    iris,
    requires_sklearn,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

# NumPy cannot read "device1", and scikit-learn copies from other devices since version 1.8.
DEVICE = array_api_strict.Device(
    "CPU_DEVICE" if parse_version("1.8") > SKLEARN_VERSION else "device1"
)
MAKERS = {
    "torch": torch.asarray,
    "array_api_strict": lambda array: array_api_strict.asarray(array, device=DEVICE),
}
if torch.cuda.is_available():
    MAKERS["torch on a GPU"] = lambda array: torch.asarray(array, device="cuda")
METHODS = "predict", "predict_proba", "predict_log_proba", "predict_logits"


def numbers(task):
    (_, ours), X, y, needed = TASKS[task]
    y = np.unique(y, return_inverse=True)[1] if y.dtype.kind == "U" else y
    return ours(random_state=0, max_iter=3, **needed), X, y


def assert_same_kind(got, expected, like):
    assert type(got) is type(like)
    assert got.device == like.device
    as_numpy = (
        got.to("cpu")
        if isinstance(got, torch.Tensor)
        else got.to_device(array_api_strict.Device("CPU_DEVICE"))
    )
    as_numpy = np.asarray(as_numpy)
    assert as_numpy.dtype == expected.dtype
    np.testing.assert_array_equal(as_numpy, expected)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_arrays_come_back_as_the_same_kind(task, kind, early_stopping):
    model, X, y = numbers(task)
    model.set_params(early_stopping=early_stopping)
    weights = np.linspace(0, 1, len(X))
    plain = fit_quietly(clone(model), X, y, weights)
    X_, y_, weights_ = map(MAKERS[kind], (X, y, weights))
    with config_context(array_api_dispatch=True):
        fit_quietly(model, X_, y_, weights_)
        assert_identical(model, plain)
        assert model.score(X_, y_) == pytest.approx(plain.score(X, y))
        for method in METHODS:
            if hasattr(plain, method):
                assert_same_kind(getattr(model, method)(X_), getattr(plain, method)(X), X_)
        for got, expected in zip(
            model.hidden_activations(X_), plain.hidden_activations(X), strict=True
        ):
            assert_same_kind(got, expected, X_)
        assert isinstance(model.predict(X), np.ndarray)  # a fitted model takes every kind


@requires_sklearn("1.9", "array API dispatch beside lists")
@pytest.mark.parametrize("kind", MAKERS)
def test_validation_data_and_partial_fit(kind):
    model, X, y = numbers("multiclass")
    make = MAKERS[kind]
    plain = fit_quietly(clone(model), X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    steps = clone(model).partial_fit(X, y, classes=list(range(10)))
    with config_context(array_api_dispatch=True):
        fit_quietly(model, make(X[:150]), make(y[:150]), X_val=make(X[150:]), y_val=make(y[150:]))
        assert model.validation_loss_curve_ == plain.validation_loss_curve_
        again = clone(model).partial_fit(make(X), make(y), classes=list(range(10)))
    assert_identical(again, steps)


def test_string_labels_are_returned_as_numpy():
    (_, ours), X, y, _ = TASKS["binary"]
    with config_context(array_api_dispatch=True):
        model = fit_quietly(ours(max_iter=3, random_state=0), torch.asarray(X), y)
        assert model.predict(torch.asarray(X)).dtype.kind == "U"


@requires_sklearn("1.8", "array API dispatch in cross_val_score")
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # three epochs are enough to compare
def test_in_a_pipeline_and_a_cross_validation():
    model, X, y = numbers("multiclass")
    pipeline = make_pipeline(StandardScaler(), model)
    expected = cross_val_score(pipeline, X, y)
    with config_context(array_api_dispatch=True):
        got = cross_val_score(pipeline, torch.asarray(X), torch.asarray(y))
    np.testing.assert_allclose(got, expected)


def test_tensors_in_bfloat16_or_with_gradient():
    model, X, y = numbers("multiclass")
    low = torch.asarray(X).bfloat16()
    plain = fit_quietly(clone(model), low.float().numpy(), y, np.full(len(X), 2.0))
    with config_context(array_api_dispatch=True):
        fit_quietly(model, low.requires_grad_(), torch.asarray(y), sample_weight=2.0)
        assert_identical(model, plain)
        assert model.predict_proba(low).dtype is torch.float32


@pytest.mark.parametrize("ours", OURS)
def test_tensors_without_dispatch_give_numpy(ours):
    X, y = torch.arange(20.0).reshape(10, 2), torch.arange(10) % 2
    model = fit_quietly(ours(max_iter=3), X, y)
    assert isinstance(model.predict(X), np.ndarray)


def test_polars():
    _, X, y, _ = TASKS["regression"]
    data = pl.DataFrame(X, schema=[f"x{i}" for i in range(10)])
    model = TorchMLPRegressor(max_iter=3, random_state=0)
    fit_quietly(model, data, pl.Series(y))
    assert list(model.feature_names_in_) == data.columns
    plain = fit_quietly(clone(model), X, y)
    assert_identical(model, plain)
    # The data of polars are column-major, and their products round differently.
    np.testing.assert_allclose(model.predict(data), plain.predict(X), rtol=1e-11)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(data.select(reversed(data.columns)))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_memory_mapped_data_are_not_copied(early_stopping, tmp_path):
    rng = np.random.RandomState(0)
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(100_000, 100))
    X[:] = rng.standard_normal((100_000, 100))
    y = X[:, 0] > 0
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="r", shape=X.shape)
    model = TorchMLPClassifier(
        (4,), max_iter=1, random_state=0, early_stopping=early_stopping, validation_fraction=0.01
    )
    tracemalloc.start()
    fit_quietly(model, X, y)
    model.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 3  # orders and masks of the rows
    assert_identical(model, fit_quietly(clone(model), np.array(X), y))


@requires_sklearn("1.9", "array API dispatch of LogisticRegression")
def test_dispatch_equals_that_of_scikit_learn():
    X, y = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 2
    with config_context(array_api_dispatch=True):
        theirs = LogisticRegression(solver="lbfgs").fit(X, y).predict(X)
        ours = fit_quietly(TorchMLPClassifier(max_iter=2), X, y).predict(X)
    assert (type(ours), ours.dtype, ours.device) == (type(theirs), theirs.dtype, theirs.device)


def variant(kind, array):
    """A tensor that NumPy does not take as it is."""
    tensor = torch.asarray(array, dtype=torch.float32)
    return {
        "gradient": lambda: tensor.clone().requires_grad_(),
        "parameter": lambda: torch.nn.Parameter(tensor),
        "bfloat16": tensor.bfloat16,
        "float8": lambda: tensor.to(torch.float8_e5m2),
        "negative bit": lambda: torch._neg_view(-tensor),
        "on a GPU": tensor.cuda,
    }[kind]()


DENSE = ["gradient", "parameter", "bfloat16", "float8", "negative bit"]
if torch.cuda.is_available():
    DENSE.append("on a GPU")


@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_dense_tensor_is_taken(task, kind, dispatch):
    model, X, y = numbers(task)
    X, y, weights = (variant(kind, a) for a in (X[:, :12], y, np.linspace(0.1, 1, len(X))))
    plain_X, plain_y, plain_weights = (np.array(a.tolist(), np.float32) for a in (X, y, weights))
    plain = fit_quietly(
        clone(model),
        *(plain_X, plain_y, plain_weights),
        **dict(X_val=plain_X, y_val=plain_y, sample_weight_val=plain_weights),
    )
    with config_context(array_api_dispatch=dispatch):
        fit_quietly(model, X, y, weights, X_val=X, y_val=y, sample_weight_val=weights)
        assert_identical(model, plain)
        assert model.validation_loss_curve_ == plain.validation_loss_curve_
        expected = plain.score(plain_X, plain_y, plain_weights)
        assert model.score(X, y, weights) == expected
        assert model.score(plain_X, y, weights) == expected
        assert model.score(X, plain_y, plain_weights) == expected
        predicted = model.predict(X)
    assert isinstance(predicted, torch.Tensor if dispatch else np.ndarray)
    predicted = predicted.cpu().numpy() if dispatch else predicted
    np.testing.assert_array_equal(predicted, plain.predict(plain_X))


SPARSE = {
    "coo": lambda array: torch.asarray(array).to_sparse(),
    "csr": lambda array: torch.asarray(np.atleast_2d(array)).to_sparse_csr(),
    "meta": lambda array: torch.empty(array.shape, device="meta"),
    "nested": lambda array: torch.nested.nested_tensor([torch.asarray(array)]),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("ours", OURS)
def test_tensors_that_are_not_dense_raise(ours, kind, dispatch):
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    weights, make = np.ones(10), SPARSE[kind]
    model = fit_quietly(ours(max_iter=2), X, y)
    calls = {
        "X": [lambda: model.fit(make(X), y), lambda: model.predict(make(X))],
        "y": [lambda: model.fit(X, make(y)), lambda: model.score(X, make(y))],
        "sample_weight": [
            lambda: model.fit(X, y, make(weights)),
            lambda: model.score(X, y, make(weights)),
        ],
        "X_val": [lambda: model.fit(X, y, X_val=make(X), y_val=y)],
        "y_val": [lambda: model.fit(X, y, X_val=X, y_val=make(y))],
        "sample_weight_val": [
            lambda: model.fit(X, y, X_val=X, y_val=y, sample_weight_val=make(weights))
        ],
    }
    with config_context(array_api_dispatch=dispatch):
        for name, uses in calls.items():
            for use in uses:
                with pytest.raises(
                    ValueError, match=rf"^{name}: Got a tensor of layout .*to_dense"
                ):
                    use()


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", np.longdouble, np.float16, np.int8, bool])
def test_unusual_dtypes_of_data_and_targets(dtype):
    _, X, y, _ = TASKS["regression"]
    rows, targets = (X * 5).astype(dtype), (y * 5).astype(dtype)
    for given in ((rows, y), (X, targets)):
        theirs, ours = (fit_quietly(r(random_state=0, max_iter=4), *given) for r in REGRESSORS)
        digits = 1e-9 if theirs.coefs_[0].dtype == np.float64 else 1e-3
        assert_same_weights(theirs, ours, rtol=digits, atol=digits)
        np.testing.assert_allclose(
            ours.predict(given[0]).astype(float), theirs.predict(given[0]).astype(float), rtol=1e-2
        )


def test_field_of_a_structured_array():
    X, y = iris()
    records = np.zeros(150, dtype=[("x", "f8", (4,)), ("id", "i1")])
    records["x"] = X
    mlp = TorchMLPRegressor(random_state=0, max_iter=3)
    plain, packed = fit_quietly(clone(mlp), X, y), fit_quietly(clone(mlp), records["x"], y)
    assert_identical(plain, packed)
    np.testing.assert_array_equal(plain.predict(X), packed.predict(records["x"]))
