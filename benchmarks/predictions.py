"""Time of predict for one row, which is dominated by overhead, and for a million rows."""

import numpy as np

from benchmarks.libraries import scikit_learn, torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import Problem

TITLE = "Time of predict relative to torchmlp"
MEANS = False
RATIOS = {
    "scikit-learn f64 / ours f64": ("scikit-learn f64", "torchmlp f64"),
    "scikit-learn f32 / ours f32": ("scikit-learn f32", "torchmlp f32"),
}
ESTIMATORS = {"scikit-learn": scikit_learn, "torchmlp": torchmlp}
N_FEATURES = 20


def columns(plan):
    return list(RATIOS)


def random_rows(n_rows, n_features, dtype):
    """Return normally distributed rows with a fixed seed."""
    return np.random.default_rng(0).standard_normal((n_rows, n_features), dtype=np.dtype(dtype))


def fitted(name, dtype, device):
    """Return a classifier with three classes, fitted for one epoch on 1000 rows."""
    X = random_rows(1000, N_FEATURES, dtype)
    y = np.arange(len(X)) % 3
    problem = Problem("small", lambda: (X, y), (100,), 200, 1)
    return ESTIMATORS[name](problem, X, device)(X, y)


def row(n_rows, n_calls, plan):
    """Return the ratios for n_rows rows. The times are those of n_calls calls."""
    calls = {}
    for suffix, dtype in {"f64": np.float64, "f32": np.float32}.items():
        X = random_rows(n_rows, N_FEATURES, dtype)
        for name in ESTIMATORS:
            predict = fitted(name, dtype, plan.device).predict
            calls[f"{name} {suffix}"] = lambda predict=predict, X=X: [
                predict(X) for _ in range(n_calls)
            ]
    times = interleaved(calls, plan.rounds)
    return Row.of(f"{n_rows:,} x {N_FEATURES}, {n_calls} calls", times, RATIOS)


def rows(plan):
    yield row(1, 50 if plan.quick else 500, plan)
    yield row(10_000 if plan.quick else 1_000_000, 1, plan)
