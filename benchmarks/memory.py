"""Peak memory of a fit and of a prediction, beyond X, which is held once."""

import numpy as np

from benchmarks import probe
from benchmarks.measure import Ratio, Row, interleaved
from benchmarks.predictions import N_FEATURES, WHO, fitted, numbers
from benchmarks.problems import Problem

TITLE = "Peak memory beyond X, as many times as torchmlp's, each in a process of its own"
MEANS = False
RATIO = "scikit-learn / ours"
MEBIBYTE = 1 << 20
MAX_ROUNDS = 3  # memory varies less than time


def columns(plan):
    return [RATIO, *(f"MiB of {who}" for who in WHO), "MiB of X"]


def fit(who, dtype, n_rows, n_features):
    """Return one epoch of two classes, shuffled, in batches of 200; libraries are warm."""
    X = numbers(n_rows, n_features, dtype)
    y = np.arange(n_rows) % 2
    call = WHO[who](Problem("two classes", lambda: (X, y), (100,), 200, 1), X, "cpu")
    call(X[:1000], y[:1000])
    return lambda: call(X, y)


def predict(who, dtype, n_rows, n_features):
    """Return a prediction of classes for so many rows; libraries are warm."""
    X = numbers(n_rows, n_features, dtype)
    model = fitted(who, dtype, "cpu")
    model.predict(X[:1000])
    return lambda: model.predict(X)


def row(what, dtype, n_rows, n_features, rounds):
    """Return the ratio of the peaks, and their medians in MiB.

    Parameters
    ----------
    what : {"fit", "predict"}
    dtype : {"float64", "float32"}
    n_rows, n_features, rounds : int
    """
    target = f"benchmarks.memory:{what}"
    calls = {who: (target, who, dtype, n_rows, n_features) for who in WHO}
    # Less than a MiB is the allocator's chance, and would make ratios of nothing.
    peaks = interleaved(
        calls, rounds, lambda call: max(probe.peak_bytes(*call), MEBIBYTE), n_warm=0
    )
    figures = {f"MiB of {who}": float(np.median(peaks[who])) / MEBIBYTE for who in WHO}
    figures["MiB of X"] = n_rows * n_features * np.dtype(dtype).itemsize / MEBIBYTE
    name = f"{what} {n_rows:,} x {n_features}, {dtype}"
    return Row(
        name,
        {RATIO: Ratio.of(peaks["scikit-learn"], peaks["torchmlp"])},
        figures=figures,
        rounds=rounds,
    )


def rows(plan):
    if not probe.available():
        print("Peak memory is measured on Linux only.")
        return
    rounds, fewer = min(plan.rounds, MAX_ROUNDS), 20 if plan.quick else 1
    for what, n_rows, n_features in (
        ("fit", 200_000 // fewer, 100),
        ("predict", 1_000_000 // fewer, N_FEATURES),
    ):
        for dtype in ("float64", "float32"):
            yield row(what, dtype, n_rows, n_features, rounds)
