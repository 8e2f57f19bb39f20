"""Tests for torchmlp.training.parameters."""

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly
from sklearn.base import clone

from torchmlp import TorchMLPRegressor
from torchmlp.training.parameters import Parameters

CPU = torch.device("cpu")
UNITS = (200, 100, 3)
_, X_REG, Y_REG, _ = TASKS["regression"]


def test_initial_weights():
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(300,), random_state=0, max_iter=1, learning_rate_init=1e-300
    )
    linear = clone(mlp).set_params(init="zeros", hidden_layer_sizes=())
    zeros = fit_quietly(linear, X_REG, Y_REG)
    assert all(np.abs(w).max() < 1e-200 for w in zeros.coefs_ + zeros.intercepts_)
    torchs = fit_quietly(clone(mlp).set_params(init="torch"), X_REG, Y_REG)
    for w, b in zip(torchs.coefs_, torchs.intercepts_, strict=True):
        bound = 1 / np.sqrt(len(w))
        assert 0.98 * bound < np.abs(w).max() <= bound
        assert np.abs(b).max() <= bound


def _numbered(dtype, sparse_input=False):
    weights = Parameters(UNITS, dtype, CPU, sparse_input)
    coefs = [np.arange(20000.0).reshape(200, 100), np.arange(300.0).reshape(100, 3)]
    return weights.assign(coefs, [np.arange(100.0), np.arange(3.0)])


def test_views_share_the_memory_of_the_flat_vector():
    weights = _numbered(torch.float64)
    assert [tuple(view.shape) for view in weights.views] == [(200, 100), (100, 3), (100,), (3,)]
    assert weights.coefficients.numel() == 20000 + 300
    weights.flat.zero_()
    assert not any(view.any() for view in weights.views + weights.torch_views())


@pytest.mark.parametrize("other", [torch.float32, "sparse"])
def test_row_major_vector_does_not_depend_on_the_memory_order(other):
    # A layer of 200 x 100 is stored by columns in float64, and by rows otherwise.
    first = _numbered(torch.float64)
    second = _numbered(torch.float64, sparse_input=True) if other == "sparse" else _numbered(other)
    assert first.coefs[0].stride() != second.coefs[0].stride()
    array = first.to_row_major(first.flat)
    np.testing.assert_array_equal(array[:20000], np.arange(20000))
    np.testing.assert_array_equal(array, second.to_row_major(second.flat))
    restored = second.from_row_major(array)
    assert torch.equal(restored.to(second.flat.dtype), second.flat)
