"""What is fitted: data made from a seed, a network, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_classification,
    make_moons,
    make_multilabel_classification,
)
from sklearn.preprocessing import scale


@dataclass(frozen=True)
class Problem:
    """One row of the table.

    Attributes
    ----------
    name : str
    make : callable () -> (X, y)
        X in float64.
    hidden : tuple of int
    batch : int
        Rows of a step; 0 for all of them.
    epochs : int
        Every library trains for as many.
    solver : {"adam", "sgd", "lbfgs"}
    kind : {"class", "labels", "number"}
        What is predicted.
    quick : bool
        Whether it is part of the short run.
    for_gpu : bool
        Whether it is part of a run on a GPU only; scikit-learn would take minutes.
    sparse : bool
        Whether X is a csr array.
    most_rounds : int or None
        Rounds that are enough, where a fit takes seconds.
    """

    name: str
    make: Callable[[], Any]
    hidden: tuple
    batch: int
    epochs: int
    solver: str = "adam"
    kind: str = "class"
    quick: bool = False
    for_gpu: bool = False
    sparse: bool = False
    most_rounds: int | None = None
    data: list = field(default_factory=list, compare=False, repr=False)

    def load(self, dtype):
        """Return X in this dtype, and y; made once."""
        if not self.data:
            self.data.append(self.make())
        X, y = self.data[0]
        return X.astype(dtype), y

    def forget(self):
        """Give the memory of the data back."""
        self.data.clear()

    def rounds(self, plan):
        """Return how many rounds a plan takes with this problem."""
        return min(plan.rounds, self.most_rounds or plan.rounds)

    def batch_size(self, n_rows):
        return min(self.batch or n_rows, n_rows)


def _iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def _digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _moons(n_rows):
    return make_moons(n_rows, noise=0.2, random_state=0)


def _classes(n_rows, n_features, n_classes=2):
    X, y = make_classification(
        n_rows,
        n_features,
        n_informative=min(10, n_features),
        n_redundant=0,
        n_classes=n_classes,
        random_state=0,
    )
    return X, y


def _numbers(n_rows, n_features):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n_rows, n_features))
    return X, np.sin(X[:, 0]) + X[:, 1:4].sum(axis=1) + 0.1 * rng.standard_normal(n_rows)


def _labels(n_rows, n_features):
    X, y = make_multilabel_classification(n_rows, n_features, n_classes=10, random_state=0)
    return scale(X), y


def _text(n_rows, n_features, density):
    rng = np.random.RandomState(0)
    X = sp.random_array((n_rows, n_features), density=density, format="csr", rng=rng)
    return X, (np.asarray(X[:, :2000].sum(axis=1)).ravel() > density * 1000).astype(int)


# Steps with most to multiply, in a network that a processor and one that a GPU trains in seconds.
LARGE = Problem(
    "8k x 1024, batch 4096",
    lambda: _numbers(8192, 1024),
    (1024,) * 3,
    4096,
    3,
    kind="number",
    most_rounds=3,
)
LARGE_FOR_GPU = Problem(
    "32k x 1024, batch 8192",
    lambda: _numbers(32_768, 1024),
    (4096,) * 3,
    8192,
    1,
    kind="number",
    for_gpu=True,
)
PROBLEMS = [
    Problem("iris, batch 1", _iris, (10,), 1, 10),
    Problem("iris, batch 16", _iris, (10,), 16, 60, quick=True),
    Problem("moons 200 x 2, full batch", lambda: _moons(200), (100,), 0, 400, quick=True),
    Problem("500 x 10, batch 1, sgd", lambda: _numbers(500, 10), (10,), 1, 4, "sgd", "number"),
    Problem("moons 1000 x 2, batch 32", lambda: _moons(1000), (10, 10), 32, 40, quick=True),
    Problem("digits, batch 200", _digits, (100,), 200, 40, quick=True),
    Problem("digits, batch 200, sgd", _digits, (100,), 200, 40, "sgd"),
    Problem("labels 2000 x 50, batch 32", lambda: _labels(2000, 50), (100,), 32, 10, kind="labels"),
    Problem("20k x 50, batch 200", lambda: _numbers(20_000, 50), (256, 256), 200, 2, kind="number"),
    Problem(
        "20k x 50, batch 4096", lambda: _numbers(20_000, 50), (256, 256), 4096, 3, kind="number"
    ),
    Problem(
        "20k x 50, full batch, sgd", lambda: _numbers(20_000, 50), (100,), 0, 10, "sgd", "number"
    ),
    Problem("100k x 100, batch 200", lambda: _classes(100_000, 100), (100,), 200, 1),
    Problem("10k x 784, batch 200", lambda: _classes(10_000, 784, 10), (256, 256), 200, 2),
    Problem("2000 x 2000, batch 200", lambda: _numbers(2000, 2000), (100,), 200, 5, kind="number"),
    Problem("1M x 10, batch 4096", lambda: _classes(1_000_000, 10), (10,), 4096, 1, most_rounds=3),
    LARGE,
    Problem(
        "sparse 4000 x 20k, batch 200",
        lambda: _text(4000, 20_000, 0.002),
        (100,),
        200,
        3,
        sparse=True,
    ),
    Problem("digits, lbfgs", _digits, (100,), 0, 40, "lbfgs", quick=True),
    Problem("iris, lbfgs", _iris, (10,), 0, 60, "lbfgs"),
    Problem("20k x 50, lbfgs", lambda: _numbers(20_000, 50), (100,), 0, 10, "lbfgs", "number"),
    Problem(
        "100k x 100, batch 256", lambda: _classes(100_000, 100), (256, 256), 256, 2, for_gpu=True
    ),
    LARGE_FOR_GPU,
]


def chosen(plan):
    """Return the problems of a run: the small ones of a quick one, and a GPU's on a GPU."""
    on_cpu = plan.device == "cpu"
    return [p for p in PROBLEMS if (p.quick or not plan.quick) and not (p.for_gpu and on_cpu)]


def largest(plan):
    """Return the problem whose step has most to multiply, a regression; a small one if quick."""
    if plan.quick:
        units = (256,) * 3
        return Problem(
            "2k x 256, batch 1024", lambda: _numbers(2048, 256), units, 1024, 1, kind="number"
        )
    return LARGE if plan.device == "cpu" else LARGE_FOR_GPU
