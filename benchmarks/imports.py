"""Seconds of `import torchmlp` after the libraries it stands on, each time in a fresh process."""

import subprocess
import sys

from benchmarks.machine import ROOT
from benchmarks.measure import Row

TITLE = "Seconds of importing torch, scikit-learn's MLP, skorch and then torchmlp"
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
    """Return the seconds of the others, and those of torchmlp after them."""
    command = [sys.executable, "-c", CODE]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(float(number) for number in child.stdout.split())


def row(rounds, n_warm=1):
    """Return the seconds with torchmlp by those without, both of the same process."""
    for _ in range(n_warm):
        seconds_of_imports()  # the files are in the system's memory then
    others, ours = zip(*(seconds_of_imports() for _ in range(rounds)), strict=True)
    together = [before + extra for before, extra in zip(others, ours, strict=True)]
    taken = {"others": others, "torchmlp": ours, "together": together}
    measured = Row.of("import torchmlp", taken, {RATIO: ("together", "others")})
    measured.figures[EXTRA] = measured.seconds["torchmlp"]
    return measured


def rows(plan):
    yield row(plan.rounds)
