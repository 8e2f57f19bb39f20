"""Tests for torchmlp.training.activations."""

import numpy as np
import pytest
import torch
from helpers import OURS, TASKS, TORCH_ACTIVATIONS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_derivatives_equal_torch(activation):
    ours = ACTIVATIONS[activation]
    z = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    expected = TORCH_ACTIVATIONS[activation](z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    given = z.detach().clone()
    value = torch.empty_like(given) if ours.needs_input else given
    for call in ours.forward(given, value):
        call()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-14, atol=1e-14)
    delta = torch.full_like(value, 2.0)
    for call in ours.backward(delta, given):
        call()
    torch.testing.assert_close(delta, 2 * slope, rtol=1e-12, atol=1e-14)


def cube(z):
    return z**3 / 10


@pytest.mark.parametrize(
    "activation", [*ACTIVATIONS, cube, ["tanh", cube]], ids=[*ACTIVATIONS, "callable", "list"]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_activation_trains_and_predicts(activation, solver):
    mlp = TorchMLPClassifier(
        (7, 6), activation, solver=solver, random_state=0, max_iter=60, learning_rate_init=0.02
    )
    fit_quietly(mlp, X, y)
    assert mlp.score(X, y) > 0.9
    values = torch.from_numpy(X)
    names = activation if isinstance(activation, list) else [activation] * 2
    for i, name in enumerate(names):
        z = values @ torch.from_numpy(mlp.coefs_[i]) + torch.from_numpy(mlp.intercepts_[i])
        values = name(z) if callable(name) else TORCH_ACTIVATIONS[name](z)
    raw = values.numpy() @ mlp.coefs_[2] + mlp.intercepts_[2]
    np.testing.assert_allclose(mlp.predict_logits(X), raw, rtol=1e-9, atol=1e-12)


def test_list_of_equal_activations_equals_one_activation():
    mlp = TorchMLPRegressor(hidden_layer_sizes=(8, 6), random_state=0, max_iter=5)
    for name in ("logistic", "relu"):
        one = fit_quietly(clone(mlp).set_params(activation=name), X_REG, Y_REG)
        many = fit_quietly(clone(mlp).set_params(activation=[name, name]), X_REG, Y_REG)
        assert_identical(one, many)


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (torch.nn.ReLU, r"activation=.*ReLU.* must return a tensor of the same shape"),
        (torch.sum, r"activation=.* must return a tensor of the same"),
        (
            lambda z: torch.from_numpy(np.tanh(z.numpy())),
            "could not be differentiated.*with torch's functions",
        ),
    ],
    ids=["class", "other shape", "numpy"],
)
def test_unusable_callable_raises(estimator, activation, message):
    with pytest.raises(ValueError, match=message):
        estimator(hidden_layer_sizes=(5, 4), activation=activation).fit(X, y)


def test_activation_with_a_tensor_that_requires_a_gradient():
    slope = torch.tensor(0.1, requires_grad=True, dtype=torch.float64)
    mlp = TorchMLPClassifier(
        (5,), activation=lambda z: torch.where(z > 0, z, slope * z), random_state=0, max_iter=2
    )
    X, y = iris()
    assert np.isfinite(fit_quietly(mlp, X, y).predict_proba(X)).all()
