"""Tests for torchmlp.training.workspace."""

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.workspace import HiddenLayer, Layout

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


def test_dropout_is_seeded_and_inactive_in_prediction(numpy_state_kept):
    mlp = TorchMLPClassifier((40, 30), dropout=0.3, random_state=0, max_iter=5)
    first, again = (fit_quietly(clone(mlp), X, y) for _ in range(2))
    assert_identical(first, again)
    np.testing.assert_array_equal(first.predict_proba(X), first.predict_proba(X))
    other = fit_quietly(clone(mlp).set_params(random_state=1), X, y)
    without = fit_quietly(clone(mlp).set_params(dropout=0.0), X, y)
    for model in (other, without):
        assert not np.allclose(model.coefs_[0], first.coefs_[0])


def test_zero_dropout_has_no_effect():
    mlp = TorchMLPClassifier((40, 30), random_state=0, max_iter=5)
    assert_identical(
        fit_quietly(clone(mlp), X, y),
        fit_quietly(clone(mlp).set_params(dropout=[0.0, 0]), X, y),
    )


def test_dropout_preserves_the_mean_activation():
    layout = Layout((1, 1, 1), torch.float64, torch.float64, torch.device("cpu"), [], [])
    layer = HiddenLayer(1000, 1000, ACTIVATIONS["relu"], layout, dropout=0.4)
    layer.z.fill_(3.0)
    for call in layer.draw_mask([torch.Generator().manual_seed(0)]) + layer.activate():
        call()
    values = layer.output.rows
    assert values.unique().tolist() == [0.0, pytest.approx(5.0)]
    assert values.mean().item() == pytest.approx(3.0, rel=0.01)
    delta = torch.ones_like(values)
    for call in layer.backpropagate(delta):
        call()
    torch.testing.assert_close(delta, layer.mask)


def test_dropped_units_get_no_gradient():
    # In one step on one row without a penalty the weights of dropped units stay as they are.
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(50,),
        dropout=0.5,
        random_state=0,
        max_iter=1,
        solver="sgd",
        alpha=0.0,
        momentum=0.0,
    )
    fitted = fit_quietly(clone(mlp), X_REG[:1], Y_REG[:1])
    start = fit_quietly(clone(mlp).set_params(learning_rate_init=1e-300), X_REG[:1], Y_REG[:1])
    unchanged = (fitted.coefs_[1] == start.coefs_[1]).ravel()
    assert 5 < unchanged.sum() < 50
    assert (fitted.coefs_[0] == start.coefs_[0]).all(axis=0)[unchanged].all()


def test_dropout_per_layer():
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(30, 30), dropout=[0.0, 0.5], random_state=0, max_iter=3
    )
    fit_quietly(mlp, X_REG, Y_REG)
    assert not np.allclose(
        mlp.coefs_[0], fit_quietly(clone(mlp).set_params(dropout=0.0), X_REG, Y_REG).coefs_[0]
    )
