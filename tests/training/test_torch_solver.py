"""Tests for torchmlp.training.torch_solver."""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import (
    OPTIMIZERS,
    OURS,
    REFUSED_OPTIMIZERS,
    TASKS,
    assert_same_weights,
    fit_quietly,
    iris,
    muon,
    slow_output_layer,
)
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

_, X, y, _ = TASKS["regression"]
MESSAGES = {
    "LBFGS": r"solver=.*LBFGS.* requires a closure.*solver='lbfgs'",
    "SparseAdam": r"solver=.*SparseAdam.* supports sparse gradients.*solver='adam'",
    "Muon": r"solver=.*Muon.* could not be created: Muon only supports 2D.*list of opt",
}
REFUSED = {optimizer: MESSAGES[optimizer.__name__] for optimizer in REFUSED_OPTIMIZERS}
every_optimizer = pytest.mark.parametrize("solver", OPTIMIZERS.values(), ids=OPTIMIZERS)


def test_torch_sgd_equals_sgd_without_momentum():
    mlp = TorchMLPRegressor(
        solver="sgd", momentum=0.0, random_state=0, max_iter=8, learning_rate_init=0.01
    )
    ours = fit_quietly(clone(mlp), X, y)
    theirs = fit_quietly(clone(mlp).set_params(solver=torch.optim.SGD), X, y)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize(
    "solver",
    [
        torch.optim.RMSprop,
        torch.optim.Adagrad,
        functools.partial(torch.optim.NAdam, betas=(0.8, 0.99)),
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    ],
    ids=lambda solver: getattr(solver, "__name__", "partial"),
)
def test_classifier_learns_with_torch_optimizers(solver):
    mlp = TorchMLPClassifier(solver=solver, random_state=0, max_iter=80, learning_rate_init=0.02)
    X, y = iris()
    assert fit_quietly(mlp, X, y).score(X, y) > 0.9


def _mlp(solver, hidden=(70, 3), **parameters):
    settings = {
        "activation": "tanh",
        "alpha": 0.1,
        "batch_size": 50,
        "learning_rate_init": 0.02,
        "max_iter": 4,
        "random_state": 0,
        "shuffle": False,
    }
    return TorchMLPRegressor("squared_error", hidden, solver=solver, **{**settings, **parameters})


def _stepped_by_torch(mlp):
    """Train the module of the initial network with autograd."""
    still = clone(mlp).set_params(solver="sgd", learning_rate_init=1e-300, max_iter=1)
    module = fit_quietly(still, X, y).to_torch()
    made = mlp.solver(list(module.parameters()), lr=mlp.learning_rate_init)
    optimizers = made if isinstance(made, list) else [made]
    inputs, targets = torch.tensor(X), torch.tensor(y)
    for _ in range(mlp.max_iter):
        for rows in torch.arange(len(X)).split(mlp.batch_size):
            penalty = sum((p**2).sum() for p in module.parameters() if p.ndim == 2)
            squared_error = ((module(inputs[rows]) - targets[rows]) ** 2).mean()
            loss = squared_error / 2 + mlp.alpha / 2 * penalty / len(rows)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
    return module


@pytest.mark.parametrize("hidden", [(), (5,), (70, 3)], ids=str)
@every_optimizer
def test_every_optimizer_equals_torch(solver, hidden):
    mlp = fit_quietly(_mlp(solver, hidden), X, y)
    # Muon multiplies in bfloat16, which rounds differently in another memory order.
    rtol, atol = (1e-2, 2e-3) if solver is muon else (1e-7, 1e-10)
    expected = _stepped_by_torch(mlp)
    for theirs, ours in zip(expected.parameters(), mlp.to_torch().parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


@every_optimizer
def test_state_of_an_optimizer_is_restored_in_another_dtype(solver):
    mlp = _mlp(solver, learning_rate_init=1e-3)
    expected, mixed = clone(mlp), clone(mlp)
    for rows in (X, X.astype(np.float32), sp.csr_array(X), X):
        mixed.partial_fit(rows, y)
        expected.partial_fit(X, y)
    for one, other in zip(mixed.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=5e-3)


def test_parameter_groups_keep_their_share_of_the_rate():
    rates = []

    def recording(params, lr):
        optimizer = slow_output_layer(params, lr)
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
        )
        return optimizer

    fit_quietly(_mlp(recording, learning_rate="cosine", batch_size=250), X, y)
    planned = 0.01 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(rates, np.outer(planned, [1, 0.1]))


def _dictionary(params, lr):
    return {"params": params}


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("solver", "message"),
    [
        *REFUSED.items(),
        (_dictionary, r"solver=.*_dictionary.* must return a torch.optim.Optimizer.*, got dict"),
        (lambda params: None, r"solver=.* could not be created: .*unexpected keyword.*'lr'.*lr="),
    ],
    ids=[*(cls.__name__ for cls in REFUSED), "no optimizer", "no rate"],
)
def test_unusable_optimizers_raise_before_training(estimator, solver, message, no_training):
    with pytest.raises(ValueError, match=message):
        estimator(solver=solver).fit(X, y > 0)
