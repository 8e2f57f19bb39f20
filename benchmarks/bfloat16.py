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
    measured = Row.of(problem.name, interleaved(calls, plan.rounds), {RATIO: DTYPES})
    for dtype in DTYPES:
        measured.figures[f"r2 of {dtype}"] = float(models[dtype].score(X, y))
    return measured


def rows(plan):
    problem = largest(plan)
    name, _, _ = problem.name.partition(",")
    shorter = replace(problem, name=f"{name}, batch {BATCH}", batch=BATCH, epochs=EPOCHS)
    yield row(shorter, plan)
    problem.forget()
