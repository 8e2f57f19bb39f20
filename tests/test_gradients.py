"""The derivatives of the backward pass against torch's autograd, in float64."""

import numpy as np
import pytest
import torch
from helpers import LOSSES
from torch.nn import functional

from torchmlp.training.activations import ACTIVATIONS, resolve_activations
from torchmlp.training.backprop import Backprop
from torchmlp.training.batches import BatchLoader, Dataset
from torchmlp.training.losses import activate_outputs, regressor_loss
from torchmlp.training.parameters import Parameters, as_matrix, initial_weights
from torchmlp.training.workspace import Layout

UNITS = (5, 7, 6, 3)
# torch's own words for what the tables hold.
REFERENCE = {
    name: getattr(functional, name) for name in set(ACTIVATIONS) - {"identity", "logistic"}
}
REFERENCE |= {"identity": lambda z: z, "logistic": torch.sigmoid, "callable": torch.sin}


def _lead_of_rival(z, y):
    rival = z.masked_fill(functional.one_hot(y[:, 0], UNITS[-1]) > 0, -torch.inf).max(1).values
    return rival - z.gather(1, y)[:, 0]


REFERENCE_LOSS = {
    "multiclass_log_loss": lambda z, y: functional.cross_entropy(z, y[:, 0], reduction="none"),
    "binary_log_loss": lambda z, y: functional.binary_cross_entropy_with_logits(
        z, y, reduction="none"
    ).sum(1),
    "binary_hinge": lambda z, y: functional.relu(1 - (2 * y - 1) * z).sum(1),
    "multiclass_hinge": lambda z, y: functional.relu(1 + _lead_of_rival(z, y)),
    "binary_perceptron": lambda z, y: functional.relu(-(2 * y - 1) * z).sum(1),
    "multiclass_perceptron": lambda z, y: functional.relu(_lead_of_rival(z, y)),
    # Summed over the outputs, as the stochastic solvers take it.
    "squared_error": lambda z, y: ((z - y) ** 2).sum(1) / 2,
    "absolute_error": lambda z, y: (z - y).abs().sum(1),
    "huber": lambda z, y: functional.smooth_l1_loss(z, y, reduction="none").sum(1),
    "quantile": lambda z, y: (z - y).abs().sum(1) / 2,
    "poisson": lambda z, y: functional.poisson_nll_loss(z, y, reduction="none").sum(1),
    "gamma": lambda z, y: (y * (-z).exp() + z - y.log() - 1).sum(1),
    "callable": lambda z, y: ((z - y) ** 4).sum(1),
}


def _problem(activation, loss, weighted, dtype=torch.float64, product_dtype=torch.float64):
    rng = np.random.RandomState(0)
    X = rng.randn(20, UNITS[0])
    y = rng.rand(20, UNITS[-1])
    if loss.startswith("multiclass"):  # class codes
        y = rng.randint(UNITS[-1], size=(20, 1))
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
    (block,) = BatchLoader(data, len(data), layout, shuffle=False).blocks()
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


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_and_its_derivative(activation):
    ours = ACTIVATIONS[activation]
    z = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    expected = REFERENCE[activation](z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    given = z.detach().clone()
    value = torch.empty_like(given) if ours.keeps_input else given
    for call in ours.forward(given, value):
        call()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-14, atol=1e-14)
    delta = torch.full_like(value, 2.0)
    for call in ours.backward(delta, given):
        call()
    torch.testing.assert_close(delta, 2 * slope, rtol=1e-12, atol=1e-14)


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


@pytest.mark.parametrize("n_classes", [2, 3, 15, 16, 40])
def test_softmax(n_classes):
    raw = np.random.RandomState(0).randn(50, n_classes) * 30
    expected = torch.softmax(torch.from_numpy(raw), 1).numpy()
    np.testing.assert_allclose(activate_outputs(raw.copy(), "softmax"), expected, rtol=1e-12)
