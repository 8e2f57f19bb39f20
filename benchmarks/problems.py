"""Problems: data generated with a fixed seed, and the parameters of the network."""

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
    """Data and network of one row of the table.

    Attributes
    ----------
    name : str
    make : callable () -> (X, y)
        Returns the data, with X in float64.
    hidden : tuple of int
        Sizes of the hidden layers.
    batch : int
        Batch size. 0 for full batches.
    epochs : int
        Number of epochs, the same for every library.
    solver : {"adam", "sgd", "lbfgs"}
    kind : {"classification", "multilabel", "regression"}
    quick : bool
        Whether the problem is part of a quick run.
    gpu_only : bool
        Whether the problem is run on a GPU only. scikit-learn would take minutes.
    sparse : bool
        Whether X is a CSR array.
    max_rounds : int or None
        Maximum number of rounds, for fits that take seconds.
    data : list
        Cached data.
    """

    name: str
    make: Callable[[], Any]
    hidden: tuple
    batch: int
    epochs: int
    solver: str = "adam"
    kind: str = "classification"
    quick: bool = False
    gpu_only: bool = False
    sparse: bool = False
    max_rounds: int | None = None
    data: list = field(default_factory=list, compare=False, repr=False)

    def load(self, dtype):
        """Return X in the given dtype, and y. The data are generated once."""
        if not self.data:
            self.data.append(self.make())
        X, y = self.data[0]
        return X.astype(dtype), y

    def clear(self):
        """Release the memory of the data."""
        self.data.clear()

    def rounds(self, plan):
        """Return the number of rounds of a plan for this problem."""
        return min(plan.rounds, self.max_rounds or plan.rounds)

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


def _classification(n_rows, n_features, n_classes=2):
    X, y = make_classification(
        n_rows,
        n_features,
        n_informative=min(10, n_features),
        n_redundant=0,
        n_classes=n_classes,
        random_state=0,
    )
    return X, y


def _regression(n_rows, n_features):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n_rows, n_features))
    return X, np.sin(X[:, 0]) + X[:, 1:4].sum(axis=1) + 0.1 * rng.standard_normal(n_rows)


def _multilabel(n_rows, n_features):
    X, y = make_multilabel_classification(n_rows, n_features, n_classes=10, random_state=0)
    return scale(X), y


def _text(n_rows, n_features, density):
    rng = np.random.RandomState(0)
    X = sp.random_array((n_rows, n_features), density=density, format="csr", rng=rng)
    return X, (np.asarray(X[:, :2000].sum(axis=1)).ravel() > density * 1000).astype(int)


# Problems with the most multiplications per step, trained in seconds on a CPU and on a GPU.
LARGE = Problem(
    "8k x 1024, batch 4096",
    lambda: _regression(8192, 1024),
    (1024,) * 3,
    4096,
    3,
    kind="regression",
    max_rounds=3,
)
LARGE_FOR_GPU = Problem(
    "32k x 1024, batch 8192",
    lambda: _regression(32_768, 1024),
    (4096,) * 3,
    8192,
    1,
    kind="regression",
    gpu_only=True,
)
PROBLEMS = [
    Problem("iris, batch 1", _iris, (10,), 1, 10),
    Problem("iris, batch 16", _iris, (10,), 16, 60, quick=True),
    Problem("moons 200 x 2, full batch", lambda: _moons(200), (100,), 0, 400, quick=True),
    Problem(
        "500 x 10, batch 1, sgd", lambda: _regression(500, 10), (10,), 1, 4, "sgd", "regression"
    ),
    Problem("moons 1000 x 2, batch 32", lambda: _moons(1000), (10, 10), 32, 40, quick=True),
    Problem("digits, batch 200", _digits, (100,), 200, 40, quick=True),
    Problem("digits, batch 200, sgd", _digits, (100,), 200, 40, "sgd"),
    Problem(
        "labels 2000 x 50, batch 32",
        lambda: _multilabel(2000, 50),
        (100,),
        32,
        10,
        kind="multilabel",
    ),
    Problem(
        "20k x 50, batch 200",
        lambda: _regression(20_000, 50),
        (256, 256),
        200,
        2,
        kind="regression",
    ),
    Problem(
        "20k x 50, batch 4096",
        lambda: _regression(20_000, 50),
        (256, 256),
        4096,
        3,
        kind="regression",
    ),
    Problem(
        "20k x 50, full batch, sgd",
        lambda: _regression(20_000, 50),
        (100,),
        0,
        10,
        "sgd",
        "regression",
    ),
    Problem("100k x 100, batch 200", lambda: _classification(100_000, 100), (100,), 200, 1),
    Problem("10k x 784, batch 200", lambda: _classification(10_000, 784, 10), (256, 256), 200, 2),
    Problem(
        "2000 x 2000, batch 200", lambda: _regression(2000, 2000), (100,), 200, 5, kind="regression"
    ),
    Problem(
        "1M x 10, batch 4096", lambda: _classification(1_000_000, 10), (10,), 4096, 1, max_rounds=3
    ),
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
    Problem(
        "20k x 50, lbfgs", lambda: _regression(20_000, 50), (100,), 0, 10, "lbfgs", "regression"
    ),
    Problem(
        "100k x 100, batch 256",
        lambda: _classification(100_000, 100),
        (256, 256),
        256,
        2,
        gpu_only=True,
    ),
    LARGE_FOR_GPU,
]


def problems_of(plan):
    """Return the problems of a run."""
    on_cpu = plan.device == "cpu"
    return [p for p in PROBLEMS if (p.quick or not plan.quick) and not (p.gpu_only and on_cpu)]


def largest(plan):
    """Return the regression problem with the most multiplications per step of a run."""
    if plan.quick:
        units = (256,) * 3
        return Problem(
            "2k x 256, batch 1024",
            lambda: _regression(2048, 256),
            units,
            1024,
            1,
            kind="regression",
        )
    return LARGE if plan.device == "cpu" else LARGE_FOR_GPU
