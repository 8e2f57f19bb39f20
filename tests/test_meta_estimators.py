"""Tests for torchmlp.meta_estimators: pipelines, searches and TransformedTargetRegressor."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import around_target, fit_quietly, nested_regressors
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor

from torchmlp import TorchMLPRegressor
from torchmlp.callbacks import Snapshots, find_snapshots
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


def _network(**parameters):
    settings = {"hidden_layer_sizes": (6, 4), "max_iter": 4, "random_state": 0}
    return TorchMLPRegressor(**settings, **parameters)


NAMES = list(nested_regressors(None))


@pytest.mark.parametrize("name", NAMES)
def test_network_is_found_in_every_nesting(name):
    fitted = fit_quietly(nested_regressors(_network(callbacks=[Snapshots()]))[name], X, y)
    model = find_model(fitted)
    assert isinstance(model.mlp, TorchMLPRegressor)
    outputs = model.mlp.predict(model.inputs(X))
    np.testing.assert_allclose(
        model.inverse_transform_targets(outputs)[:, 0], fitted.predict(X), rtol=1e-12
    )
    assert [snapshot.epoch for snapshot in find_snapshots(fitted)] == [0, 1, 2, 3, 4]


def test_network_of_scikit_learn_is_found():
    fitted = fit_quietly(around_target(MLPRegressor(max_iter=3, random_state=0)), X, y)
    model = find_model(fitted)
    outputs = model.mlp.predict(X)
    np.testing.assert_allclose(
        model.inverse_transform_targets(outputs)[:, 0], fitted.predict(X), rtol=1e-12
    )


def test_unfitted_and_unsuitable_estimators_raise():
    for search in (find_model, find_snapshots):
        with pytest.raises(NotFittedError):
            search(around_target(_network()))
        with pytest.raises(NotFittedError, match=r"no best_estimator_.*refit=True"):
            search(GridSearchCV(around_target(_network()), {}))
    with pytest.raises(TypeError, match=r"LinearRegression\(\) is not a multilayer perceptron"):
        find_model(around_target(LinearRegression()).fit(X, y))


def test_displays_show_the_network_inside():
    fitted = fit_quietly(around_target(_network(callbacks=[Snapshots()])), X_SHORT, y)
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
    fitted = fit_quietly(around_target(_network()), X[:, [2]], y)
    display = HiddenFeaturesDisplay.from_estimator(fitted, X[:, [2]])
    total = display.contributions.sum(axis=0) + display.intercept
    np.testing.assert_allclose(np.exp(total), fitted.predict(display.grid.T))
    assert display.output_name == "prediction, transformed y"


@pytest.mark.parametrize("name", NAMES)
def test_animation_is_in_the_units_of_y(name):
    fitted = fit_quietly(nested_regressors(_network(callbacks=[Snapshots()]))[name], X_SHORT, y)
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
    fitted = around_target(
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
