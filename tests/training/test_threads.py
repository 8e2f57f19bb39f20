"""Tests for torchmlp.training.threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly

from torchmlp import TorchMLPClassifier
from torchmlp.training import threads
from torchmlp.training.threads import n_threads, n_threads_for, one_blas_thread, one_thread

MUCH, LITTLE = 1 << 40, 1


def test_threads_are_chosen_and_restored():
    found = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        assert n_threads_for(LITTLE, torch.float64) == 1
        assert n_threads_for(MUCH, torch.float64) == found
        with one_thread(), n_threads(3):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == found


def test_error_restores_the_threads():
    found = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread(), n_threads(3):
        raise KeyError
    assert torch.get_num_threads() == found


def _run(targets):
    running = [threading.Thread(target=target) for target in targets]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def test_overlapping_fits_restore_the_number_of_threads():
    # The second begins while the first runs and ends after it.
    found = torch.get_num_threads()
    began, ended = threading.Event(), threading.Event()
    counts = []

    def first():
        with one_thread():
            began.set()
            second_began.wait(10)
        ended.set()

    def second():
        began.wait(10)
        with one_thread():
            second_began.set()
            ended.wait(10)
        counts.append(torch.get_num_threads())

    second_began = threading.Event()
    _run([first, second])
    _run([lambda: counts.append(torch.get_num_threads())])
    assert counts == [found, found]
    assert torch.get_num_threads() == found


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_fits_in_threads_equal_fits_one_by_one():
    _, X, y, _ = TASKS["binary"]
    seeds = range(6)
    alone = [fit_quietly(TorchMLPClassifier(random_state=s, max_iter=4), X, y) for s in seeds]
    together = [TorchMLPClassifier(random_state=s, max_iter=4) for s in seeds]
    _run([lambda mlp=mlp: mlp.fit(X, y) for mlp in together])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


# A network of more than 32768 parameters: torch fills smaller tensors on one thread anyway.
FORK = """
import multiprocessing, warnings
import numpy as np
from torchmlp import TorchMLPClassifier
warnings.simplefilter("ignore")
X = np.random.RandomState(0).rand(2000, 300)
y = X[:, 0] > 0.5
many = np.arange(2000) % 100
def stochastic(seed):
    mlp = TorchMLPClassifier((200,), random_state=seed, max_iter=2, early_stopping=True)
    return mlp.fit(X, y).predict_proba(X).sum()
def lbfgs(seed):
    mlp = TorchMLPClassifier((200,), solver="lbfgs", random_state=seed, max_iter=2)
    return mlp.fit(X, many).predict_proba(X).sum()
def incremental(seed):
    mlp = TorchMLPClassifier((200,), random_state=seed).partial_fit(X, y, classes=[False, True])
    return mlp.partial_fit(X, y).hidden_activations(X)[0].sum()
fits = [stochastic, lbfgs, incremental]
expected = [fit(0) for fit in fits]
np.testing.assert_array_equal([fit(0) for fit in fits], expected)
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = [pool.apply_async(fit, (0,)) for fit in fits]
    np.testing.assert_allclose([result.get() for result in results], expected, rtol=1e-9)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_forked_child_does_not_wait_for_lost_threads():
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert done.stdout.strip() == "done"


def _blas_threads():
    return [library["num_threads"] for library in threads._blas_beside_torchs().info()]


def test_last_of_several_fits_restores_the_blas_threads():
    found = _blas_threads()
    assert found  # NumPy and scipy bring their own
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert set(_blas_threads()) == {1}
    first.__exit__(None, None, None)
    assert set(_blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert _blas_threads() == found


def test_threads_are_restored_if_an_interrupt_cuts_the_exit_short():
    found = torch.get_num_threads()
    guard = one_thread()
    guard.__enter__()  # and no call of __exit__
    assert torch.get_num_threads() == 1
    del guard
    assert torch.get_num_threads() == found
    with one_thread():
        assert n_threads_for(MUCH, torch.float64) == found
    assert torch.get_num_threads() == found


def test_blas_threads_are_restored_if_an_interrupt_cuts_the_exit_short():
    found = _blas_threads()
    guard = one_blas_thread()
    guard.__enter__()
    assert set(_blas_threads()) == {1}
    del guard
    assert _blas_threads() == found


FORK_INSIDE = """
import multiprocessing, warnings
import numpy as np, torch
from torchmlp import TorchMLPClassifier
warnings.simplefilter("ignore")
torch.set_num_threads(2)
X = np.random.RandomState(0).rand(20_000, 100)
y = np.arange(20_000) % 2
def score(estimator, X_val, y_val):
    child = multiprocessing.get_context("fork").Process(target=estimator.predict, args=(X,))
    child.start()
    child.join(60)
    print(child.exitcode)
    child.kill()
    return 0.0
TorchMLPClassifier(
    (300, 300), batch_size=2000, max_iter=1, early_stopping=True, scoring=score
).fit(X, y)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_child_that_is_forked_inside_a_fit_predicts():
    done = subprocess.run(
        [sys.executable, "-c", FORK_INSIDE],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert done.stdout.strip() == "0"
