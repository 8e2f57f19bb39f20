"""Check an installed package from outside of the repository: fit, predict, copy and convert.

Usage: python smoke_test.py VERSION
"""

import pickle
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import torchmlp
from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.inspection import LossCurveDisplay

assert torchmlp.__version__ == version("torchmlp") == sys.argv[1], torchmlp.__version__
assert "site-packages" in Path(torchmlp.__file__).parts, torchmlp.__file__

X, y = load_iris(return_X_y=True)
model = make_pipeline(StandardScaler(), TorchMLPClassifier(max_iter=500, random_state=0)).fit(X, y)
assert model.score(X, y) > 0.95
copy = pickle.loads(pickle.dumps(model))
np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
network = model[-1]
np.testing.assert_array_equal(network.to_sklearn().predict(X), network.predict(X))
regressor = TorchMLPRegressor(solver="lbfgs", max_iter=2000, random_state=0).fit(X[:, :3], X[:, 3])
assert regressor.score(X[:, :3], X[:, 3]) > 0.9
LossCurveDisplay.from_estimator(model)
print(f"torchmlp {torchmlp.__version__} works with Python {sys.version.split()[0]}")
