"""Time of grid searches and of an ensemble, with processes and with the joblib backend."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import cpu_count, parallel_config
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_moons, make_regression
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import scale

from benchmarks.measure import Row, interleaved
from torchmlp import TorchMLPClassifier, TorchMLPRegressor

TITLE = "Time of searches relative to the joblib backend of torchmlp"
MEANS = False
RATIOS = {
    "MLPClassifier, processes / backend": ("scikit-learn", "backend"),
    "TorchMLPClassifier, processes / backend": ("torchmlp", "backend"),
}
PER_STEP = "microseconds per network and step"
GRID = {"alpha": list(np.logspace(-5, 1, 16))}
N_FOLDS = 5
N_ESTIMATORS = 64


@dataclass(frozen=True)
class Search:
    """A search over `GRID` with 5 folds, or an ensemble of 64 networks with bootstrap samples.

    Attributes
    ----------
    name : str
    data : (X, y)
    hidden : tuple of int
        Sizes of the hidden layers.
    batch : int
        Number of rows of a batch.
    epochs : int
        Number of epochs of each fit.
    bagging : bool
        Whether to fit the ensemble instead of the search.
    """

    name: str
    data: Any
    hidden: tuple
    batch: int
    epochs: int
    bagging: bool = False

    @property
    def is_classification(self):
        return self.data[1].dtype.kind == "i"

    @property
    def n_steps(self):
        """Number of steps of all fits together."""
        n_samples = len(self.data[1])
        n_fits = N_ESTIMATORS if self.bagging else N_FOLDS * len(GRID["alpha"])
        n_rows = n_samples if self.bagging else n_samples * (N_FOLDS - 1) // N_FOLDS
        return n_fits * self.epochs * -(-n_rows // self.batch)

    def fit(self, library, **options):
        """Fit the search with the estimator of a library."""
        kinds = {
            ("scikit-learn", True): MLPClassifier,
            ("scikit-learn", False): MLPRegressor,
            ("torchmlp", True): TorchMLPClassifier,
            ("torchmlp", False): TorchMLPRegressor,
        }
        network = kinds[library, self.is_classification](
            hidden_layer_sizes=self.hidden,
            batch_size=self.batch,
            max_iter=self.epochs,
            n_iter_no_change=self.epochs,
            random_state=0,
        )
        if self.bagging:
            bagging = BaggingClassifier if self.is_classification else BaggingRegressor
            model = bagging(network, N_ESTIMATORS, random_state=0, **options)
        else:
            model = GridSearchCV(network, GRID, cv=N_FOLDS, refit=False, **options)
        with warnings.catch_warnings(action="ignore"):
            return model.fit(*self.data)

    def fit_with_backend(self):
        """Fit the search of torchmlp with its joblib backend."""
        with parallel_config(backend="torchmlp"):
            return self.fit("torchmlp")


def _scaled(load):
    X, y = load(return_X_y=True)
    return scale(X), y


def searches(quick):
    """Return the searches of a run."""
    iris = _scaled(load_iris)
    if quick:
        return [Search("iris, batch 16", iris, (10,), 16, 2)]
    moons = make_moons(1000, noise=0.2, random_state=0)
    cancer = _scaled(load_breast_cancer)
    X, y = make_regression(5000, 20, noise=10.0, random_state=0)
    return [
        Search("iris, batch 16", iris, (10,), 16, 200),
        Search("moons, batch 32", moons, (10, 10), 32, 100),
        Search("breast cancer, batch 64", cancer, (50, 25), 64, 50),
        Search("digits, batch 200", _scaled(load_digits), (100,), 200, 40),
        Search("regression 5000 x 20, batch 200", (X, scale(y)), (50,), 200, 20),
        Search("breast cancer, batch 64, bagging", cancer, (50, 25), 64, 50, bagging=True),
    ]


def columns(plan):
    return [*RATIOS, PER_STEP]


def row(search, rounds):
    """Return the ratios for a search."""
    n_jobs = cpu_count()
    calls = {
        "scikit-learn": lambda: search.fit("scikit-learn", n_jobs=n_jobs),
        "torchmlp": lambda: search.fit("torchmlp", n_jobs=n_jobs),
        "backend": search.fit_with_backend,
    }
    measured = Row.of(search.name, interleaved(calls, rounds), RATIOS)
    measured.figures[PER_STEP] = measured.seconds["backend"] / search.n_steps * 1e6
    return measured


def rows(plan):
    for search in searches(plan.quick):
        yield row(search, plan.rounds)
