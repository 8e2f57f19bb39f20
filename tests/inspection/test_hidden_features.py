"""Tests for torchmlp.inspection.hidden_features."""

import numpy as np
import pytest
import torch
from helpers import fit_quietly
from inspected import LINE, X2, classifier, y

from torchmlp import TorchMLPRegressor
from torchmlp.inspection import (
    HiddenFeaturesDisplay,
)


def test_curves_add_up_to_the_prediction(reg):
    display = HiddenFeaturesDisplay.from_estimator(reg, LINE, max_units=4)
    grid, total = display.output_line_.get_data()
    np.testing.assert_allclose(total, reg.predict(grid[:, np.newaxis]), rtol=1e-9, atol=1e-12)
    assert (grid[0], grid[-1]) == (-3, 3)
    hidden = reg.hidden_activations(grid[:, np.newaxis])[0]
    assert len(display.lines_) == len(display.contribution_lines_) == 4
    left_out = np.setdiff1d(np.arange(6), display.shown_units_)
    assert display.strength[left_out].max() <= display.strength[display.shown_units_].min()
    drawn = zip(display.shown_units_, display.lines_, display.contribution_lines_, strict=True)
    for unit, line, weighted in drawn:
        np.testing.assert_allclose(line.get_ydata(), hidden[:, unit])
        np.testing.assert_allclose(weighted.get_ydata(), hidden[:, unit] * reg.coefs_[1][unit, 0])
        assert line.get_color() == weighted.get_color()
    with pytest.raises(ValueError, match="max_units=0 must be at least 1"):
        display.plot(max_units=0)
    with pytest.raises(ValueError, match="output=1 is out of range: n_outputs_=1"):
        HiddenFeaturesDisplay.from_estimator(reg, LINE, output=1)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"loss": "gaussian"}, ["raw output, mean", "raw output, log variance"]),
        (
            {"loss": "quantile", "quantile": [0.9, 0.1]},
            ["raw output, quantile 0.9", "raw output, quantile 0.1"],
        ),
    ],
    ids=["gaussian", "quantiles"],
)
def test_raw_outputs_of_distributions_are_named(parameters, names):
    model = TorchMLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **parameters)
    fit_quietly(model, LINE, np.sin(LINE[:, 0]))
    raw = model.to_torch(output="logits")
    for k, name in enumerate(names):
        display = HiddenFeaturesDisplay.from_estimator(model, LINE, output=k)
        assert display.output_line_.get_label() == name
        grid, total = display.output_line_.get_data()
        expected = raw(torch.from_numpy(grid[:, np.newaxis])).detach().numpy()[:, k]
        np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-12)


def test_only_the_last_hidden_layer_adds_up():
    model = fit_quietly(classifier(), X2[:, :1], y)
    first = HiddenFeaturesDisplay.from_estimator(model, X2[:, :1], layer=0)
    assert (len(first.axes_), len(first.lines_)) == (1, 5)
    last = HiddenFeaturesDisplay.from_estimator(model, X2[:, :1], output=2)
    scores = model.predict_logits(last.grid.T)[:, 2]
    np.testing.assert_allclose(last.output_line_.get_ydata(), scores, rtol=1e-9)
    assert last.output_line_.get_label() == "raw output, 2"


def test_maps_are_the_hidden_activations(clf):
    display = HiddenFeaturesDisplay.from_estimator(clf, X2, grid_resolution=11, scale="unit")
    xx0, xx1 = np.meshgrid(*display.grid)
    hidden = clf.hidden_activations(np.column_stack([xx0.ravel(), xx1.ravel()]))[1]
    assert len(display.images_) == len(display.axes_) == 4
    for unit, image in enumerate(display.images_):
        np.testing.assert_allclose(image.get_array(), hidden[:, unit].reshape(11, 11))
        assert image.get_clim()[1] == np.abs(hidden[:, unit]).max()
        assert image.origin == "lower"
    half = np.ptp(X2[:, 0]) / 10 / 2  # of a pixel: the centers are on the grid
    edges = X2[:, 0].min() - half, X2[:, 0].max() + half
    np.testing.assert_allclose(image.get_extent()[:2], edges)


def test_images_are_the_first_weights(digits):
    display = HiddenFeaturesDisplay.from_estimator(digits, image_shape=(8, 8), max_units=5)
    assert len(display.shown_units_) == 5
    for unit, image in zip(display.shown_units_, display.images_, strict=True):
        np.testing.assert_array_equal(image.get_array(), digits.coefs_[0][:, unit].reshape(8, 8))
    assert display.colorbar_.ax.get_ylabel() == "weight (5 of 80 units)"
    with pytest.raises(ValueError, match=r"image_shape=\(4, 4\) must be .* inputs .*, 64"):
        HiddenFeaturesDisplay.from_estimator(digits, image_shape=(4, 4))
    with pytest.raises(ValueError, match="X=None requires image_shape"):
        HiddenFeaturesDisplay.from_estimator(digits)
