"""Tests for torchmlp.training.stochastic."""

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_same_weights, call_at_every_step, fit_quietly

from torchmlp import TorchMLPRegressor
from torchmlp.training import loaders, stochastic

_, X, y, _ = TASKS["regression"]


def test_time_is_read_after_the_device_has_finished(monkeypatch):
    waited = []
    monkeypatch.setattr(stochastic, "synchronize", waited.append)
    fit_quietly(TorchMLPRegressor(max_iter=2), X, y)
    assert not waited
    fit_quietly(TorchMLPRegressor(max_iter=2, time_limit=1e9), X, y)
    assert set(waited) == {torch.device("cpu")}


def test_each_row_is_trained_on_once_per_epoch(monkeypatch):
    n_steps = []
    call_at_every_step(monkeypatch, lambda: n_steps.append(1))
    mlp = fit_quietly(TorchMLPRegressor(max_iter=3, batch_size=60, random_state=0), X, y)
    assert len(n_steps) == 3 * 5  # batches of 60, 60, 60, 60 and 10 rows
    assert mlp.t_ == 3 * 250


@pytest.mark.parametrize("shuffle", [False, True])
def test_loss_is_the_mean_over_rows_before_each_update(shuffle):
    # With a rate of almost 0 it is the loss of the initial network, in any order of the rows.
    settings = {"learning_rate_init": 1e-300, "max_iter": 1, "random_state": 0, "alpha": 0.0}
    mlp = fit_quietly(TorchMLPRegressor(batch_size=60, shuffle=shuffle, **settings), X, y)
    assert mlp.loss_curve_ == [pytest.approx(np.mean((mlp.predict(X) - y) ** 2) / 2)]


def test_rows_are_used_in_the_order_of_the_data_without_shuffle(monkeypatch):
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 3)
    steps = TorchMLPRegressor(solver="sgd", momentum=0.0, alpha=0.0, random_state=0)
    whole = fit_quietly(steps.set_params(batch_size=50, shuffle=False, max_iter=1), X, y)
    by_hand = TorchMLPRegressor(**{**whole.get_params(), "batch_size": 50})
    for start in range(0, 250, 50):
        by_hand.partial_fit(X[start : start + 50], y[start : start + 50])
    assert_same_weights(whole, by_hand)
