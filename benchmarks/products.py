"""Share of the matrix products in the fit time, from a run of the same products alone."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from benchmarks.libraries import synchronize, torchmlp
from benchmarks.measure import Row, interleaved
from benchmarks.problems import largest
from torchmlp.training.parameters import as_matrix

TITLE = "Throughput of a fit on the largest problem relative to its matrix products alone"
MEANS = False
SHARE = "bare products / ours"  # ratio of times, equal to ours / bare products for throughput
EPOCHS = 4
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def columns(plan):
    return [SHARE, "GFLOP/s of ours", "GFLOP/s of bare products"]


def units_of(problem, X):
    """Return the number of units of each layer of a regression, including the input layer."""
    return (X.shape[1], *problem.hidden, 1)


def steps(n_rows, batch):
    """Return the number of rows of each step of an epoch."""
    full, rest = divmod(n_rows, batch)
    return [batch] * full + [rest] * (rest > 0)


def multiply_adds(units, n_rows):
    """Return the number of multiply-adds of forward and backward passes for n_rows rows.

    Each layer has three products of the same size. The first layer has only two, since the
    derivative with respect to X is not required.
    """
    sizes = [fan_in * fan_out for fan_in, fan_out in pairwise(units)]
    return n_rows * (3 * sum(sizes) - sizes[0])


class Products:
    """Matrix products of a fit with preallocated operands and results.

    All matrices have the same memory layout as in the fit.

    Parameters
    ----------
    units : tuple of int
    batch : int
    dtype : torch.dtype
    device : str
    """

    def __init__(self, units, batch, dtype, device):
        generator = torch.Generator(device).manual_seed(0)

        def random_matrix(n_rows, n_columns):
            size = n_rows * n_columns
            flat = torch.randn(size, dtype=dtype, device=device, generator=generator)
            return as_matrix(flat, n_rows, n_columns)

        # Gathered rows of X are contiguous.
        X, *hidden = (random_matrix(batch, fan_in) for fan_in in units[:-1])
        self.device = device
        self.flows = [X.contiguous(), *hidden]
        self.coefs = [random_matrix(*pair) for pair in pairwise(units)]
        self.deltas = [random_matrix(batch, fan_out) for fan_out in units[1:]]
        self.outputs = [torch.empty_like(delta) for delta in self.deltas]
        self.gradients = [torch.empty_like(coefs) for coefs in self.coefs]
        self.inputs = [torch.empty_like(flow) for flow in self.flows]

    def step(self, n_rows):
        """Compute X W of all layers, then X' delta and delta W' in reverse order of the layers."""
        for flow, coefs, output in zip(self.flows, self.coefs, self.outputs, strict=True):
            torch.mm(flow[:n_rows], coefs, out=output[:n_rows])
        for i in range(len(self.coefs) - 1, -1, -1):
            delta = self.deltas[i][:n_rows]
            torch.mm(self.flows[i][:n_rows].t(), delta, out=self.gradients[i])
            if i:
                torch.mm(delta, self.coefs[i].t(), out=self.inputs[i][:n_rows])

    def run(self, n_rows_of_steps):
        for n_rows in n_rows_of_steps:
            self.step(n_rows)
        synchronize(self.device)


def row(problem, dtype, plan):
    """Return the ratio for one dtype.

    Parameters
    ----------
    problem : Problem
        A regression problem.
    dtype : str
    plan : Plan
    """
    problem = replace(problem, epochs=EPOCHS)
    X, y = problem.load(np.dtype(dtype))
    batch, units = problem.batch_size(X.shape[0]), units_of(problem, X)
    products = Products(units, batch, DTYPES[dtype], plan.device)
    fit = torchmlp(problem, X, plan.device)
    calls = {
        "bare products": lambda: products.run(steps(X.shape[0], batch) * EPOCHS),
        "torchmlp": lambda: fit(X, y),
    }
    times = interleaved(calls, problem.rounds(plan))
    measured = Row.of(f"{problem.name}, {dtype}", times, {SHARE: ("bare products", "torchmlp")})
    gflop = 2e-9 * EPOCHS * multiply_adds(units, X.shape[0])
    measured.figures["GFLOP/s of ours"] = gflop / measured.seconds["torchmlp"]
    measured.figures["GFLOP/s of bare products"] = gflop / measured.seconds["bare products"]
    return measured


def rows(plan):
    problem = largest(plan)
    for dtype in DTYPES:
        yield row(problem, dtype, plan)
    problem.clear()
