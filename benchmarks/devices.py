"""Fit time on the CPU relative to another device, for every problem."""

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import problems_of

TITLE = "Fit time in float32 on the CPU relative to the other device"
MEANS = True  # report geometric means over the problems


def columns(plan):
    return [f"cpu / {plan.device}"]


def row(problem, plan):
    X, y = problem.load(np.float32)
    fits = {name: torchmlp(problem, X, name) for name in ("cpu", plan.device)}
    calls = {name: lambda fit=fit: fit(X, y) for name, fit in fits.items()}
    times = interleaved(calls, problem.rounds(plan))
    problem.clear()
    return Row.of(problem.name, times, {f"cpu / {plan.device}": ("cpu", plan.device)})


def rows(plan):
    return (row(problem, plan) for problem in problems_of(plan))
