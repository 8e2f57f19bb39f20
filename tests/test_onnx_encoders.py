"""Tests for torchmlp.export.onnx_encoders, run by onnxruntime."""

import numpy as np
import pandas as pd
import pytest
from onnxruntime import InferenceSession
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, tabular_pipeline
from torchmlp.export import to_onnx
from torchmlp.preprocessing import PiecewiseLinearEncoder

RNG = np.random.RandomState(0)
X = RNG.randn(400, 5) * [1, 1e6, 1, 1e-6, 1]
X[:, 1] += 1e9
X[:, 2] = 3.0  # constant
X[RNG.rand(400) < 0.2, 4] = np.nan
y = X[:, 0] ** 2 + RNG.rand(400)
COLUMNS = ["a", "b c", "d", "e", "f"]


def run(model, X):
    """Return the last output of the graph."""
    session = InferenceSession(
        to_onnx(model, X).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    is_frame = isinstance(X, pd.DataFrame)
    return session.run(None, {c: X[[c]].to_numpy() for c in X} if is_frame else {"X": X})[-1]


@pytest.mark.parametrize("output_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("input_dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("bins", ["target", "quantile"])
def test_graph_encodes_like_transform(bins, input_dtype, output_dtype):
    data = np.nan_to_num(X) if input_dtype is np.int64 else X
    data = data.astype(input_dtype)
    encoder = PiecewiseLinearEncoder(bins=bins, min_samples_leaf=10, dtype=output_dtype)
    expected = encoder.fit_transform(data, y)
    got = run(encoder, data)
    assert got.dtype == output_dtype
    np.testing.assert_array_equal(got, expected)
    outside = (2 * data).astype(input_dtype)
    np.testing.assert_array_equal(run(encoder, outside), encoder.transform(outside))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("container", [np.asarray, lambda X: pd.DataFrame(X, columns=COLUMNS)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pipeline_with_a_network(dtype, container):
    data = container(X.astype(dtype))
    settings = {"learning_rate": "one_cycle", "max_iter": 3, "random_state": 0}
    encoder = PiecewiseLinearEncoder(min_samples_leaf=10)
    regressor = make_pipeline(encoder, TorchMLPRegressor(**settings)).fit(data, y)
    got = run(regressor, data)
    assert got.dtype == np.float32  # the dtype of the encoder's output
    np.testing.assert_allclose(got.ravel(), regressor.predict(data), rtol=1e-5, atol=1e-6)
    classifier = make_pipeline(encoder, TorchMLPClassifier(**settings)).fit(data, y > 1)
    np.testing.assert_allclose(run(classifier, data), classifier.predict_proba(data), atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_column_transformer_and_subclass():
    class Subclass(PiecewiseLinearEncoder):
        pass

    columns = make_column_transformer(
        (Subclass(bins="quantile", sparse_output=True), [4, 0]), (StandardScaler(), [3])
    )
    settings = {"learning_rate": "one_cycle", "max_iter": 3, "random_state": 0}
    pipeline = make_pipeline(columns, TorchMLPRegressor(**settings)).fit(X, y)
    np.testing.assert_allclose(run(pipeline, X).ravel(), pipeline.predict(X), rtol=1e-4, atol=1e-5)


def test_unexpected_missing_values_become_the_median():
    encoder = PiecewiseLinearEncoder(
        min_samples_leaf=10, handle_missing="median", add_scaled=True
    ).fit(X, y)
    unexpected = np.where(RNG.rand(*X.shape) < 0.3, np.nan, X)
    np.testing.assert_array_equal(run(encoder, unexpected), encoder.transform(unexpected))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_tabular_pipeline_with_rare_categories(kind):
    table = pd.DataFrame(X, columns=COLUMNS)
    table["city"] = RNG.choice(["Oslo", "Porto", "Rome"], len(X), p=[0.49, 0.5, 0.01])
    table["plan"] = RNG.choice(["free", "pro"], len(X))
    model = tabular_pipeline(kind)
    model[-1].set_params(max_iter=3, random_state=0)
    model.fit(table, y > 1 if kind == "classifier" else y)
    assert "categories__city_infrequent_sklearn" in model[0].get_feature_names_out()
    expected = model.predict_proba(table) if kind == "classifier" else model.predict(table)
    np.testing.assert_allclose(run(model, table).squeeze(), expected, rtol=1e-5, atol=1e-5)


def _tabular(table):
    model = tabular_pipeline("regressor")
    model[-1].set_params(max_iter=3, random_state=0)
    return model.fit(table, y)


def _with_missing(values, missing, dtype):
    values = np.array(values, dtype=object)
    values[::7] = missing
    return pd.Series(values).astype(dtype)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("dtype", [object, "category", str])
def test_missing_categories_are_converted(dtype, missing):
    table = pd.DataFrame({"a": X[:, 0], "city": RNG.choice(["Oslo", "Porto"], len(X))})
    table["city"] = _with_missing(table["city"], missing, dtype)
    model = _tabular(table)
    np.testing.assert_allclose(run(model, table).ravel(), model.predict(table), atol=1e-5)


RARE = RNG.choice(["Oslo", "Porto", "Rome"], len(X), p=[0.49, 0.5, 0.01])
BEYOND_THE_LIMITS = {
    "booleans": ({"new": X[:, 0] > 0}, r"'new' .* booleans. Convert .* astype\(str\)"),
    "one column with rare categories": ({"new": RARE}, r"'new' .* several columns. Set min_freq"),
    "rare categories and NaN": (
        {"new": _with_missing(RARE, np.nan, object), "plan": RARE},
        r"'new' .* NaN in a column with rare .* fillna\('missing'\)",
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", BEYOND_THE_LIMITS)
def test_categories_that_cannot_be_converted_raise(name):
    columns, message = BEYOND_THE_LIMITS[name]
    table = pd.DataFrame({"a": X[:, 0], **columns})
    with pytest.raises(ValueError, match=message):
        to_onnx(_tabular(table), table)
    if name != "one column with rare categories":
        table["new"] = table["new"].fillna("missing").astype(str)
    table["other"] = RARE
    model = _tabular(table)
    np.testing.assert_allclose(run(model, table).ravel(), model.predict(table), atol=1e-5)


def test_unexpected_missing_values_become_nan():
    encoder = PiecewiseLinearEncoder(min_samples_leaf=10).fit(X, y)
    unexpected = X[:3].copy()
    unexpected[1, :2] = np.nan
    is_nan = np.isnan(run(encoder, unexpected))
    first_two = slice(0, encoder.n_bins_[:2].sum())
    assert is_nan[1, first_two].all()
    assert is_nan.sum() == encoder.n_bins_[:2].sum()
