"""Whether device="auto" picks well: beside each device by name, on every problem."""

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import chosen

TITLE = 'Seconds of a fit in float32 on each device, as many times as with device="auto"'
MEANS = True  # over its problems


def columns(plan):
    return list(ratios(plan.device))


def ratios(device):
    """Return the columns: the CPU, and the device where it is another."""
    return {f"{name} / auto": (name, "auto") for name in dict.fromkeys(("cpu", device))}


def row(problem, plan):
    X, y = problem.load(np.float32)
    pairs = ratios(plan.device)
    fits = {
        name: torchmlp(problem, X, name)
        for name in ("auto", *(device for device, _ in pairs.values()))
    }
    calls = {name: lambda fit=fit: fit(X, y) for name, fit in fits.items()}
    taken = interleaved(calls, plan.rounds)
    problem.forget()
    return Row.of(problem.name, taken, pairs)


def rows(plan):
    return (row(problem, plan) for problem in chosen(plan))
