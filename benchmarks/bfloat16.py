"""What bfloat16 products bring, and what they cost: seconds and the score in training."""

from dataclasses import replace

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import largest

TITLE = 'dtype="bfloat16" beside dtype="float32" on the largest network, data in float32'
MEANS = False
RATIO = "float32 / bfloat16"
EPOCHS, BATCH = 6, 512  # enough steps to have learned something
DTYPES = "float32", "bfloat16"


def columns(plan):
    return [RATIO, *(f"r2 of {dtype}" for dtype in DTYPES)]


def row(problem, plan):
    """Return the seconds of float32 by those of bfloat16, and r2 of both on the training data."""
    X, y = problem.load(np.float32)
    fits = {dtype: torchmlp(problem, X, plan.device, dtype=dtype) for dtype in DTYPES}
    models = {}

    def call(dtype):
        models[dtype] = fits[dtype](X, y)

    calls = {dtype: lambda dtype=dtype: call(dtype) for dtype in DTYPES}
    taken = interleaved(calls, problem.rounds(plan))
    name = f"{X.shape[0]:,} x {X.shape[1]}, batch {problem.batch}"
    measured = Row.of(name, taken, {RATIO: DTYPES})
    for dtype in DTYPES:
        measured.figures[f"r2 of {dtype}"] = float(models[dtype].score(X, y))
    return measured


def rows(plan):
    problem = largest(plan)
    yield row(replace(problem, batch=BATCH, epochs=EPOCHS), plan)
    problem.forget()
