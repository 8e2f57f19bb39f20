"""Peak memory of fit and predict in addition to X."""

import numpy as np

from benchmarks import probe
from benchmarks.measure import Ratio, Row, interleaved
from benchmarks.predictions import ESTIMATORS, N_FEATURES, fitted, random_rows
from benchmarks.problems import Problem

TITLE = "Peak memory in addition to X relative to torchmlp, each in a new process"
MEANS = False
RATIO = "scikit-learn / ours"
MEBIBYTE = 1 << 20
MAX_ROUNDS = 3  # memory varies less than time


def columns(plan):
    return [RATIO, *(f"MiB of {name}" for name in ESTIMATORS), "MiB of X"]


def fit(name, dtype, n_rows, n_features):
    """Return a call that fits one epoch of binary classification, after a small warm-up fit."""
    X = random_rows(n_rows, n_features, dtype)
    y = np.arange(n_rows) % 2
    call = ESTIMATORS[name](Problem("binary", lambda: (X, y), (100,), 200, 1), X, "cpu")
    call(X[:1000], y[:1000])
    return lambda: call(X, y)


def predict(name, dtype, n_rows, n_features):
    """Return a call that predicts the classes of n_rows rows, after a small warm-up call."""
    X = random_rows(n_rows, n_features, dtype)
    model = fitted(name, dtype, "cpu")
    model.predict(X[:1000])
    return lambda: model.predict(X)


def row(method, dtype, n_rows, n_features, rounds):
    """Return the ratio of the peak memory, and the medians in MiB.

    Parameters
    ----------
    method : {"fit", "predict"}
    dtype : {"float64", "float32"}
    n_rows, n_features, rounds : int
    """
    target = f"benchmarks.memory:{method}"
    calls = {name: (target, name, dtype, n_rows, n_features) for name in ESTIMATORS}
    # Peaks below 1 MiB are noise of the allocator, whose ratios are meaningless.
    peaks = interleaved(
        calls, rounds, lambda call: max(probe.peak_bytes(*call), MEBIBYTE), n_warm=0
    )
    figures = {f"MiB of {name}": float(np.median(peaks[name])) / MEBIBYTE for name in ESTIMATORS}
    figures["MiB of X"] = n_rows * n_features * np.dtype(dtype).itemsize / MEBIBYTE
    return Row(
        f"{method} {n_rows:,} x {n_features}, {dtype}",
        {RATIO: Ratio.of(peaks["scikit-learn"], peaks["torchmlp"])},
        figures=figures,
        rounds=rounds,
    )


def rows(plan):
    if not probe.available():
        print("Peak memory can be measured on Linux only.")
        return
    rounds, divisor = min(plan.rounds, MAX_ROUNDS), 20 if plan.quick else 1
    for method, n_rows, n_features in (
        ("fit", 200_000 // divisor, 100),
        ("predict", 1_000_000 // divisor, N_FEATURES),
    ):
        for dtype in ("float64", "float32"):
            yield row(method, dtype, n_rows, n_features, rounds)
