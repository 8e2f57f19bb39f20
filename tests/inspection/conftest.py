"""Fitted networks that the tests of the displays share."""

import numpy as np
import pytest
from helpers import fit_quietly
from inspected import LINE, X2, recorded, y
from sklearn.datasets import load_digits

from torchmlp import TorchMLPClassifier, TorchMLPRegressor


@pytest.fixture(scope="module")
def clf():
    return fit_quietly(recorded(), X2, y)


@pytest.fixture(scope="module")
def reg():
    model = TorchMLPRegressor(hidden_layer_sizes=(6,), random_state=0, solver="lbfgs", max_iter=60)
    return fit_quietly(model, LINE, np.sin(LINE[:, 0]))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    model = TorchMLPClassifier((80, 20), max_iter=2, random_state=0)
    return fit_quietly(model, X[:300] / 16, y[:300])
