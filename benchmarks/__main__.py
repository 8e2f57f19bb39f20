"""Print how many times as long each library takes as torchmlp, problem by problem."""

import argparse
import os
import platform

import numpy as np
import skorch
import torch
from sklearn import __version__ as sklearn_version

from benchmarks.measure import Ratio, fits
from benchmarks.problems import PROBLEMS

# column -> (who, as many times as whom)
COLUMNS = {
    "scikit-learn f64 / ours f64": ("scikit-learn f64", "torchmlp f64"),
    "scikit-learn f32 / ours f32": ("scikit-learn f32", "torchmlp f32"),
    "scikit-learn f64 / ours f32": ("scikit-learn f64", "torchmlp f32"),
    "plain torch / ours f32": ("plain torch f32", "torchmlp f32"),
    "skorch / ours f32": ("skorch f32", "torchmlp f32"),
}


def machine():
    """Return what the figures depend on, as a line."""
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), torch {torch.__version__}, "
        f"scikit-learn {sklearn_version}, skorch {skorch.__version__}, numpy {np.__version__}"
    )


def compare(problem, device, n_rounds):
    """Return the ratios of a problem by column; None where a library cannot do it."""
    taken = fits(problem, device, n_rounds)
    problem.forget()
    return {
        name: Ratio.of(taken[slow], taken[fast]) if slow in taken else None
        for name, (slow, fast) in COLUMNS.items()
    }


def geometric_mean(ratios):
    return np.exp(np.mean([np.log(ratio.median) for ratio in ratios if ratio is not None]))


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small problems only")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each library")
    parser.add_argument("--device", default="cpu", help="where torch computes")
    options = parser.parse_args(arguments)
    problems = [problem for problem in PROBLEMS if problem.quick or not options.quick]
    print(f"Median of {options.rounds} interleaved rounds (smallest-largest). {machine()}")
    print(" | ".join(["problem".ljust(30), *COLUMNS]))
    rows = []
    for problem in problems:
        rows.append(compare(problem, options.device, options.rounds))
        cells = [str(ratio or "").ljust(len(name)) for name, ratio in rows[-1].items()]
        print(" | ".join([problem.name.ljust(30), *cells]), flush=True)
    means = [
        f"{geometric_mean([row[name] for row in rows]):.2f}".ljust(len(name)) for name in COLUMNS
    ]
    print(" | ".join(["geometric mean".ljust(30), *means]))


if __name__ == "__main__":
    main()
