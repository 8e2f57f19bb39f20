"""Tests for the training of several fits as one stack: memory, replays and cancellation."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from helpers import fit_quietly
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.utils.parallel import Parallel, delayed
from tape import TapeCapturer

from torchmlp import TorchMLPClassifier
from torchmlp.base import FitCall
from torchmlp.training.device import cuda_graphs
from torchmlp.training.scheduling import train_jobs
from torchmlp.training.stack import stack_key, train_stack
from torchmlp.training.stack_batches import SharedRows
from torchmlp.training.stack_network import StackNetwork

X, Y = load_iris(return_X_y=True)


def _fit(**parameters):
    model = TorchMLPClassifier((5,), batch_size=40, **{"max_iter": 6, **parameters})
    with warnings.catch_warnings(action="ignore"):
        return model.fit(X, Y)


def _fits(**parameters):
    """Fit several models that differ in alpha and learning rate."""
    with parallel_config(backend="torchmlp", n_jobs=1):
        return Parallel()(
            delayed(_fit)(
                alpha=alpha, learning_rate_init=rate, random_state=seed, max_iter=seed, **parameters
            )
            for seed, (alpha, rate) in enumerate(itertools.product([0, 1], [0.01, 0.1, 0.02]), 3)
        )


def _key(alpha, **parameters):
    model = TorchMLPClassifier((5,), alpha=alpha, early_stopping=True, **parameters)
    _, inputs, _ = model._begin(FitCall(X, Y))
    return stack_key(inputs)


@pytest.mark.parametrize("scoring", [None, "loss"])
def test_fits_with_a_score_of_torchmlp_have_equal_keys(scoring):
    assert _key(0.1, scoring=scoring) == _key(1.0, scoring=scoring) is not None


@pytest.mark.parametrize("scoring", ["neg_log_loss", lambda model, X, y: model.score(X, y)])
def test_fits_with_a_scorer_are_not_stacked(scoring):
    assert _key(0.1, scoring=scoring) is None


def test_fits_share_equal_arrays():
    rows = SharedRows(lambda n_places: torch.empty(n_places, 4, 2))
    first, second = np.arange(8.0).reshape(4, 2), np.ones((4, 2))
    subset = np.array([3, 2, 1, 0])
    places = rows.store([(first, None), (second, None), (first[:], None), (first, subset)])
    assert places == [0, 1, 0, 2]
    assert rows.tensor.shape == (3, 4, 2)
    np.testing.assert_array_equal(rows.tensor[2], first[::-1])


def test_places_of_fits_that_ended_are_used_again():
    rows = SharedRows(lambda n_places: torch.empty(n_places, 4, 2))
    arrays = [np.full((4, 2), float(i)) for i in range(5)]
    rows.store([(array, None) for array in arrays[:3]])
    places = rows.store([(arrays[i], None) for i in (2, 3, 4)])
    assert len(rows.tensor) == 3
    for place, i in zip(places, (2, 3, 4), strict=True):
        np.testing.assert_array_equal(rows.tensor[place], arrays[i])


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_replayed_steps_give_the_same_results(solver, dropout, monkeypatch):
    expected = _fits(solver=solver, dropout=dropout)
    made = []

    def capturer(device, generators):
        made.append(TapeCapturer(device, generators))
        return made[-1]

    monkeypatch.setitem(cuda_graphs.CAPTURERS, "cpu", capturer)
    for mine, theirs in zip(_fits(solver=solver, dropout=dropout), expected, strict=True):
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-10)
        for got, wanted in zip(mine.coefs_, theirs.coefs_, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
    assert sum(capturer.n_replays for capturer in made) > 0


def test_a_failed_capture_warns_in_each_fit(monkeypatch):
    class Failing(TapeCapturer):
        def capture(self, body):
            raise RuntimeError("no graphs today")

    monkeypatch.setitem(cuda_graphs.CAPTURERS, "cpu", Failing)

    def fit(seed):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            TorchMLPClassifier((5,), max_iter=4, random_state=seed).fit(X, Y)
        return [str(w.message) for w in caught]

    with parallel_config(backend="torchmlp"):
        for messages in Parallel()(delayed(fit)(seed) for seed in range(4)):
            assert sum("no graphs today" in message for message in messages) == 1


def _assert_same_fits(got, expected):
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine.loss_curve_, theirs.loss_curve_)
        for one, other in zip(mine.coefs_, theirs.coefs_, strict=True):
            np.testing.assert_array_equal(one, other)


def _fits_and_warnings(**parameters):
    def fit(seed):
        model = TorchMLPClassifier((5,), random_state=seed, **{"max_iter": 4, **parameters})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            error = None
            try:
                model.fit(X, Y).set_params(warm_start=True).fit(X, Y)
            except Exception as raised:
                error = raised
        return model, [str(w.message) for w in caught], error

    return list(zip(*Parallel()(delayed(fit)(seed) for seed in range(5)), strict=True))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("epoch", [0, 2])
def test_fits_of_a_stack_that_fails_are_trained_alone(epoch, early_stopping, monkeypatch):
    parameters = {"dropout": 0.3, "learning_rate": "cosine", "early_stopping": early_stopping}
    expected, _, _ = _fits_and_warnings(**parameters)
    run_epoch, epochs = StackNetwork.run_epoch, itertools.count()

    def failing(network, is_canceled):
        result = run_epoch(network, is_canceled)
        if next(epochs) >= epoch:
            raise MemoryError("no memory for the stack")
        return result

    monkeypatch.setattr(StackNetwork, "run_epoch", failing)
    with parallel_config(backend="torchmlp"):
        models, messages, errors = _fits_and_warnings(**parameters)
    assert errors == (None,) * 5
    _assert_same_fits(models, expected)
    for own in messages:
        assert sum("one stack (MemoryError: no memory for the stack)" in m for m in own) == 2


def test_an_operation_that_fails_for_one_fit_raises_in_this_fit_only(monkeypatch):
    expected, _, _ = _fits_and_warnings()

    def train_with_one_wrong_class(jobs, *arguments):
        if len(jobs) == 5:  # the first of two fits of each model
            jobs[2].inputs.data.y[7] = 99
        train_jobs(jobs, *arguments)

    monkeypatch.setattr("torchmlp.task_scheduler.train_jobs", train_with_one_wrong_class)
    with parallel_config(backend="torchmlp"):
        models, _, errors = _fits_and_warnings()
    assert "index 99 is out of bounds" in str(errors[2])
    others = [0, 1, 3, 4]
    assert [errors[i] for i in others] == [None] * 4
    _assert_same_fits([models[i] for i in others], [expected[i] for i in others])


def test_a_canceled_stack_trains_no_further(monkeypatch):
    def canceled(jobs, n_places, is_canceled):
        return train_stack(jobs, n_places, lambda: True)

    monkeypatch.setattr("torchmlp.training.scheduling.train_stack", canceled)
    assert [model.n_iter_ for model in _fits()] == [0] * 6


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_batches_without_weight_are_skipped_by_their_networks(solver, dropout):
    def fits():
        rng = np.random.RandomState(0)
        model = TorchMLPClassifier((5,), solver=solver, batch_size=2, dropout=dropout, max_iter=3)
        weights = rng.rand(6, len(X)) * (rng.rand(6, len(X)) > 0.6)
        return Parallel()(
            delayed(fit_quietly)(clone(model).set_params(random_state=seed), X, Y, own)
            for seed, own in enumerate(weights)
        )

    with parallel_config(backend="torchmlp"):
        models = fits()
    for mine, theirs in zip(models, fits(), strict=True):
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-10)
        np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-12)
