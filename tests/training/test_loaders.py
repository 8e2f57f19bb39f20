"""Tests for torchmlp.training.loaders."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import TASKS, assert_identical, fit_quietly, some_weights
from sklearn.base import clone

from torchmlp import TorchMLPRegressor
from torchmlp.training import loaders
from torchmlp.training.batches import Dataset
from torchmlp.training.loaders import loader_for
from torchmlp.training.workspace import Layout


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("sparse", [False, True])
def test_block_size_has_no_effect(task, shuffle, weighted, sparse, monkeypatch):
    (_, ours), X, y, _ = TASKS[task]
    weights = some_weights(len(X)) if weighted else None
    X = sp.csr_array(X) if sparse else X
    mlp = ours(random_state=0, max_iter=4, batch_size=16, shuffle=shuffle)
    whole = fit_quietly(clone(mlp), X, y, weights)
    for limits in ({"MAX_BLOCK_BATCHES": 3}, {"MAX_BLOCK_BYTES": 1}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(loaders, name, value)
            blockwise = fit_quietly(clone(mlp), X, y, weights)
        assert_identical(whole, blockwise)
        np.testing.assert_allclose(whole.loss_curve_, blockwise.loss_curve_, rtol=1e-12)


def test_blocks_of_large_networks_are_short():
    layers = (100, 4096, 4096, 1)
    big = np.zeros((20_000, 100))
    layout = Layout(layers, torch.float64, torch.float64, torch.device("cpu"), [], [])
    for shuffle in (False, True):
        loader = loader_for(Dataset(big, big[:, :1]), 200, layout, shuffle)
        assert loader.block_rows == 200


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_does_not_copy_the_data(shuffle, weighted):
    big = np.random.RandomState(0).rand(60_000, 50)
    weights = np.ones(60_000) if weighted else None
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(2,), max_iter=1, random_state=0, shuffle=shuffle, early_stopping=True
    )
    # Only NumPy reports to tracemalloc; torch's buffers are those of a block and a batch.
    tracemalloc.start()
    fit_quietly(mlp, big, big[:, 0], weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * big.nbytes  # the validation split is a tenth, and checks make masks


def test_column_major_memory_map_is_not_copied(tmp_path):
    shape = (40_000, 50)
    rows = np.memmap(tmp_path / "X", dtype="f8", mode="w+", shape=shape, order="F")
    rows[:] = np.random.RandomState(0).rand(*shape)
    mlp = TorchMLPRegressor("squared_error", (2,), batch_size=4000, max_iter=1, random_state=0)
    tracemalloc.start()
    fit_quietly(mlp, rows, np.zeros(len(rows)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * rows.nbytes
