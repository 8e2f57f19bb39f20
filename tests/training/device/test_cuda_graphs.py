"""Tests for torchmlp.training.device.cuda_graphs, with a tape on the CPU in place of a graph."""

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_same_weights, fit_quietly, some_weights
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, ProgressBar
from tape import Tape, TapeCapturer, treat_the_cpu_as_a_device

from torchmlp.ensemble import WeightSharingClassifier
from torchmlp.training import loaders
from torchmlp.training.device import cuda_graphs, transfer
from torchmlp.training.stochastic import EpochTrainer

FITS = {
    "adam": {"solver": "adam"},
    "adamw": {"solver": "adamw", "alpha": 0.1},
    "sgd": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1, "n_iter_no_change": 1},
    "one_cycle": {"solver": "adamw", "learning_rate": "one_cycle"},
    "clipped": {"max_grad_norm": 0.1},
    "averaged": {"average": True, "solver": "sgd"},
    "averaged adamw": {"average": True, "solver": "adamw", "early_stopping": True},
    "dropout": {"dropout": 0.4},
    "two layers": {"hidden_layer_sizes": (8, 7), "activation": ["gelu", "tanh"]},
    "no layer": {"hidden_layer_sizes": ()},
    "early stopping": {"early_stopping": True},
    "in order": {"shuffle": False},
    "one batch": {"batch_size": 250},
    "bfloat16": {"dtype": "bfloat16"},
}


@pytest.fixture
def capturers(monkeypatch):
    """Capture on the CPU; return the capturers of all fits."""
    made = []

    def capturer(device, generator):
        made.append(TapeCapturer(device, generator))
        return made[-1]

    monkeypatch.setitem(cuda_graphs.CAPTURERS, "cpu", capturer)
    return made


@pytest.fixture(params=["resident", "streamed"])
def apart(request, monkeypatch):
    treat_the_cpu_as_a_device(request.param, monkeypatch)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 3)


def _mlp(task="multiclass", **parameters):
    (_, ours), X, y, needed = TASKS[task]
    defaults = {"batch_size": 32, "max_iter": 6, "random_state": 3}  # 8 batches, the last of 26
    return ours(**{**defaults, **needed, **parameters}), X, y


def _stepwise(fit, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cuda_graphs, "CAPTURERS", {})
        return fit()


def _assert_same(expected, got, rtol=1e-10):
    assert_same_weights(expected, got, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(got.loss_curve_, expected.loss_curve_, rtol=max(rtol, 1e-12))


@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS)
def test_replayed_fit_equals_stepwise_fit(parameters, capturers, apart, small_blocks, monkeypatch):
    mlp, X, y = _mlp(**parameters)
    expected = _stepwise(lambda: fit_quietly(clone(mlp), X, y), monkeypatch)
    got = fit_quietly(mlp, X, y)
    _assert_same(expected, got, 1e-4 if "dtype" in parameters else 1e-10)
    (capturer,) = capturers
    assert capturer.n_replays > capturer.n_captures == capturer.n_warm_ups


@pytest.mark.parametrize("task", TASKS)
def test_replayed_fit_of_every_task_equals_stepwise_fit(
    task, capturers, apart, small_blocks, monkeypatch
):
    mlp, X, y = _mlp(task)
    expected = _stepwise(lambda: fit_quietly(clone(mlp), X, y), monkeypatch)
    _assert_same(expected, fit_quietly(mlp, X, y))
    assert capturers[0].n_replays


@pytest.mark.parametrize("name", ["adamw", "adaptive", "clipped", "dropout", "two layers"])
def test_replayed_fit_of_an_ensemble_equals_stepwise_fit(name, capturers, monkeypatch):
    mlp, X, y = _mlp(**FITS[name])
    ensemble = WeightSharingClassifier(mlp, 3)
    expected = _stepwise(lambda: fit_quietly(clone(ensemble), X, y), monkeypatch)
    fit_quietly(ensemble, X, y)
    for mine, other in zip(ensemble.estimators_, expected.estimators_, strict=True):
        _assert_same(other, mine)
    assert capturers[0].n_replays


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_fit_continues_after_replays(solver, capturers, apart, small_blocks, monkeypatch):
    def fit():
        mlp, X, y = _mlp(solver=solver, warm_start=True)
        fit_quietly(fit_quietly(mlp, X, y), X, y)
        return mlp.partial_fit(X, y).partial_fit(X, y)

    _assert_same(_stepwise(fit, monkeypatch), fit())
    assert len(capturers) == 4
    assert all(capturer.n_replays for capturer in capturers[:2])


def test_time_limit_ends_an_epoch_of_replayed_blocks(apart, small_blocks, capturers, monkeypatch):
    def fit():
        seconds = iter(range(1000))  # one for each reading of the clock
        monkeypatch.setattr("time.monotonic", lambda: next(seconds))
        mlp, X, y = _mlp("regression", batch_size=10, max_iter=50, time_limit=32)
        with pytest.warns(ConvergenceWarning, match="reached in epoch 4"):
            return mlp.fit(X, y)

    expected, got = _stepwise(fit, monkeypatch), fit()
    assert_same_weights(expected, got, rtol=1e-10)
    assert expected.t_ == got.t_ == 3 * 250 + 2 * 3 * 10
    assert capturers[0].n_replays


def test_blocks_of_one_size_share_a_capture(capturers, monkeypatch):
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 3)
    mlp, X, y = _mlp()
    fit_quietly(mlp, X, y)
    # Blocks of 96, 96 and 58 rows: two to capture, and what is left of 6 epochs to replay.
    (capturer,) = capturers
    assert (capturer.n_warm_ups, capturer.n_captures, capturer.n_replays) == (2, 2, 16)


def test_graphs_are_released_at_the_end_of_a_fit(capturers, monkeypatch):
    kept = []
    monkeypatch.setattr(EpochTrainer, "__enter__", lambda self: kept.append(self) or self)
    mlp, X, y = _mlp()
    fit_quietly(mlp, X, y)
    assert len(kept) == 1
    assert [tape() for tape in capturers[0].tapes] == [None]


def test_tape_draws_new_numbers_at_every_replay():
    generator = torch.Generator().manual_seed(0)
    mask = torch.empty(1000)
    capturer = TapeCapturer(None, [])
    replay = capturer.capture(lambda: mask.bernoulli_(0.5, generator=generator))
    masks = []
    for _ in range(2):
        replay()
        masks.append(mask.clone())
    assert not torch.equal(*masks)
    generator.manual_seed(0)
    assert torch.equal(masks[0], torch.empty(1000).bernoulli_(0.5, generator=generator))


def test_tape_records_without_effect():
    weights, found = torch.ones(3), torch.arange(3.0)
    results = []
    tape = Tape()
    with tape:
        results.append(weights.add_(found * 2).sum())
    tape.put_back()
    assert torch.equal(weights, torch.ones(3))
    found += 1
    tape.replay()
    assert torch.equal(weights, torch.tensor([3.0, 5.0, 7.0]))
    assert results[0] == 15
    with pytest.raises(RuntimeError, match="capturing"), Tape():
        float(weights.sum())


def test_default_device_of_torch_has_no_effect_on_captures(capturers, apart, small_blocks):
    mlp, X, y = _mlp()
    expected = fit_quietly(clone(mlp), X, y)
    with torch.device("meta"):
        _assert_same(expected, fit_quietly(mlp, X, y))
    assert all(capturer.n_replays for capturer in capturers)


class Watcher(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert named_parameters


EAGER = {
    "callback": {"callbacks": [Watcher()]},
    "progress bar": {"callbacks": [ProgressBar()]},
    "loss": {"loss": lambda outputs, y: (outputs - y).square().sum(1)},
    "activation": {"activation": torch.sin},
    "solver": {"solver": torch.optim.SGD},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("parameters", EAGER.values(), ids=EAGER)
def test_steps_that_cannot_be_captured_are_launched_one_by_one(parameters, capturers):
    mlp, X, y = _mlp("regression", **parameters)
    fit_quietly(mlp, X, y)
    assert not any(capturer.n_warm_ups for capturer in capturers)


def test_weighted_fits_are_not_captured(capturers, apart, small_blocks, monkeypatch):
    mlp, X, y = _mlp()
    weights = some_weights(len(X))
    expected = _stepwise(lambda: fit_quietly(clone(mlp), X, y, weights), monkeypatch)
    _assert_same(expected, fit_quietly(mlp, X, y, weights))
    assert not any(capturer.n_warm_ups for capturer in capturers)


class Refuses(TapeCapturer):
    def capture(self, body):
        self.n_captures += 1
        super().capture(lambda: body() or torch.ones(1).item())


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_failed_capture_continues_step_by_step(solver, monkeypatch):
    mlp, X, y = _mlp(solver=solver, dropout=0.2)
    expected = _stepwise(lambda: fit_quietly(clone(mlp), X, y), monkeypatch)
    monkeypatch.setitem(cuda_graphs.CAPTURERS, "cpu", Refuses)
    with pytest.warns(UserWarning, match=r"not be captured .*when stream is capturing") as warned:
        fit_quietly(mlp, X, y)
    assert len(warned) == 1
    _assert_same(expected, mlp)


# A captured step reads its rate in the dtype of the weights; bfloat16 amplifies the rounding.
TOLERANCES = {"float64": (1e-9, 1e-12), "float32": (1e-4, 1e-5), "bfloat16": (1e-2, 1e-3)}

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def _fit_on_cuda(parameters, sample_weight=None):
    mlp, X, y = _mlp(device="cuda", **parameters)
    return fit_quietly(mlp, X, y, sample_weight)


@on_cuda
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS)
def test_cuda_graph_equals_stepwise_fit(parameters, dtype, small_blocks, monkeypatch):
    parameters = {"dtype": dtype, **parameters}
    expected = _stepwise(lambda: _fit_on_cuda(parameters), monkeypatch)
    got = _fit_on_cuda(parameters)  # the warning of a failed capture would be an error
    rtol, atol = TOLERANCES[parameters["dtype"]]
    assert_same_weights(expected, got, rtol=rtol, atol=atol)


@on_cuda
@pytest.mark.parametrize("weighted", [False, True])
def test_streamed_rows_on_cuda_equal_resident_rows(weighted, small_blocks, monkeypatch):
    weights = some_weights(250) if weighted else None
    resident = _fit_on_cuda({}, weights)
    monkeypatch.setattr(transfer, "free_memory", lambda device: 0)
    _assert_same(resident, _fit_on_cuda({}, weights), rtol=1e-5)


@on_cuda
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS)
def test_host_does_not_wait_inside_an_epoch(
    parameters, streamed, weighted, small_blocks, monkeypatch
):
    blocks = loaders.BatchLoader.blocks

    def guarded(*args):
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield from blocks(*args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loaders.BatchLoader, "blocks", guarded)
    if streamed:
        monkeypatch.setattr(transfer, "free_memory", lambda device: 0)
    _fit_on_cuda(parameters, some_weights(250) if weighted else None)
