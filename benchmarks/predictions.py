"""Seconds of predict: for one row, where overhead is all, and for a million."""

import numpy as np

from benchmarks.libraries import scikit_learn, torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import Problem

TITLE = "Seconds of predict, as many times as torchmlp's"
MEANS = False
RATIOS = {
    "scikit-learn f64 / ours f64": ("scikit-learn f64", "torchmlp f64"),
    "scikit-learn f32 / ours f32": ("scikit-learn f32", "torchmlp f32"),
}
WHO = {"scikit-learn": scikit_learn, "torchmlp": torchmlp}
N_FEATURES = 20


def columns(plan):
    return list(RATIOS)


def numbers(n_rows, n_features, dtype):
    """Return rows from a seed, made in the dtype."""
    return np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.dtype(dtype))


def fitted(who, dtype, device):
    """Return a model of three classes that has seen a little."""
    X = numbers(1000, N_FEATURES, dtype)
    y = np.arange(len(X)) % 3
    return WHO[who](Problem("a little", lambda: (X, y), (100,), 200, 1), X, device)(X, y)


def row(n_rows, n_calls, plan):
    """Return the ratios for so many rows; the seconds are of n_calls calls."""
    calls = {}
    for name, dtype in {"f64": np.float64, "f32": np.float32}.items():
        X = numbers(n_rows, N_FEATURES, dtype)
        for who in WHO:
            predict = fitted(who, dtype, plan.device).predict
            calls[f"{who} {name}"] = lambda predict=predict, X=X: [
                predict(X) for _ in range(n_calls)
            ]
    taken = interleaved(calls, plan.rounds)
    return Row.of(f"{n_rows:,} x {N_FEATURES}, {n_calls} calls", taken, RATIOS)


def rows(plan):
    yield row(1, 50 if plan.quick else 500, plan)
    yield row(10_000 if plan.quick else 1_000_000, 1, plan)
