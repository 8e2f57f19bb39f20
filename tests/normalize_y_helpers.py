"""Data, regressors and assertions that the tests for normalize_y share."""

import numpy as np
import torch
from helpers import TASKS, fit_quietly
from sklearn.model_selection import train_test_split

from torchmlp import TorchMLPRegressor
from torchmlp.training.losses import REGRESSOR_LOSSES

_, X, Y, _ = TASKS["regression"]
PRICES = 2.5e5 + 1e5 * Y
COSTS = 1e4 * np.exp(Y / 2)
WEIGHT = np.random.RandomState(0).randint(0, 4, len(Y)).astype(float)
SETTINGS = {"hidden_layer_sizes": (9, 7), "learning_rate_init": 0.01, "max_iter": 6}


def log_cosh(raw, y):
    return torch.log(torch.cosh(raw - y)).sum(dim=1)


LOSSES = [*REGRESSOR_LOSSES, log_cosh]


def mlp(**parameters):
    return TorchMLPRegressor(**{**SETTINGS, "random_state": 0, "activation": "tanh", **parameters})


def targets_for(loss):
    return COSTS if loss in ("poisson", "gamma") else PRICES


class Units:
    """The units in which y is scaled, computed independently of the package."""

    def __init__(self, y, weight=None, *, loss="squared_error"):
        mean = np.average(y, axis=0, weights=weight)
        deviation = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        positive = loss in ("poisson", "gamma")
        self.center, self.spread = (0.0, mean) if positive else (mean, deviation)

    def scale(self, y):
        return (y - self.center) / self.spread

    def restore(self, y):
        return y * self.spread + self.center


def assert_same_in_units(model, reference, units, X=X, rtol=1e-12):
    """Assert that the model is the reference, which was fitted to scaled targets."""
    expected = units.restore(reference.predict(X))
    np.testing.assert_allclose(model.predict(X), expected, rtol=rtol)
    for mine, other in zip(model.coefs_[:-1], reference.coefs_[:-1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e3 * rtol, atol=rtol)
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_"):
        mine, other = getattr(model, name, None), getattr(reference, name, None)
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_allclose(mine, other, rtol=10 * rtol)


def fit_both(parameters, X, y, weight=None, units=None, **validation):
    """Fit y with normalize_y, and the scaled y without it."""
    units = units or Units(y, weight, loss=parameters.get("loss", "squared_error"))
    scaled = dict(validation)
    if validation:
        scaled["y_val"] = units.scale(validation["y_val"])
    model = fit_quietly(mlp(normalize_y=True, **parameters), X, y, weight, **validation)
    return model, fit_quietly(mlp(**parameters), X, units.scale(y), weight, **scaled), units


def training_rows(parameters):
    """Return the rows that early stopping does not set aside, drawn as scikit-learn does."""
    random_state = np.random.RandomState(0)
    first = fit_quietly(mlp(**{**parameters, "max_iter": 1}), X, COSTS)
    random_state.uniform(size=first.n_parameters_)
    return train_test_split(np.arange(len(Y)), random_state=random_state, test_size=0.1)[0]
