"""Training time and training score with bfloat16 products compared with float32."""

from dataclasses import replace

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import largest

TITLE = 'dtype="bfloat16" compared with dtype="float32" on the largest network, data in float32'
MEANS = False
RATIO = "float32 / bfloat16"
EPOCHS, BATCH = 6, 512  # enough steps for a meaningful score
DTYPES = "float32", "bfloat16"


def columns(plan):
    return [RATIO, *(f"r2 of {dtype}" for dtype in DTYPES)]


def row(problem, plan):
    """Return the time of float32 relative to bfloat16, and R² of both on the training data."""
    X, y = problem.load(np.float32)
    fits = {dtype: torchmlp(problem, X, plan.device, dtype=dtype) for dtype in DTYPES}
    models = {}

    def call(dtype):
        models[dtype] = fits[dtype](X, y)

    calls = {dtype: lambda dtype=dtype: call(dtype) for dtype in DTYPES}
    times = interleaved(calls, problem.rounds(plan))
    name = f"{X.shape[0]:,} x {X.shape[1]}, batch {problem.batch}"
    measured = Row.of(name, times, {RATIO: DTYPES})
    for dtype in DTYPES:
        measured.figures[f"r2 of {dtype}"] = float(models[dtype].score(X, y))
    return measured


def rows(plan):
    problem = largest(plan)
    yield row(replace(problem, batch=BATCH, epochs=EPOCHS), plan)
    problem.clear()
