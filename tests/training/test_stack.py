"""Tests for the training of several fits as one stack: memory, replays and cancellation."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.utils.parallel import Parallel, delayed
from tape import TapeCapturer

from torchmlp import TorchMLPClassifier
from torchmlp.training.device import cuda_graphs
from torchmlp.training.stack import train_stack
from torchmlp.training.stack_batches import SharedRows

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


def test_errors_of_the_stack_are_errors_of_its_fits(monkeypatch):
    def raise_error(*arguments):
        raise MemoryError("no memory for the stack")

    monkeypatch.setattr("torchmlp.training.stack_network.StackLoader", raise_error)
    with pytest.raises(MemoryError, match="no memory for the stack"):
        _fits()


def test_a_cancelled_stack_trains_no_further(monkeypatch):
    def cancelled(jobs, n_places, is_cancelled):
        train_stack(jobs, n_places, lambda: True)

    monkeypatch.setattr("torchmlp.training.scheduling.train_stack", cancelled)
    assert [model.n_iter_ for model in _fits()] == [0] * 6
