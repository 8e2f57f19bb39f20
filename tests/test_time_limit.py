"""A fit ends soon after its time limit, also within an epoch or an iteration."""

import numpy as np
import pytest
import torch
from helpers import (
    TASKS,
    assert_identical,
    assert_same_weights,
    call_at_every_step,
    fit_quietly,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from tape import TapeCapturer, treat_the_cpu_as_a_device

from torchmlp import TorchMLPRegressor
from torchmlp.training import batches, stochastic
from torchmlp.training.batches import BatchLoader, Dataset
from torchmlp.training.device import cuda_graphs, placement
from torchmlp.training.workspace import Layout

_, X, y, _ = TASKS["regression"]
BATCH = 10  # of 250 rows
LAYERS = ("squared_error", (6,))


class Clock:
    """A clock that goes on by a second for each batch, or evaluation of the loss."""

    def __init__(self, monkeypatch):
        self.now = 1e6
        call_at_every_step(monkeypatch, self.tick)
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def tick(self):
        self.now += 1


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BATCHES", 3)
    return Clock(monkeypatch)


def _mlp(**parameters):
    settings = {"batch_size": BATCH, "random_state": 0, "shuffle": False, "max_iter": 50}
    return TorchMLPRegressor(*LAYERS, **{**settings, **parameters})


def _fit_until(message, mlp, *args, **kwargs):
    with pytest.warns(ConvergenceWarning, match=message):
        return mlp.fit(*args, **kwargs)


def test_time_limit_ends_an_epoch_after_a_block(clock):
    message = "time_limit=4.0 seconds reached in epoch 1, and the optimization hasn't converged"
    got = _fit_until(message, _mlp(time_limit=4), X, y)
    n_seen = 2 * 3 * BATCH
    expected = fit_quietly(_mlp(max_iter=1), X[:n_seen], y[:n_seen])
    assert_identical(got, expected)
    assert got.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-12)
    assert (got.n_iter_, got.t_, len(got.history_)) == (1, n_seen, 1)


def test_time_limit_ends_a_later_epoch(clock):
    got = _fit_until("time_limit=60.0 seconds reached in epoch 3", _mlp(time_limit=60), X, y)
    assert (got.n_iter_, got.t_, len(got.loss_curve_)) == (3, 250 + 250 + 120, 3)


def test_time_limit_reached_at_the_end_of_an_epoch_keeps_the_whole_epoch(clock):
    got = _fit_until("time_limit=25.0 seconds reached in epoch 1,", _mlp(time_limit=25), X, y)
    assert_identical(got, fit_quietly(_mlp(max_iter=1), X, y))
    assert got.t_ == 250


def test_batches_without_weight_do_not_end_an_epoch(clock):
    weights = np.r_[np.zeros(50), np.ones(200)]
    got = _fit_until("reached in epoch 1,", _mlp(time_limit=1), X, y, sample_weight=weights)
    assert got.t_ == 6 * BATCH
    assert np.isfinite(got.loss_)


def test_early_stopping_scores_the_unfinished_epoch_and_keeps_the_best_weights(clock):
    mlp = _mlp(early_stopping=True, time_limit=70, learning_rate_init=0.1, validation_fraction=0.2)
    got = _fit_until("time_limit=70.0 seconds reached in epoch 4", mlp, X, y)
    scores = got.validation_scores_
    assert len(scores) == got.n_iter_ == 4
    assert got.t_ == 3 * 200 + 120
    best = int(np.argmax(scores)) + 1
    assert got.best_validation_score_ == max(scores) != scores[-1]
    assert_identical(got, fit_quietly(clone(mlp).set_params(time_limit=None, max_iter=best), X, y))


def test_warm_start_goes_on_after_an_unfinished_epoch(clock):
    mlp = _fit_until("reached in epoch 1,", _mlp(time_limit=1, warm_start=True), X, y)
    fit_quietly(mlp.set_params(time_limit=None, max_iter=2), X, y)
    assert mlp.t_ == 3 * BATCH + 2 * 250
    assert len(mlp.loss_curve_) == 3


@pytest.mark.parametrize("way", ["resident", "streamed"])
def test_time_limit_ends_an_epoch_of_replayed_blocks(way, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BATCHES", 3)
    treat_the_cpu_as_a_device(way, monkeypatch)
    fits, capturers = [], []

    def capturer(device, generator):
        capturers.append(TapeCapturer(device, generator))
        return capturers[-1]

    for by_device in ({}, {"cpu": capturer}):
        seconds = iter(range(1000))  # one for each look at the clock
        monkeypatch.setattr("time.monotonic", lambda seconds=seconds: next(seconds))
        monkeypatch.setattr(cuda_graphs, "CAPTURERS", by_device)
        fits.append(_fit_until("reached in epoch 4", _mlp(time_limit=32), X, y))
    assert_same_weights(*fits, rtol=1e-10)
    assert fits[0].t_ == fits[1].t_ == 3 * 250 + 2 * 3 * BATCH
    assert capturers[0].n_replays


def test_clock_is_read_when_the_device_has_finished(monkeypatch):
    waited = []
    monkeypatch.setattr(stochastic, "synchronize", waited.append)
    fit_quietly(_mlp(max_iter=2), X, y)
    assert not waited
    fit_quietly(_mlp(max_iter=2, time_limit=1e9), X, y)
    assert set(waited) == {torch.device("cpu")}


def test_synchronize_waits_for_devices_but_the_cpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    for name in ("cpu", "cuda:1"):
        placement.synchronize(torch.device(name))
    assert waited == [torch.device("cuda:1")]


@pytest.mark.parametrize("limit", [3, 12, 25])
def test_time_limit_of_lbfgs_is_checked_between_evaluations(limit, clock):
    start = clock.now
    mlp = _mlp(solver="lbfgs", time_limit=limit, tol=0.0, max_iter=500)
    message = rf"time_limit={limit}.0 seconds reached in iteration \d+, and the optimization"
    got = _fit_until(message, mlp, X, y)
    assert clock.now == start + limit
    assert len(got.loss_curve_) == len(got.history_) == got.n_iter_ > 0
    expected = fit_quietly(_mlp(solver="lbfgs", tol=0.0, max_iter=got.n_iter_), X, y)
    assert_identical(got, expected)
    assert got.loss_ == got.loss_curve_[-1]


def test_lbfgs_keeps_the_initial_weights_if_no_iteration_is_finished(clock):
    mlp = _mlp(solver="lbfgs", time_limit=1)
    got = _fit_until("time_limit=1.0 seconds reached in iteration 1,", mlp, X, y)
    assert got.n_iter_ == len(got.loss_curve_) == 0
    initial = _mlp(solver="sgd", learning_rate_init=1e-300, max_iter=1)
    assert_identical(got, fit_quietly(initial, X, y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_time_limit_that_is_not_reached_changes_nothing(solver):
    mlp = _mlp(solver=solver, time_limit=1e9, max_iter=4)
    without = clone(mlp).set_params(time_limit=None)
    assert_identical(fit_quietly(mlp, X, y), fit_quietly(without, X, y))


def test_blocks_of_large_networks_are_short():
    layers = (100, 4096, 4096, 1)
    big = np.zeros((20_000, 100))
    layout = Layout(layers, torch.float64, torch.float64, torch.device("cpu"), [], [])
    for shuffle in (False, True):
        loader = BatchLoader(Dataset(big, big[:, :1]), 200, layout, shuffle)
        assert loader.block_rows == 200
