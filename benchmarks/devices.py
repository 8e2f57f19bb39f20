"""How many times as long a fit takes on the CPU as on another device, on every problem."""

import numpy as np

from benchmarks.libraries import torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import chosen

TITLE = "Seconds of a fit in float32 on the CPU, as many times as on the other device"
MEANS = True  # over its problems


def columns(plan):
    return [f"cpu / {plan.device}"]


def row(problem, plan):
    X, y = problem.load(np.float32)
    fits = {name: torchmlp(problem, X, name) for name in ("cpu", plan.device)}
    calls = {name: lambda fit=fit: fit(X, y) for name, fit in fits.items()}
    taken = interleaved(calls, problem.rounds(plan))
    problem.forget()
    return Row.of(problem.name, taken, {f"cpu / {plan.device}": ("cpu", plan.device)})


def rows(plan):
    return (row(problem, plan) for problem in chosen(plan))
