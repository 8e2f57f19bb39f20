"""Tests for torchmlp.training.schedules."""

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly
from sklearn.base import clone

from torchmlp import TorchMLPRegressor
from torchmlp.training.schedules import SCHEDULES

_, X_REG, Y_REG, _ = TASKS["regression"]


def test_schedules_of_scikit_learn():
    assert SCHEDULES["constant"](0.5).rate == 0.5
    scaling = SCHEDULES["invscaling"](0.5, 2.0)
    scaling.epoch_ends(3, 9)
    assert scaling.rate == 0.5 / 10**2
    adaptive = SCHEDULES["adaptive"](1.0)
    stops = [adaptive.plateau()[0] for _ in range(10)]
    assert stops == [False] * 9 + [True]
    assert adaptive.rate == pytest.approx(5.0**-9)
    assert SCHEDULES["adaptive"](1.0, rate=0.25).rate == 0.25


def test_one_cycle_equals_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=40)
    ours = SCHEDULES["one_cycle"](0.5, n_epochs=40)
    for epoch in range(40):
        assert ours.rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        ours.epoch_ends(epoch + 1, 0)
        optimizer.step()
        if epoch < 39:
            reference.step()


def test_cosine_decays_to_zero():
    ours = SCHEDULES["cosine"](0.5, n_epochs=10)
    rates = [ours.rate]
    for epoch in range(1, 11):
        ours.epoch_ends(epoch, 0)
        rates.append(ours.rate)
    np.testing.assert_allclose(rates, 0.25 * (1 + np.cos(np.pi * np.arange(11) / 10)), atol=1e-15)


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", torch.optim.RMSprop])
def test_planned_schedules_apply_to_every_stochastic_solver(solver, learning_rate):
    mlp = TorchMLPRegressor(solver=solver, random_state=0, max_iter=10, learning_rate_init=0.01)
    planned = fit_quietly(clone(mlp).set_params(learning_rate=learning_rate), X_REG, Y_REG)
    assert not np.allclose(fit_quietly(mlp, X_REG, Y_REG).coefs_[0], planned.coefs_[0])
