"""Tests for torchmlp.inspection.weights and histograms."""

import numpy as np
import pytest
from helpers import fit_quietly, iris
from matplotlib.collections import QuadMesh
from matplotlib.patches import StepPatch

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.inspection import (
    WeightsDisplay,
)

X, y = iris()


def classifier(hidden=(6, 5), activation="relu", **parameters):
    settings = {"max_iter": 4, "random_state": 0, "callbacks": [Snapshots()], **parameters}
    return fit_quietly(TorchMLPClassifier(hidden, activation, **settings), X, y)


@pytest.fixture(scope="module")
def clf():
    return classifier()


def test_counts_equal_numpy_histogram(clf):
    display = WeightsDisplay.from_estimator(clf, X[::3], n_bins=7)
    np.testing.assert_array_equal(display.epochs, [0, 1, 2, 3, 4])
    networks = find_snapshots(clf)
    for layer, size in enumerate((24, 30, 15)):
        assert (display.weights.counts[layer].sum(axis=1) == size).all()
        assert (display.gradients.counts[layer].sum(axis=1) == [0, *[size] * 4]).all()
        edges = display.weights.edges[layer]
        largest = max(np.abs(coefs).max() for s in networks for coefs in s.coefs)
        np.testing.assert_allclose(edges, np.linspace(-largest, largest, 8))
        for snapshot, counts in zip(networks, display.weights.counts[layer], strict=True):
            np.testing.assert_array_equal(counts, np.histogram(snapshot.coefs[layer], edges)[0])
    assert [c.sum(axis=1).tolist() for c in display.activations.counts] == [
        [50 * units] * 5 for units in (6, 5, 3)
    ]


def test_last_epoch_is_the_fitted_network(clf):
    display = WeightsDisplay.from_estimator(clf, X)
    values = [*clf.hidden_activations(X), clf.predict_proba(X)]
    for layer, edges, counts in zip(values, *display.activations, strict=True):
        np.testing.assert_array_equal(counts[-1], np.histogram(layer, edges)[0])
    first, second, output = display.activations.edges
    np.testing.assert_array_equal(first, second)  # a common scale
    assert output[-1] <= 1
    dead = [(layer == 0).all(axis=0).mean() for layer in values[:-1]]
    np.testing.assert_array_equal(display.dead_share[:, -1], dead)


def test_gradient_bins_are_logarithmic(clf):
    edges, counts = WeightsDisplay.from_estimator(clf, X, n_bins=6).gradients
    np.testing.assert_allclose(edges[0, 1:] / edges[0, :-1], edges[0, 1] / edges[0, 0])
    largest = max(np.abs(g).max() for s in find_snapshots(clf)[1:] for g in s.coefs_gradient)
    assert edges[0, -1] == pytest.approx(largest)
    small = np.abs(find_snapshots(clf)[3].coefs_gradient[0]) < edges[0, 1]
    assert counts[0, 3, 0] == small.sum()  # zeros included


def test_share_of_dead_units():
    dead = classifier(callbacks=None, warm_start=True, learning_rate_init=1e-9, alpha=0.0)
    dead.intercepts_[0][:] = -1e3
    dead.intercepts_[1][:2] = -1e3
    dead.intercepts_[1][2:] = 1e3
    fit_quietly(dead.set_params(callbacks=[Snapshots()]), X, y)
    display = WeightsDisplay.from_estimator(dead, X)
    np.testing.assert_array_equal(display.dead_share, [[1] * 5, [0.4] * 5])
    assert [text.get_text() for text in display.texts_] == ["100% dead", "40% dead", "predictions"]
    assert (display.gradients.counts[0, 1:, 0] == 24).all()  # no gradient reaches the first layer


def test_gradients_vanish_layer_by_layer():
    deep = classifier((10,) * 5, "logistic", max_iter=1)
    edges, counts = WeightsDisplay.from_estimator(deep, X).gradients
    medians = [edges[0, np.searchsorted(c[-1].cumsum(), c[-1].sum() / 2)] for c in counts]
    assert (np.diff(np.log10(medians)) > 0.2).all()
    assert medians[-1] / medians[0] > 1e3


def test_panels_show_the_histograms(clf):
    display = WeightsDisplay.from_estimator(clf, X)
    grid = display.axes_.reshape(3, 3)
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["layer 1", "layer 2", "layer 3"]
    assert [ax.get_title() for ax in grid[0]] == ["weights", "|gradient|", "activations"]
    assert {ax.get_xlabel() for ax in grid[-1]} == {"epoch"}
    assert [ax.get_yscale() for ax in grid[1]] == ["linear", "log", "linear"]
    drawn = iter(display.images_)
    for layer in range(3):
        for histograms in (display.weights, display.gradients, display.activations):
            mesh = next(drawn)
            assert isinstance(mesh, QuadMesh)
            counts = histograms.counts[layer].T
            np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), counts == 0)
            filled = mesh.get_array()[:, -1].compressed()
            share = counts[:, -1][counts[:, -1] > 0] / counts[:, -1].sum()
            np.testing.assert_allclose(filled**2, share)
            corners = mesh.get_coordinates()
            np.testing.assert_array_equal(corners[0, :, 0], [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5])
            np.testing.assert_array_equal(corners[:, 0, 1], histograms.edges[layer])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_last_weights_are_shown_without_snapshots(solver):
    bare = classifier(callbacks=None, solver=solver)
    display = WeightsDisplay.from_estimator(bare, X)
    assert display.gradients is None
    assert display.epochs.tolist() == [4]
    assert [ax.get_title() for ax in display.axes_[:2]] == ["weights", "activations"]
    assert len(display.images_) == 6
    assert all(isinstance(steps, StepPatch) for steps in display.images_)
    np.testing.assert_array_equal(
        display.images_[0].get_data().values, display.weights.counts[0, 0] / 24
    )
    theirs = WeightsDisplay.from_estimator(bare.to_sklearn(), X)
    np.testing.assert_array_equal(theirs.weights.counts, display.weights.counts)


@pytest.mark.parametrize(
    "parameters", [{"loss": "hinge"}, {"hidden": ()}, {"hidden": (), "init": "zeros"}]
)
def test_other_losses_and_linear_networks(parameters):
    estimator = classifier(**parameters)
    display = WeightsDisplay.from_estimator(estimator, X)
    assert len(display.dead_share) == len(estimator.coefs_) - 1
    for histograms in (display.weights, display.gradients, display.activations):
        assert (np.diff(histograms.edges) > 0).all()
    display.figure_.draw_without_rendering()


def test_regressor_and_binary_classifier():
    reg = TorchMLPRegressor(hidden_layer_sizes=(4,), max_iter=2, callbacks=[Snapshots()])
    display = WeightsDisplay.from_estimator(fit_quietly(reg, X, X[:, :2]), X)
    predicted = reg.predict(X)
    assert predicted.min() >= display.activations.edges[-1, 0]
    assert display.activations.counts[-1].sum(axis=1).tolist() == [300] * 3
    binary = fit_quietly(TorchMLPClassifier((4,), max_iter=2, callbacks=[Snapshots()]), X, y > 0)
    display = WeightsDisplay.from_estimator(binary, X)
    assert display.activations.counts[-1].sum(axis=1).tolist() == [150] * 3
