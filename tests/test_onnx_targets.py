"""Tests for torchmlp.onnx_targets: TransformedTargetRegressor in ONNX."""

import numpy as np
import pandas as pd
import pytest
from helpers import around_target, fit_quietly, nested_regressors
from onnxruntime import InferenceSession
from scipy.special import expit, logit
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.ensemble import VotingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from torchmlp import TorchMLPRegressor
from torchmlp.export import to_onnx

X, y = load_diabetes(return_X_y=True)  # y is between 25 and 346
BOTH = load_linnerud(return_X_y=True)

TRANSFORMERS = {
    "StandardScaler": StandardScaler(),
    "StandardScaler, mean only": StandardScaler(with_std=False),
    "StandardScaler, deviation only": StandardScaler(with_mean=False),
    "MinMaxScaler": MinMaxScaler((-1, 2)),
    "MaxAbsScaler": MaxAbsScaler(),
    "RobustScaler": RobustScaler(),
    "RobustScaler, center only": RobustScaler(with_scaling=False),
    "RobustScaler, scale only": RobustScaler(with_centering=False),
    "FunctionTransformer": FunctionTransformer(np.log, np.exp, check_inverse=False),
    "identity": FunctionTransformer(),
    "Pipeline": make_pipeline(
        FunctionTransformer(np.log1p, np.expm1), "passthrough", StandardScaler()
    ),
}

FUNCTIONS = {
    np.exp: np.log,
    np.expm1: np.log1p,
    np.log: lambda y: np.exp(y / 400),
    np.log1p: lambda y: np.expm1(y / 400),
    np.sqrt: np.square,
    np.square: np.sqrt,
    np.sinh: np.arcsinh,
    expit: lambda y: logit(y / 400),
}


def _network(**parameters):
    settings = {"hidden_layer_sizes": (6, 4), "max_iter": 4, "random_state": 0}
    return TorchMLPRegressor(**settings, **parameters)


NAMES = list(nested_regressors(None))


def _assert_same_in_onnx(model, X):
    feed = {"X": X} if isinstance(X, np.ndarray) else {c: X[[c]].to_numpy() for c in X}
    onx = to_onnx(model, X)
    (got,) = InferenceSession(onx.SerializeToString()).run(["variable"], feed)
    expected = model.predict(X).reshape(len(X), -1)
    declared = [d.dim_value for d in onx.graph.output[0].type.tensor_type.shape.dim]
    assert declared == [0, expected.shape[1]]  # 0 is any number
    in_float32 = any(values.dtype == np.float32 for values in feed.values())
    assert got.dtype == (np.float32 if in_float32 else np.float64)
    tolerance = (1e-4, 1e-4) if in_float32 else (1e-10, 1e-10)
    np.testing.assert_allclose(got, expected, *tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_transformer_is_inverted(name, dtype):
    model = around_target(_network(), transformer=TRANSFORMERS[name])
    _assert_same_in_onnx(fit_quietly(model, X.astype(dtype), y), X.astype(dtype))


@pytest.mark.parametrize("inverse", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_function_is_inverted(inverse):
    model = around_target(
        _network(), func=FUNCTIONS[inverse], inverse_func=inverse, check_inverse=False
    )
    _assert_same_in_onnx(fit_quietly(model, X, y), X)


def test_several_targets():
    X, y = BOTH
    for transformer in (StandardScaler(), MinMaxScaler(), RobustScaler()):
        model = around_target(_network(), transformer=transformer)
        _assert_same_in_onnx(fit_quietly(model, X, y), X)


@pytest.mark.parametrize("name", NAMES)
def test_every_nesting(name):
    _assert_same_in_onnx(fit_quietly(nested_regressors(_network())[name], X, y), X)


def test_voting_regressor():
    models = [("log", around_target(_network())), ("line", around_target(LinearRegression()))]
    _assert_same_in_onnx(fit_quietly(VotingRegressor(models), X, y), X)


def test_data_frame():
    frame = pd.DataFrame(X[:, :3], columns=["age", "sex", "bmi"])
    frame["color"] = np.array(["red", "green", "blue"])[np.arange(len(X)) % 3]
    columns = make_column_transformer(
        (StandardScaler(), ["age", "sex", "bmi"]), (OneHotEncoder(), ["color"])
    )
    for model in (
        around_target(make_pipeline(columns, _network())),
        make_pipeline(columns, around_target(_network())),
    ):
        _assert_same_in_onnx(fit_quietly(model, frame, y), frame)


def test_unsupported_inverse_transformations_raise():
    def halve(y):
        return y / 2

    remedy = r"Or convert its regressor_ and apply transformer_\.inverse_transform to the output"
    model = fit_quietly(around_target(_network(), transformer=PowerTransformer()), X, y)
    with pytest.raises(ValueError, match=rf"PowerTransformer\(\) .*StandardScaler.*{remedy}"):
        to_onnx(model, X)
    model = fit_quietly(
        around_target(_network(), func=halve, inverse_func=np.array, check_inverse=False), X, y
    )
    with pytest.raises(ValueError, match=rf"inverse_func=.*array.*expm1.*{remedy}"):
        to_onnx(model, X)
    with_arguments = FunctionTransformer(
        np.log, np.exp, inv_kw_args={"where": True}, check_inverse=False
    )
    model = fit_quietly(around_target(_network(), transformer=with_arguments), X, y)
    with pytest.raises(ValueError, match=rf"inv_kw_args={{'where': True}}.*{remedy}"):
        to_onnx(model, X)
