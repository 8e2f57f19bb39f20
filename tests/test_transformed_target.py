"""What takes a network takes a TransformedTargetRegressor with one in it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import fit_quietly
from onnxruntime import InferenceSession
from scipy.special import expit, logit
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_diabetes, load_linnerud
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
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
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.export import to_onnx
from torchmlp.inspection import (
    HiddenFeaturesDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    TrainingAnimation,
    WeightsDisplay,
)
from torchmlp.inspection.models import find_model

X, y = load_diabetes(return_X_y=True)  # y is between 25 and 346
X_SHORT = X[:, [2, 3]]
BOTH = load_linnerud(return_X_y=True)
TRANSFORMERS = {
    "StandardScaler": StandardScaler(),
    "StandardScaler, mean only": StandardScaler(with_std=False),
    "StandardScaler, deviation only": StandardScaler(with_mean=False),
    "MinMaxScaler": MinMaxScaler((-1, 2)),
    "MaxAbsScaler": MaxAbsScaler(),
    "RobustScaler": RobustScaler(),
    "RobustScaler, centre only": RobustScaler(with_scaling=False),
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


def _around(regressor, **parameters):
    parameters = parameters or {"func": np.log, "inverse_func": np.exp}
    return TransformedTargetRegressor(regressor, **parameters)


def _surrounded(network):
    """Return the network in every order of Pipeline, search and TransformedTargetRegressor."""
    return {
        "alone": _around(network),
        "pipeline inside": _around(make_pipeline(StandardScaler(), network)),
        "pipeline outside": make_pipeline(StandardScaler(), _around(network)),
        "search inside": _around(GridSearchCV(network, {"alpha": [1.0]}, cv=2)),
        "search outside": GridSearchCV(_around(network), {"regressor__alpha": [1.0]}, cv=2),
        "twice": _around(_around(network, transformer=StandardScaler())),
    }


NAMES = list(_surrounded(None))


@pytest.mark.parametrize("name", NAMES)
def test_network_is_found(name):
    fitted = fit_quietly(_surrounded(_network(callbacks=[Snapshots()]))[name], X, y)
    model = find_model(fitted)
    assert isinstance(model.mlp, TorchMLPRegressor)
    outputs = model.mlp.predict(model.inputs(X))
    np.testing.assert_allclose(
        model.inverse_transform_targets(outputs)[:, 0], fitted.predict(X), rtol=1e-12
    )
    assert [snapshot.epoch for snapshot in find_snapshots(fitted)] == [0, 1, 2, 3, 4]


def test_network_of_scikit_learn_is_found():
    fitted = fit_quietly(_around(MLPRegressor(max_iter=3, random_state=0)), X, y)
    model = find_model(fitted)
    outputs = model.mlp.predict(X)
    np.testing.assert_allclose(
        model.inverse_transform_targets(outputs)[:, 0], fitted.predict(X), rtol=1e-12
    )


def test_what_is_not_fitted_or_no_network():
    for search in (find_model, find_snapshots):
        with pytest.raises(NotFittedError):
            search(_around(_network()))
        with pytest.raises(NotFittedError, match=r"no best_estimator_.*refit=True"):
            search(GridSearchCV(_around(_network()), {}))
    with pytest.raises(TypeError, match=r"LinearRegression\(\) is not a multilayer perceptron"):
        find_model(_around(LinearRegression()).fit(X, y))


def test_displays_show_the_network_inside():
    fitted = fit_quietly(_around(_network(callbacks=[Snapshots()])), X_SHORT, y)
    inside = fitted.regressor_
    network = NetworkDisplay.from_estimator(fitted)
    assert network.output_names == ["transformed y"]
    np.testing.assert_array_equal(network.coefs[0], inside.coefs_[0])
    losses = LossCurveDisplay.from_estimator(fitted).loss["training"]
    np.testing.assert_array_equal(losses, inside.loss_curve_)
    outputs = WeightsDisplay.from_estimator(fitted, X_SHORT).activations
    expected = WeightsDisplay.from_estimator(inside, X_SHORT).activations
    np.testing.assert_array_equal(outputs.edges, expected.edges)
    np.testing.assert_array_equal(outputs.counts, expected.counts)
    maps = HiddenFeaturesDisplay.from_estimator(fitted, X_SHORT, grid_resolution=9)
    same = HiddenFeaturesDisplay.from_estimator(inside, X_SHORT, grid_resolution=9)
    np.testing.assert_array_equal(maps.values, same.values)
    plt.close("all")


def test_contributions_add_up_to_the_transformed_prediction():
    fitted = fit_quietly(_around(_network()), X[:, [2]], y)
    display = HiddenFeaturesDisplay.from_estimator(fitted, X[:, [2]])
    total = display.contributions.sum(axis=0) + display.intercept
    np.testing.assert_allclose(np.exp(total), fitted.predict(display.grid.T))
    assert display.output_name == "prediction, transformed y"


@pytest.mark.parametrize("name", NAMES)
def test_animation_is_in_the_units_of_y(name):
    fitted = fit_quietly(_surrounded(_network(callbacks=[Snapshots()]))[name], X_SHORT, y)
    animation = TrainingAnimation.from_estimator(fitted, X_SHORT, y, grid_resolution=7)
    xx0, xx1 = np.meshgrid(*animation.grid)
    expected = fitted.predict(np.column_stack([xx0.ravel(), xx1.ravel()]))
    np.testing.assert_allclose(animation.predictions[-1, 0], expected.reshape(7, 7), rtol=1e-12)
    assert animation.output_names == ["y"]
    plt.close("all")


def test_animation_of_a_transformer_that_changes_the_number_of_targets():
    def to_sum_and_difference(y):
        return np.column_stack([y.sum(axis=1), y[:, 0] - y[:, 1]])

    def only_sum(y):
        return y[:, :1]

    targets = np.column_stack([y, y / 2])
    fitted = _around(
        _network(callbacks=[Snapshots()]),
        func=to_sum_and_difference,
        inverse_func=only_sum,
        check_inverse=False,
    )
    fitted = fit_quietly(fitted, X_SHORT, targets)
    animation = TrainingAnimation.from_estimator(fitted, X_SHORT, y, grid_resolution=5)
    assert animation.predictions.shape == (5, 1, 5, 5)
    with pytest.raises(ValueError, match="y has 2 columns, but the estimator predicts 1"):
        TrainingAnimation.from_estimator(fitted, X_SHORT, targets)
    plt.close("all")


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
def test_onnx_inverts_every_transformer(name, dtype):
    model = _around(_network(), transformer=TRANSFORMERS[name])
    _assert_same_in_onnx(fit_quietly(model, X.astype(dtype), y), X.astype(dtype))


@pytest.mark.parametrize("inverse", FUNCTIONS, ids=lambda function: function.__name__)
def test_onnx_inverts_every_function(inverse):
    model = _around(_network(), func=FUNCTIONS[inverse], inverse_func=inverse, check_inverse=False)
    _assert_same_in_onnx(fit_quietly(model, X, y), X)


def test_onnx_of_several_targets():
    X, y = BOTH
    for transformer in (StandardScaler(), MinMaxScaler(), RobustScaler()):
        model = _around(_network(), transformer=transformer)
        _assert_same_in_onnx(fit_quietly(model, X, y), X)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_of_what_is_around_and_inside(name):
    _assert_same_in_onnx(fit_quietly(_surrounded(_network())[name], X, y), X)


def test_onnx_in_an_ensemble():
    models = [("log", _around(_network())), ("line", _around(LinearRegression()))]
    _assert_same_in_onnx(fit_quietly(VotingRegressor(models), X, y), X)


def test_onnx_of_a_data_frame():
    frame = pd.DataFrame(X[:, :3], columns=["age", "sex", "bmi"])
    frame["colour"] = np.array(["red", "green", "blue"])[np.arange(len(X)) % 3]
    columns = make_column_transformer(
        (StandardScaler(), ["age", "sex", "bmi"]), (OneHotEncoder(), ["colour"])
    )
    for model in (
        _around(make_pipeline(columns, _network())),
        make_pipeline(columns, _around(_network())),
    ):
        _assert_same_in_onnx(fit_quietly(model, frame, y), frame)


def test_what_onnx_cannot_invert():
    def halve(y):
        return y / 2

    remedy = r"Or convert its regressor_ and apply transformer_\.inverse_transform to the output"
    model = fit_quietly(_around(_network(), transformer=PowerTransformer()), X, y)
    with pytest.raises(ValueError, match=rf"PowerTransformer\(\) .*StandardScaler.*{remedy}"):
        to_onnx(model, X)
    model = fit_quietly(
        _around(_network(), func=halve, inverse_func=np.array, check_inverse=False), X, y
    )
    with pytest.raises(ValueError, match=rf"inverse_func=.*array.*expm1.*{remedy}"):
        to_onnx(model, X)
    with_arguments = FunctionTransformer(
        np.log, np.exp, inv_kw_args={"where": True}, check_inverse=False
    )
    model = fit_quietly(_around(_network(), transformer=with_arguments), X, y)
    with pytest.raises(ValueError, match=rf"inv_kw_args={{'where': True}}.*{remedy}"):
        to_onnx(model, X)
