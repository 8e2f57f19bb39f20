"""Whether device="auto" picks well: beside each device by name, on every problem."""

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import chosen

TITLE = 'Seconds of a fit in float32 on each device, as many times as with device="auto"'
MEANS = True  # over its problems


def named(plan):
    """Return the devices that have a name: the CPU, and the plan's where it is another."""
    return list(dict.fromkeys(("cpu", plan.device)))


def columns(plan):
    return [f"{name} / auto" for name in named(plan)]


def row(problem, plan):
    X, y = problem.load(np.float32)
    names = named(plan)
    fits = {name: torchmlp(problem, X, name) for name in ("auto", *names)}
    calls = {name: lambda fit=fit: fit(X, y) for name, fit in fits.items()}
    taken = interleaved(calls, problem.rounds(plan))
    problem.forget()
    return Row.of(problem.name, taken, {f"{name} / auto": (name, "auto") for name in names})


def rows(plan):
    return (row(problem, plan) for problem in chosen(plan))
