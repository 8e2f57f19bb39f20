"""Optimizers of torch step as they do over the parameters of a torch module."""

import functools
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import OURS, TASKS, assert_identical, call_at_every_step, fit_quietly
from sklearn.base import clone
from skorch.callbacks import LoadInitState, TrainEndCheckpoint

from torchmlp import TorchMLPRegressor

_, X, y, _ = TASKS["regression"]
REFUSED = {
    torch.optim.LBFGS: r"solver=.*LBFGS.* evaluates the loss several times.*solver='lbfgs'",
    torch.optim.SparseAdam: r"solver=.*SparseAdam.* takes sparse gradients.*solver='adam'",
    torch.optim.Muon: r"solver=.*Muon.* could not be created: Muon only supports 2D.*list of opt",
}
CLASSES = [
    value
    for value in vars(torch.optim).values()
    if isinstance(value, type) and value is not torch.optim.Optimizer
]


def muon(params, lr):
    """Muon for the weights, as its documentation has it, and AdamW for the intercepts."""
    weights = [p for p in params if p.ndim == 2]
    intercepts = [p for p in params if p.ndim == 1]
    return [torch.optim.Muon(weights, lr=lr), torch.optim.AdamW(intercepts, lr=lr / 10)]


def slow_output_layer(params, lr):
    *hidden, weight, bias = params
    groups = [{"params": hidden}, {"params": [weight, bias], "lr": lr / 10}]
    return torch.optim.Adam(groups, lr=lr)


SOLVERS = {
    **{cls.__name__: cls for cls in CLASSES if cls not in REFUSED},
    "foreach": functools.partial(torch.optim.NAdam, foreach=True, weight_decay=0.1),
    "fused": functools.partial(torch.optim.AdamW, fused=True, amsgrad=True),
    "momentum": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "centered": functools.partial(torch.optim.RMSprop, centered=True, momentum=0.5),
    "groups": slow_output_layer,
    "muon": muon,
}


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
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_every_optimizer_equals_torch(solver, hidden):
    mlp = fit_quietly(_mlp(solver, hidden), X, y)
    # Muon multiplies in bfloat16, which rounds otherwise in another memory order.
    rtol, atol = (1e-2, 2e-3) if solver is muon else (1e-7, 1e-10)
    expected = _stepped_by_torch(mlp)
    for theirs, ours in zip(expected.parameters(), mlp.to_torch().parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


def _contains_tensors(value):
    if isinstance(value, dict):
        return any(map(_contains_tensors, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_contains_tensors, value))
    return isinstance(value, torch.Tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_steps_of_partial_fit_are_one_fit_across_pickles(solver, dtype):
    mlp = _mlp(solver, dtype=dtype, shuffle=True)
    whole = fit_quietly(clone(mlp), X, y)
    for _ in range(mlp.max_iter):
        mlp.partial_fit(X, y)
        assert not _contains_tensors(vars(mlp._saved_state))
        mlp = pickle.loads(pickle.dumps(mlp))
    assert_identical(whole, mlp)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_state_is_restored_in_another_dtype_and_memory_order(solver):
    mlp = _mlp(solver, learning_rate_init=1e-3)
    expected, mixed = clone(mlp), clone(mlp)
    for rows in (X, X.astype(np.float32), sp.csr_array(X), X):
        mixed.partial_fit(rows, y)
        expected.partial_fit(X, y)
    for one, other in zip(mixed.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=5e-3)


@pytest.mark.parametrize("solver", [torch.optim.Adafactor, muon])
def test_checkpoint_of_an_optimizer_resumes(solver, tmp_path):
    saved = TrainEndCheckpoint(dirname=str(tmp_path))
    fit_quietly(_mlp(solver, callbacks=[saved], max_iter=2), X, y)
    resumed = fit_quietly(_mlp(solver, callbacks=[LoadInitState(saved)], max_iter=2), X, y)
    assert_identical(resumed, fit_quietly(_mlp(solver, max_iter=4), X, y))


def test_each_group_keeps_its_share_of_the_rate():
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
def test_unusable_optimizers_raise_before_training(estimator, solver, message, monkeypatch):
    call_at_every_step(monkeypatch, lambda: pytest.fail("it trained"))
    with pytest.raises(ValueError, match=message):
        estimator(solver=solver).fit(X, y > 0)
