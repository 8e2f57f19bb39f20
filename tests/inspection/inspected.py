"""Data and networks that the tests of the displays share."""

import numpy as np
from helpers import iris

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import Snapshots

X, y = iris()
X2 = X[:, 2:]
LINE = np.linspace(-3, 3, 50)[:, np.newaxis]


def classifier(**parameters):
    settings = dict(max_iter=8, early_stopping=True, learning_rate_init=0.02, random_state=0)
    return TorchMLPClassifier((5, 4), "tanh", **{**settings, **parameters})


def recorded():
    return classifier(callbacks=[Snapshots(every=4)])
