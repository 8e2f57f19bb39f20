"""Tests for stacks of networks: a stack computes what its members compute one by one."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import LOSSES, n_targets_of

from torchmlp.training.activations import ACTIVATIONS, resolve_activations
from torchmlp.training.backprop import Backprop
from torchmlp.training.batches import Batch
from torchmlp.training.parameters import Parameters
from torchmlp.training.products import DenseInput
from torchmlp.training.solvers import SOLVERS
from torchmlp.training.workspace import Layout, TrainingWorkspace

N_MEMBERS, N_ROWS, UNITS = 3, 12, (5, 7, 6, 4)
CPU = torch.device("cpu")
ALPHAS = np.array([0.0, 0.1, 2.0])
RATES = np.array([0.05, 0.01, 0.1])


def _layout(activation="tanh", dropout=0.0, stack=()):
    activations = resolve_activations(activation, 2)
    return Layout(UNITS, torch.float64, torch.float64, CPU, activations, [dropout] * 2, stack)


def _targets(loss, rng):
    shape = (N_MEMBERS, N_ROWS, n_targets_of(loss, UNITS[-1]))
    if loss.startswith("multiclass"):
        return torch.from_numpy(rng.randint(UNITS[-1], size=shape))
    if loss.startswith("binary"):
        return torch.from_numpy((rng.rand(*shape) > 0.5).astype(float))
    return torch.from_numpy(rng.rand(*shape) + 0.1)


class _Data:
    """Rows, targets, initial weights and row weights of each member."""

    def __init__(self, loss, weighted):
        rng = np.random.RandomState(0)
        self.X = torch.from_numpy(rng.randn(N_MEMBERS, N_ROWS, UNITS[0]))
        self.y = _targets(loss, rng)
        self.coefs = [0.3 * rng.randn(N_MEMBERS, a, b) for a, b in pairwise(UNITS)]
        self.intercepts = [rng.randn(N_MEMBERS, n) for n in UNITS[1:]]
        self.sample_weight = torch.from_numpy(rng.rand(N_MEMBERS, N_ROWS)) if weighted else None

    def member(self, i):
        """Return the slice of one member; `...` stands for the whole stack."""
        weights = None if self.sample_weight is None else self.sample_weight[i]
        return self.X[i], self.y[i], weights


def _network(data, i, layout, loss, alpha, rate, **options):
    """Return a function that makes one step for a member, or for the stack (i is ...)."""
    weights = Parameters(UNITS, torch.float64, CPU, stack=layout.stack)
    weights.assign([w[i] for w in data.coefs], [b[i] for b in data.intercepts])
    gradient = weights.like()
    solver_name = options.pop("solver", "sgd")
    settings = SimpleNamespace(
        momentum=0.9, nesterovs_momentum=True, beta_1=0.9, beta_2=0.99, epsilon=1e-8, alpha=alpha
    )
    solver = SOLVERS[solver_name](settings, weights, gradient)
    penalty = alpha if layout.stack == () else torch.as_tensor(alpha)
    backprop = Backprop(
        weights,
        gradient,
        layout,
        LOSSES[loss],
        0.0 if solver.decoupled_weight_decay else penalty,
        **options,
    )
    X, y, sample_weight = data.member(i)
    weighted = sample_weight is not None
    workspace = TrainingWorkspace(N_ROWS, layout, 1.0 if weighted else 1.0 / N_ROWS)
    batch = Batch(
        inputs=DenseInput(X),
        y=y,
        outputs=layout.empty_outputs(N_ROWS),
        penalty=layout.empty().zero_(),
        workspace=workspace,
        inverse_weight=1 / sample_weight.sum(-1) if weighted else workspace.inverse_n_rows,
    )
    if weighted:
        batch.row_weights = (sample_weight * batch.inverse_weight[..., None])[..., None]
    backprop.bind(batch)

    def step():
        for call in batch.calls:
            call()
        solver.update(*solver.factors(rate))

    return SimpleNamespace(step=step, weights=weights, gradient=gradient, batch=batch)


def _assert_stack_equals_members(
    loss="multiclass_log_loss", weighted=False, options=None, **layout
):
    data, options = _Data(loss, weighted), options or {}
    per_member = options.pop("per_member", lambda i: {})
    stack = _network(
        data,
        ...,
        _layout(stack=(N_MEMBERS,), **layout),
        loss,
        ALPHAS,
        RATES,
        **options,
        **per_member(...),
    )
    singles = [
        _network(
            data,
            i,
            _layout(**layout),
            loss,
            float(ALPHAS[i]),
            float(RATES[i]),
            **options,
            **per_member(i),
        )
        for i in range(N_MEMBERS)
    ]
    for _ in range(5):
        stack.step()
        for i, single in enumerate(singles):
            single.step()
            for mine, theirs in zip(stack.weights.views, single.weights.views, strict=True):
                torch.testing.assert_close(mine[i], theirs, rtol=1e-12, atol=1e-13)
            values = LOSSES[loss].per_sample(stack.batch.outputs, stack.batch.y)
            expected = LOSSES[loss].per_sample(single.batch.outputs, single.batch.y)
            torch.testing.assert_close(values[i], expected, rtol=1e-12, atol=1e-13)
            if ALPHAS[i]:
                torch.testing.assert_close(
                    stack.batch.penalty[i], single.batch.penalty, rtol=1e-12, atol=1e-13
                )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    _assert_stack_equals_members(activation=activation)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_row_weights(loss, weighted):
    _assert_stack_equals_members(loss=loss, weighted=weighted)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(solver):
    _assert_stack_equals_members(options={"solver": solver})


def test_gradient_norms():
    norms = torch.tensor([0.1, 1.0, 100.0], dtype=torch.float64)
    _assert_stack_equals_members(options={"per_member": lambda i: {"max_grad_norm": norms[i]}})


def test_dropout():
    def generators(i):
        seeds = range(N_MEMBERS) if i is ... else [i]
        return {"generators": [torch.Generator().manual_seed(seed) for seed in seeds]}

    _assert_stack_equals_members(dropout=0.5, options={"per_member": generators})


def test_weights_of_a_member():
    rng = np.random.RandomState(0)
    weights = Parameters(UNITS, torch.float64, CPU, stack=(N_MEMBERS,))
    coefs = [rng.randn(a, b) for a, b in pairwise(UNITS)]
    intercepts = [rng.randn(n) for n in UNITS[1:]]
    weights.assign(coefs, intercepts, member=1)
    for got, expected in zip(weights.to_numpy(1), (coefs, intercepts), strict=True):
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not any(array.any() for array in weights.to_numpy(0)[0])
