"""Tests for torchmlp.training.backprop."""

import numpy as np
import pytest
import torch
from helpers import (
    LOSSES,
    QUANTILES,
    TASKS,
    TORCH_ACTIVATIONS,
    fit_quietly,
    n_targets_of,
    weights_of,
)
from sklearn.base import clone
from torch.nn import functional

from torchmlp import TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS, resolve_activations
from torchmlp.training.backprop import Backprop
from torchmlp.training.batches import Dataset
from torchmlp.training.device import placement
from torchmlp.training.loaders import loader_for
from torchmlp.training.losses import regressor_loss
from torchmlp.training.parameters import Parameters, as_matrix, initial_weights
from torchmlp.training.workspace import Layout

_, X_REG, Y_REG, _ = TASKS["regression"]
UNITS = (5, 7, 6, 4)
REFERENCE = {**TORCH_ACTIVATIONS, "callable": torch.sin}


def _lead_of_rival(z, y):
    rival = z.masked_fill(functional.one_hot(y[:, 0], UNITS[-1]) > 0, -torch.inf).max(1).values
    return rival - z.gather(1, y)[:, 0]


QUANTILE_LEVELS = torch.tensor(QUANTILES, dtype=torch.float64)
REFERENCE_LOSS = {
    "multiclass_log_loss": lambda z, y: functional.cross_entropy(z, y[:, 0], reduction="none"),
    "binary_log_loss": lambda z, y: functional.binary_cross_entropy_with_logits(
        z, y, reduction="none"
    ).sum(1),
    "binary_hinge": lambda z, y: functional.relu(1 - (2 * y - 1) * z).sum(1),
    "multiclass_hinge": lambda z, y: functional.relu(1 + _lead_of_rival(z, y)),
    "binary_perceptron": lambda z, y: functional.relu(-(2 * y - 1) * z).sum(1),
    "multiclass_perceptron": lambda z, y: functional.relu(_lead_of_rival(z, y)),
    # The stochastic solvers sum over the outputs, as scikit-learn's.
    "squared_error": lambda z, y: ((z - y) ** 2).sum(1) / 2,
    "absolute_error": lambda z, y: (z - y).abs().sum(1),
    "huber": lambda z, y: functional.smooth_l1_loss(z, y, reduction="none").sum(1),
    "quantile": lambda z, y: (z - y).abs().sum(1) / 2,
    "poisson": lambda z, y: functional.poisson_nll_loss(z, y, reduction="none").sum(1),
    "gamma": lambda z, y: (y * (-z).exp() + z - y.log() - 1).sum(1),
    "gaussian": lambda z, y: functional.gaussian_nll_loss(
        z[:, :2], y, z[:, 2:].exp(), full=True, eps=0, reduction="none"
    ).sum(1),
    "quantiles": lambda z, y: (
        torch.where(y > z, QUANTILE_LEVELS, 1 - QUANTILE_LEVELS) * (y - z).abs()
    ).mean(1),
    "callable": lambda z, y: ((z - y) ** 4).sum(1),
}


def _problem(activation, loss, weighted, dtype=torch.float64, product_dtype=torch.float64):
    rng = np.random.RandomState(0)
    X = rng.randn(20, UNITS[0])
    y = rng.rand(20, n_targets_of(loss, UNITS[-1]))
    if loss.startswith("multiclass"):  # class codes
        y = rng.randint(UNITS[-1], size=y.shape)
    elif loss.startswith("binary"):
        y = y > 0.5
    weight = rng.rand(20) if weighted else None
    activation = torch.sin if activation == "callable" else activation
    activations = resolve_activations(activation, 2)
    layout = Layout(UNITS, dtype, product_dtype, torch.device("cpu"), activations, [0.0, 0.0])
    weights = Parameters(UNITS, dtype, layout.device)
    weights.assign(*initial_weights("glorot", UNITS, ["tanh"] * 2, rng, float))
    return weights, layout, Dataset(X, y, weight)


def _loss(name):
    return regressor_loss(REFERENCE_LOSS[name]) if name == "callable" else LOSSES[name]


def _computed(weights, layout, loss, alpha, data):
    """Return the `Backprop` and the only block, after forward and backward pass."""
    backprop = Backprop(weights, weights.like(), layout, loss, alpha)
    (block,) = loader_for(data, len(data), layout, shuffle=False).blocks()
    (batch,) = block.batches
    backprop.bind(batch)
    for call in batch.calls:
        call()
    return backprop, block


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [*LOSSES, "callable"])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "callable"])
def test_gradient_equals_autograd(activation, loss, weighted):
    weights, layout, data = _problem(activation, loss, weighted)
    alpha = 0.3
    backprop, block = _computed(weights, layout, _loss(loss), alpha, data)

    flat = weights.flat.clone().requires_grad_()
    network = Parameters(UNITS, torch.float64, layout.device)
    pieces = torch.split(flat, [p.numel() for p in network.coefs + network.intercepts])
    n_layers = len(network.coefs)
    values = torch.from_numpy(data.X)
    for i, shape in enumerate(w.shape for w in network.coefs):
        values = values @ as_matrix(pieces[i], *shape) + pieces[n_layers + i]
        if i < n_layers - 1:
            values = REFERENCE[activation](values)
    y = torch.from_numpy(data.y)
    row_loss = REFERENCE_LOSS[loss](values, y if loss.startswith("multiclass") else y.double())
    weight = np.ones(20) if data.sample_weight is None else data.sample_weight
    shares, total = torch.from_numpy(weight / weight.sum()), weight.sum()
    penalty = sum((pieces[i] ** 2).sum() for i in range(n_layers)) * alpha / 2
    objective = shares @ row_loss + penalty / total
    (expected,) = torch.autograd.grad(objective, flat)
    torch.testing.assert_close(backprop.gradient.flat, expected, rtol=1e-10, atol=1e-12)

    value = backprop.loss_of(block) / 20
    if loss == "squared_error":  # reported as a mean over the outputs
        objective = objective - shares @ row_loss * (1 - 1 / UNITS[-1])
    if loss == "poisson":  # torch leaves out what does not depend on the network
        objective = objective + shares @ (torch.xlogy(y, y) - y).sum(1)
    torch.testing.assert_close(value, objective.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_products_give_nearly_the_same_gradient(loss):
    gradients = []
    for product_dtype in (torch.float32, torch.bfloat16):
        weights, layout, data = _problem("tanh", loss, True, torch.float32, product_dtype)
        backprop, _ = _computed(weights, layout, _loss(loss), 0.3, data)
        assert backprop.gradient.flat.dtype == torch.float32
        gradients.append(backprop.gradient.flat)
    full, low = gradients
    assert not torch.equal(full, low)
    assert (full - low).norm() < 0.02 * full.norm()


@pytest.mark.parametrize("task", TASKS)
def test_bfloat16_learns_as_well_as_float32(task, monkeypatch):
    monkeypatch.setattr(placement, "MIN_WORK_FOR_BFLOAT16", 0)
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    (_, ours), X, y, needed = TASKS[task]
    mlp = ours(random_state=0, max_iter=60, learning_rate_init=0.01, **needed)
    full, low = (
        fit_quietly(clone(mlp).set_params(dtype=dtype), X, y) for dtype in ("float32", "bfloat16")
    )
    assert {w.dtype for w in weights_of(low)} == {np.dtype(np.float32)}
    assert not np.array_equal(full.coefs_[0], low.coefs_[0])
    assert low.score(X, y) > full.score(X, y) - 0.05


def test_max_grad_norm_scales_the_gradient_down():
    parameters = dict(
        hidden_layer_sizes=(6,),
        solver="sgd",
        momentum=0.0,
        learning_rate_init=1.0,
        max_iter=1,
        random_state=0,
    )
    start = fit_quietly(
        TorchMLPRegressor(**{**parameters, "learning_rate_init": 1e-300}), X_REG[:100], Y_REG[:100]
    )

    def step(**more):
        mlp = fit_quietly(TorchMLPRegressor(**parameters, **more), X_REG[:100], Y_REG[:100])
        pairs = zip(mlp.coefs_ + mlp.intercepts_, start.coefs_ + start.intercepts_, strict=True)
        return np.concatenate([(a - b).ravel() for a, b in pairs])

    free = step()
    assert np.linalg.norm(free) > 0.1
    np.testing.assert_allclose(step(max_grad_norm=0.1), 0.1 * free / np.linalg.norm(free))
    np.testing.assert_allclose(step(max_grad_norm=1e6), free)


class KeepsTensor:
    """An activation that keeps a tensor from its first call."""

    factors = None

    def __call__(self, z):
        if self.factors is None:
            self.factors = torch.linspace(0.5, 1, z.shape[1], dtype=z.dtype)
        return torch.relu(z) * self.factors


class UsesAutograd:
    """A loss that differentiates something by autograd."""

    def __call__(self, outputs, y):
        with torch.enable_grad():
            at = outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad((at**3).sum() / 3, at)
        return ((outputs - y) ** 2 + 0 * slope).sum(1)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callables_may_keep_tensors_and_use_autograd(solver):
    mlp = TorchMLPRegressor(
        solver=solver, activation=KeepsTensor(), loss=UsesAutograd(), max_iter=5
    )
    mlp = fit_quietly(mlp, X_REG, Y_REG)
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]
