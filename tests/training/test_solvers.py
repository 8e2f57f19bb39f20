"""Tests for torchmlp.training.solvers."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import TASKS, fit_quietly
from sklearn.base import clone

from torchmlp import TorchMLPRegressor
from torchmlp.training.parameters import Parameters
from torchmlp.training.solvers import Adam

_, X, y, _ = TASKS["regression"]


def test_adam_equals_the_fused_kernel():
    settings = SimpleNamespace(alpha=0.0, beta_1=0.8, beta_2=0.95, epsilon=1e-3)
    gradients = torch.randn(30, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for fused in (True, False):
        weights = Parameters((9, 5), torch.float64, torch.device("cpu"))
        weights.flat.fill_(1.0)
        gradient = weights.like()
        solver = Adam(settings, weights, gradient)
        if not fused:
            solver._fused = None
        for values in gradients:
            gradient.flat.copy_(values)
            solver.update(*solver.factors(0.05))
        results.append(weights.flat)
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)


def test_adamw_equals_torch():
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(),
        solver="adamw",
        alpha=0.1,
        random_state=0,
        max_iter=30,
        shuffle=False,
        learning_rate_init=0.05,
        batch_size=50,
        tol=0.0,
        n_iter_no_change=99,
    )
    start = fit_quietly(clone(mlp).set_params(max_iter=1, learning_rate_init=1e-300), X, y)
    w = torch.tensor(start.coefs_[0], requires_grad=True)
    b = torch.tensor(start.intercepts_[0], requires_grad=True)
    groups = [{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}]
    # torch adds epsilon elsewhere, so both get one that is negligible.
    optimizer = torch.optim.AdamW(groups, lr=0.05, eps=1e-300)
    inputs, targets = torch.tensor(X), torch.tensor(y)[:, None]
    for _ in range(30):
        for first in range(0, 250, 50):
            error = inputs[first : first + 50] @ w + b - targets[first : first + 50]
            loss = (error**2).mean() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    fit_quietly(mlp.set_params(epsilon=1e-300), X, y)
    np.testing.assert_allclose(mlp.coefs_[0], w.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(mlp.intercepts_[0], b.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd", torch.optim.RMSprop])
def test_state_is_restored_in_another_memory_order(solver):
    # The first layer is stored by columns for float64, and by rows for float32 and sparse data.
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((60, 200)), rng.standard_normal(60)
    mlp = TorchMLPRegressor(hidden_layer_sizes=(100,), solver=solver, random_state=0)
    mlp.set_params(learning_rate_init=0.01)
    expected = clone(mlp).partial_fit(X, y).partial_fit(X, y).partial_fit(X, y)
    narrow, sparse = X.astype(np.float32), sp.csr_array(X)
    mixed = clone(mlp).partial_fit(X, y).partial_fit(narrow, y).partial_fit(sparse, y)
    np.testing.assert_allclose(mixed.coefs_[0], expected.coefs_[0], rtol=1e-3, atol=1e-4)
