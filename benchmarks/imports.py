"""Time of `import torchmlp` after its dependencies, in new processes."""

import subprocess
import sys

from benchmarks.machine import ROOT
from benchmarks.measure import Row

TITLE = "Time to import torch, sklearn.neural_network and skorch, with and without torchmlp"
MEANS = False
RATIO = "with torchmlp / without"
EXTRA = "extra seconds"
CODE = """
from time import perf_counter
start = perf_counter()
import torch, sklearn.neural_network, skorch
between = perf_counter()
import torchmlp
print(between - start, perf_counter() - between)
"""


def columns(plan):
    return [RATIO, EXTRA]


def seconds_of_imports():
    """Return the import times of the dependencies and of torchmlp after them, in seconds."""
    command = [sys.executable, "-c", CODE]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(float(number) for number in child.stdout.split())


def row(rounds, n_warm=1):
    """Return the import time with torchmlp relative to that without, from the same process."""
    for _ in range(n_warm):
        seconds_of_imports()  # fills the file system cache
    others, ours = zip(*(seconds_of_imports() for _ in range(rounds)), strict=True)
    together = [before + extra for before, extra in zip(others, ours, strict=True)]
    times = {"others": others, "torchmlp": ours, "together": together}
    measured = Row.of("import torchmlp", times, {RATIO: ("together", "others")})
    measured.figures[EXTRA] = measured.seconds["torchmlp"]
    return measured


def rows(plan):
    yield row(plan.rounds)
