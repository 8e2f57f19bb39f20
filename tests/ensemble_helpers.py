"""Ensembles that the tests share."""

from helpers import TASKS, fit_quietly

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor

SETTINGS = {"hidden_layer_sizes": (9, 7), "max_iter": 8, "random_state": 0}
STOPPING = {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.05}


def classifier(k=3, **parameters):
    return WeightSharingClassifier(TorchMLPClassifier(**{**SETTINGS, **parameters}), k)


def regressor(k=3, **parameters):
    return WeightSharingRegressor(TorchMLPRegressor(**{**SETTINGS, **parameters}), k)


def ensemble_of(task, **parameters):
    (_, network), X, y, needed = TASKS[task]
    make = classifier if network is TorchMLPClassifier else regressor
    return make(**needed, **parameters), X, y


# The raw outputs of the members cross for many samples.
CROSSING_QUANTILES = {"loss": "quantile", "quantile": [0.6, 0.5, 0.4], "normalize_y": True}
# name -> task, parameters
CASES = {
    **{task: (task, {}) for task in TASKS},
    "gaussian": ("regression", {"loss": "gaussian", "normalize_y": True}),
    "quantiles": ("regression", CROSSING_QUANTILES),
}


def case(name, **parameters):
    """Return an ensemble of `CASES`, fitted, and its X."""
    task, own = CASES[name]
    ensemble, X, y = ensemble_of(task, **own, **parameters)
    return fit_quietly(ensemble, X, y), X
