"""Tests for torchmlp.training.batches."""

import numpy as np
import pytest
from helpers import TASKS, assert_same_weights, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training import batches


def test_unshuffled_data_are_not_gathered(monkeypatch):
    original = batches.gather

    def gather(source, rows, out):
        assert out.shape[1] == 1  # the targets only
        original(source, rows, out)

    monkeypatch.setattr(batches, "gather", gather)
    many = np.tile(iris()[0], (20, 1))
    mlp = TorchMLPRegressor(shuffle=False, batch_size=5, max_iter=1, random_state=0)
    fit_quietly(mlp, many, many[:, 0])


def test_batch_without_weight_is_skipped_with_dropout_too():
    rng = np.random.RandomState(0)
    X, y = rng.randn(600, 6), rng.randint(3, size=600)
    weights = np.repeat(rng.rand(300) > 0.4, 2).astype(float)  # whole batches of two
    mlp = TorchMLPClassifier(
        (7,), batch_size=2, shuffle=False, max_iter=2, random_state=0, dropout=0.3
    )
    kept = weights > 0
    assert_same_weights(
        fit_quietly(clone(mlp), X, y, weights), fit_quietly(clone(mlp), X[kept], y[kept])
    )


def test_row_without_weight_may_have_an_infinite_loss():
    _, X, y, _ = TASKS["regression"]
    weights = np.ones(len(y))
    weights[5], y = 0, y.copy()
    y[5] = 1e200
    mlp = TorchMLPRegressor(random_state=0, max_iter=3)
    assert np.isfinite(fit_quietly(mlp, X, y, weights).loss_curve_).all()


@pytest.mark.parametrize(("dtype", "weight"), [("f8", 2e-323), ("f8", 1e-310), ("f4", 1e-39)])
def test_tiny_weights(dtype, weight):
    X, y = iris()
    mlp = TorchMLPClassifier(alpha=0.0, random_state=0, max_iter=3)
    tiny = fit_quietly(clone(mlp), X.astype(dtype), y, np.full(150, weight))
    ones = fit_quietly(clone(mlp), X.astype(dtype), y, np.ones(150))
    np.testing.assert_allclose(tiny.loss_curve_, ones.loss_curve_, rtol=1e-6)
