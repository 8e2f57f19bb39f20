"""Tests for torchmlp.training.device.placement."""

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, fit_quietly, iris, weights_of
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.device import placement
from torchmlp.training.device.placement import (
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
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    resolved = resolve_dtype("bfloat16", np.dtype(float), torch.device("cpu"), work)
    assert resolved == (torch.float32, product)


def test_mps_has_no_float64():
    with pytest.raises(ValueError, match="device='mps' does not support dtype='float64'"):
        resolve_dtype("float64", np.dtype(float), torch.device("mps"), LITTLE)


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


def test_synchronize_does_not_wait_for_the_cpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
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
