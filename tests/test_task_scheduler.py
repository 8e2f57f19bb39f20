"""Tests for the scheduler of the joblib backend: locks, threads, processes, errors, interrupts."""

import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from backend_helpers import (
    IRIS,
    assert_equal,
    assert_same_as_serial,
    recorded,
    small_mlp,
    task_threads,
)
from joblib import parallel_config
from sklearn.model_selection import cross_val_score
from sklearn.utils.parallel import Parallel, delayed

MAX_SECONDS = 600  # after which a process is considered to hang


def _fit_several_times(times, threads=False):
    models = [small_mlp(random_state=i) for i in range(times)]
    if threads:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda model: model.fit(*IRIS), models))
    else:
        for model in models:
            model.fit(*IRIS)
    return [model.predict_proba(IRIS[0]) for model in models]


def test_tasks_fit_any_number_of_times():
    def run():
        tasks = [delayed(_fit_several_times)(times) for times in (0, 1, 2, 3, 0, 5)]
        return Parallel()([*tasks, delayed(_fit_several_times)(3, threads=True)])

    assert_same_as_serial(run)


def test_two_searches_in_two_threads():
    expected = recorded(lambda: [_fit_several_times(1), _fit_several_times(2)])[0]

    def run(times):
        with parallel_config(backend="torchmlp"):
            return Parallel()(delayed(_fit_several_times)(times) for _ in range(3))[0]

    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(2) as pool:
        got = list(pool.map(run, [1, 2]))
    assert_equal(got, expected)


def test_warnings_filters_of_a_task_belong_to_it():
    def task(i):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn(f"first {i}", stacklevel=1)
            small_mlp(max_iter=2).fit(*IRIS)
            warnings.warn(f"second {i}", stacklevel=1)
        return [str(w.message) for w in caught]

    with parallel_config(backend="torchmlp"):
        messages = Parallel()(delayed(task)(i) for i in range(5))
    reached = "Stochastic Optimizer: Maximum iterations (2) reached and the optimization"
    for i, (first, own, second) in enumerate(messages):
        assert (first, second) == (f"first {i}", f"second {i}")
        assert own.startswith(reached)


def test_a_task_may_hold_a_lock_while_it_fits():
    lock = threading.Lock()

    def task(seed):
        with lock:
            return small_mlp(random_state=seed).fit(*IRIS).coefs_

    assert_same_as_serial(lambda: Parallel()(delayed(task)(seed) for seed in range(3)))


def test_a_lock_may_be_held_over_nested_calls_and_errors():
    lock = threading.RLock()

    def task(seed):
        with lock:
            if seed == 2:
                raise ValueError("seed 2")
            return cross_val_score(small_mlp(random_state=seed, max_iter=3), *IRIS, cv=2)

    assert_same_as_serial(lambda: Parallel()(delayed(task)(seed) for seed in range(2)))
    with (
        warnings.catch_warnings(action="ignore"),
        parallel_config(backend="torchmlp"),
        pytest.raises(ValueError, match="seed 2"),
    ):
        Parallel()(delayed(task)(seed) for seed in range(4))
    assert not task_threads()


def test_the_iterable_of_a_call_may_use_the_backend():
    def seeds():
        for seed in range(4):
            cross_val_score(small_mlp(max_iter=2), *IRIS, cv=2)
            yield seed

    def fit(seed):
        return small_mlp(random_state=seed, max_iter=2).fit(*IRIS).coefs_

    for pre_dispatch in "all", 1, 2:
        assert_same_as_serial(
            lambda n=pre_dispatch: Parallel(pre_dispatch=n)(delayed(fit)(s) for s in seeds())
        )
    nested = [delayed(lambda: Parallel()(delayed(fit)(s) for s in seeds()))() for _ in range(2)]
    assert_same_as_serial(lambda: Parallel()(nested))


def test_an_error_in_the_iterable_ends_the_call():
    def seeds():
        yield from range(3)
        raise ValueError("no more seeds")

    def fit(seed):
        return small_mlp(random_state=seed, max_iter=2).fit(*IRIS)

    for pre_dispatch in "all", 2:
        with (
            warnings.catch_warnings(action="ignore"),
            parallel_config(backend="torchmlp"),
            pytest.raises(ValueError, match="no more seeds"),
        ):
            Parallel(pre_dispatch=pre_dispatch)(delayed(fit)(seed) for seed in seeds())
        assert not task_threads()


def test_tasks_run_in_the_context_of_the_call():
    def divide():
        return np.ones(1) / np.zeros(1)

    with (
        parallel_config(backend="torchmlp"),
        np.errstate(divide="raise"),
        pytest.raises(FloatingPointError),
    ):
        Parallel()(delayed(divide)() for _ in range(2))


INTERRUPTED = """
import os, signal, threading, warnings
import torch
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from torchmlp import TorchMLPClassifier

filters, n_threads = warnings.filters[:], torch.get_num_threads()
# Without the interrupt, the fits would take days.
model = TorchMLPClassifier((10,), max_iter=10**6, n_iter_no_change=10**6, {parameters})
search = GridSearchCV(model, {{"alpha": [0.1, 0.2, 0.3, 0.4, 0.5]}}, cv=3)
threading.Timer(2.0, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    with parallel_config(backend="torchmlp"):
        cross_val_score(search, *load_iris(return_X_y=True), cv=3)
except KeyboardInterrupt:
    assert not [t for t in threading.enumerate() if t.name == "torchmlp-task"]
    assert warnings.filters == filters
    assert torch.get_num_threads() == n_threads
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print("interrupted")
"""


@pytest.mark.parametrize("parameters", ["", "solver='lbfgs', tol=0, max_fun=10**9", "verbose=1"])
def test_an_interrupt_ends_all_fits(parameters):
    code = INTERRUPTED.format(parameters=parameters)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )
    assert done.stdout.endswith("interrupted\n"), done.stderr[-2000:]


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch):
    start = threading.Thread.start

    def start_of_thread(thread):
        if thread.name == "torchmlp-task" and len(task_threads()) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_of_thread)
    with (
        warnings.catch_warnings(action="ignore"),
        parallel_config(backend="torchmlp"),
        pytest.raises(RuntimeError, match="can't start new thread"),
    ):
        cross_val_score(small_mlp(), *IRIS, cv=5)
    assert not task_threads()


def _fit_in_a_forked_process():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply_async(_fit_several_times, (1,)).get(timeout=MAX_SECONDS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_a_task_forks_can_fit():
    with warnings.catch_warnings(action="ignore"), parallel_config(backend="torchmlp"):
        Parallel()(delayed(_fit_in_a_forked_process)() for _ in range(2))


def test_a_scorer_can_use_the_backend():
    def scoring(model, X, y):
        with parallel_config(backend="torchmlp"):
            return cross_val_score(small_mlp(max_iter=2), *IRIS, cv=2).mean()

    model = small_mlp(early_stopping=True, scoring=scoring, max_iter=2)
    assert_same_as_serial(lambda: cross_val_score(model, *IRIS, cv=3), n_jobs=1)


def test_a_signal_handler_that_raises_restores_the_filters():
    code = INTERRUPTED_BY_ALARM
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )
    assert done.stdout.endswith("restored\n"), done.stderr[-2000:]


INTERRUPTED_BY_ALARM = """
import signal, threading, time, warnings
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torchmlp import TorchMLPClassifier

def slow(X):
    for _ in range(200):
        time.sleep(0.02)
    return X

def handler(number, frame):
    raise TimeoutError("too long")

filters = warnings.filters[:]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 1.0)
try:
    with parallel_config(backend="torchmlp"):
        cross_val_score(
            make_pipeline(FunctionTransformer(slow), TorchMLPClassifier()),
            *load_iris(return_X_y=True), cv=3, error_score="raise",
        )
except TimeoutError:
    assert warnings.filters == filters
    assert not [t for t in threading.enumerate() if t.name == "torchmlp-task"]
    print("restored")
"""
