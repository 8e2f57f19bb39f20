"""Tests for torchmlp.training.device.placement."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, fit_quietly, iris, weights_of
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.device import placement
from torchmlp.training.device.placement import (
    n_threads,
    n_threads_for,
    one_thread,
    prediction_device,
    resolve_device,
    resolve_dtype,
)

X, y = iris()

CPU = torch.device("cpu")

ACCELERATORS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not probe(), reason=f"needs a device of type {name}")
    )
    for name, probe in placement._PROBES.items()
    if name != "cpu"
]

MUCH, LITTLE = 1 << 40, 1


@pytest.mark.parametrize("device", ["cpu", CPU, "auto"])
def test_cpu_devices(device):
    assert resolve_device(device) == CPU


def test_auto_is_the_cpu_also_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    X = np.random.RandomState(0).rand(500, 100)
    mlp = TorchMLPRegressor("squared_error", (2000,), batch_size=500, max_iter=1, random_state=0)
    fit_quietly(mlp, X, X[:, 0])
    assert mlp.device_ == "cpu"
    assert mlp.coefs_[0].dtype == np.float64
    assert mlp.predict(X).shape == (500,)
    assert prediction_device("auto", np.dtype(float)) == CPU


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_cuda_device_raises():
    with pytest.raises(ValueError, match=r"device='cuda' is not available with torch"):
        TorchMLPClassifier(device="cuda").fit(X, y)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_prediction_falls_back_to_the_cpu(device, monkeypatch):
    monkeypatch.setattr(placement, "_PROBES", {"cpu": lambda: True})
    assert prediction_device(device, np.dtype(float)) == CPU


def test_model_of_a_missing_device_predicts_on_the_cpu():
    X, y = iris()
    mlp = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=3), X, y)
    expected = mlp.predict(X)
    mlp.device = "cuda:77"
    np.testing.assert_array_equal(mlp.predict(X), expected)


@pytest.mark.parametrize(
    ("dtype", "X_dtype", "device", "expected"),
    [
        ("auto", "float64", "cpu", (torch.float64, torch.float64)),
        ("auto", "float32", "cpu", (torch.float32, torch.float32)),
        ("auto", "float64", "cuda", (torch.float32, torch.float32)),
        ("auto", "float64", "mps", (torch.float32, torch.float32)),
        ("float64", "float32", "cuda", (torch.float64, torch.float64)),
        ("bfloat16", "float64", "cuda", (torch.float32, torch.bfloat16)),
    ],
)
def test_resolved_dtypes(dtype, X_dtype, device, expected):
    assert resolve_dtype(dtype, np.dtype(X_dtype), torch.device(device), LITTLE) == expected


def test_dtype_overrides_the_dtype_of_X():
    X, y = iris()
    for dtype in ("float32", "float64"):
        mlp = fit_quietly(TorchMLPRegressor(dtype=dtype, random_state=0, max_iter=2), X, y)
        assert {w.dtype.name for w in weights_of(mlp)} == {dtype}


@pytest.mark.parametrize(
    ("features", "work", "product"),
    [
        ({"avx512_bf16": True}, MUCH, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, MUCH, torch.bfloat16),
        ({"avx512_bf16": True}, LITTLE, torch.float32),
        ({"avx2": True, "avx512_bf16": False}, MUCH, torch.float32),
    ],
)
def test_bfloat16_on_a_cpu_only_where_it_is_faster(monkeypatch, features, work, product):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    resolved = resolve_dtype("bfloat16", np.dtype(float), torch.device("cpu"), work)
    assert resolved == (torch.float32, product)


def test_mps_has_no_float64():
    with pytest.raises(ValueError, match="device='mps' does not support dtype='float64'"):
        resolve_dtype("float64", np.dtype(float), torch.device("mps"), LITTLE)


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
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
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


@pytest.mark.parametrize("device", ACCELERATORS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_accelerator_equals_the_cpu(task, solver, device):
    (_, ours), X, y, needed = TASKS[task]
    mlp = ours(random_state=0, max_iter=10, solver=solver, batch_size=50, **needed)
    here = fit_quietly(clone(mlp).set_params(dtype="float32"), X, y)
    there = fit_quietly(clone(mlp).set_params(device=device), X, y)
    assert there.device_.startswith(device)
    assert all(type(w) is np.ndarray for w in there.coefs_)
    np.testing.assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-2)
    np.testing.assert_allclose(there.coefs_[0], here.coefs_[0], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("device", ACCELERATORS)
def test_accelerator_trains_on_sparse_weighted_data_in_bfloat16(device):
    import scipy.sparse as sp

    _, X, y, _ = TASKS["regression"]
    weights = np.linspace(0, 1, len(y))
    mlp = TorchMLPRegressor(random_state=0, max_iter=30, device=device, early_stopping=True)
    dense = fit_quietly(clone(mlp), X, y, weights)
    sparse = fit_quietly(clone(mlp), sp.csr_array(X), y, weights)
    np.testing.assert_allclose(sparse.predict(X), dense.predict(X), rtol=1e-3, atol=1e-3)
    low = fit_quietly(clone(mlp).set_params(dtype="bfloat16"), X, y, weights)
    assert abs(low.score(X, y) - dense.score(X, y)) < 0.1


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
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "done"


def _blas_threads():
    return [library["num_threads"] for library in placement._blas_beside_torchs().info()]


def test_last_of_several_fits_restores_the_blas_threads():
    found = _blas_threads()
    assert found  # NumPy and scipy bring their own
    first, second = placement.one_blas_thread(), placement.one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert set(_blas_threads()) == {1}
    first.__exit__(None, None, None)
    assert set(_blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert _blas_threads() == found


def test_synchronize_does_not_wait_for_the_cpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    for name in ("cpu", "cuda:1"):
        placement.synchronize(torch.device(name))
    assert waited == [torch.device("cuda:1")]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_default_dtype_of_torch_has_no_effect(dtype):
    mlp = TorchMLPClassifier((8,), random_state=0, max_iter=100, batch_size=20)
    expected = fit_quietly(clone(mlp), X, y)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        got = fit_quietly(clone(mlp), X, y)
    finally:
        torch.set_default_dtype(before)
    assert_identical(expected, got)


def test_default_device_of_torch_has_no_effect():
    mlp = TorchMLPClassifier((8,), random_state=0, max_iter=5, early_stopping=True, dropout=0.1)
    expected = fit_quietly(clone(mlp), X, y)
    with torch.device("meta"):
        got = fit_quietly(clone(mlp), X, y)
        probabilities = got.predict_proba(X)
    assert_identical(expected, got)
    np.testing.assert_array_equal(probabilities, expected.predict_proba(X))


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
    guard = placement.one_blas_thread()
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
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "0"
