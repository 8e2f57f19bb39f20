"""Tests for torchmlp.export.onnx_ensembles."""

import numpy as np
import pytest
from ensemble_helpers import CASES, case, regressor
from helpers import fit_quietly
from onnxruntime import InferenceSession
from sklearn.datasets import make_regression
from sklearn.pipeline import make_pipeline

from torchmlp.ensemble import WeightSharingRegressor
from torchmlp.export import to_onnx
from torchmlp.preprocessing import PiecewiseLinearEncoder


def onnx_outputs(model, X):
    graph = to_onnx(model, X).SerializeToString()
    session = InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_to_onnx(name, dtype):
    ensemble, X = case(name)
    X = X.astype(dtype)
    outputs = onnx_outputs(ensemble, X)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-9}
    if isinstance(ensemble, WeightSharingRegressor):
        expected = ensemble.predict(X).reshape(len(X), -1)
        np.testing.assert_allclose(outputs[0], expected, **tolerance)
    else:
        np.testing.assert_array_equal(outputs[0], ensemble.predict(X))
        np.testing.assert_allclose(outputs[1], ensemble.predict_proba(X), **tolerance)
    assert outputs[-1].dtype == dtype


def test_to_onnx_without_probabilities():
    ensemble, X = case("binary", loss="hinge")
    label, scores = onnx_outputs(ensemble, X)
    np.testing.assert_array_equal(label, ensemble.predict(X))
    np.testing.assert_allclose(scores[:, 1], ensemble.decision_function(X), rtol=1e-9)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_standard_deviations_to_onnx(n_targets):
    X, y = make_regression(200, 4, n_targets=n_targets, random_state=0)
    model = fit_quietly(regressor(loss="gaussian", normalize_y=True), X, y)
    graph = to_onnx(model, X, return_std=True).SerializeToString()
    got = InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"X": X})
    for values, expected in zip(got, model.predict(X, return_std=True), strict=True):
        np.testing.assert_allclose(values, expected.reshape(len(X), -1), rtol=1e-9)


def test_pipeline_with_encoder_to_onnx():
    X, y = make_regression(200, 4, random_state=0)
    model = make_pipeline(PiecewiseLinearEncoder(min_samples_leaf=10), regressor(normalize_y=True))
    fit_quietly(model, X, y)
    (values,) = onnx_outputs(model, X)
    np.testing.assert_allclose(values.ravel(), model.predict(X), rtol=1e-3, atol=1e-2)
