"""Data and regressors that the tests for quantiles and normal distributions share."""

import numpy as np
from helpers import TASKS

from torchmlp import TorchMLPRegressor

_, X, Y, _ = TASKS["regression"]
_, X_SEVERAL, Y_SEVERAL, _ = TASKS["multioutput"]
LEVELS = [0.9, 0.1, 0.5]
SMOOTH = dict(hidden_layer_sizes=(30,), activation="tanh", max_iter=100, random_state=0)
SOLVERS = {
    "adam": {"learning_rate": "cosine", "learning_rate_init": 0.01},
    "adamw": {"solver": "adamw", "learning_rate": "one_cycle", "learning_rate_init": 0.02},
    "lbfgs": {"solver": "lbfgs", "max_iter": 300},
}


def quantile_regressor(quantile=tuple(LEVELS), **parameters):
    settings = {"max_iter": 20, "random_state": 0, **parameters}
    return TorchMLPRegressor("quantile", quantile=list(quantile), **settings)


def gaussian_regressor(**parameters):
    return TorchMLPRegressor("gaussian", **{"max_iter": 20, "random_state": 0, **parameters})


def deviation(x):
    return 0.1 + 0.3 * (x + 2)


def heteroscedastic(n_samples, seed):
    """Return a sine with noise whose standard deviation is `deviation`."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(-2, 2, n_samples)
    return x[:, np.newaxis], np.sin(x) + deviation(x) * rng.randn(n_samples)


X_TRAIN, Y_TRAIN = heteroscedastic(2000, seed=0)
X_TEST, Y_TEST = heteroscedastic(5000, seed=1)
