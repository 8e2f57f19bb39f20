"""Tests for the errors of torchmlp.ensemble."""

import pytest
import scipy.sparse as sp
import torch
from ensemble_helpers import (
    regressor,
)
from helpers import (
    TASKS,
    fit_quietly,
    requires_sklearn,
)
from sklearn.exceptions import NotFittedError
from skorch.callbacks import EpochScoring

from torchmlp import TorchMLPClassifier
from torchmlp.ensemble import WeightSharingRegressor

UNSUPPORTED = [
    ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes=\(\) .* Use at least one hidden layer"),
    ({"solver": "lbfgs"}, "solver='lbfgs' .* Use 'adam' or 'adamw' or 'sgd'"),
    ({"solver": torch.optim.Adam}, "solver=.*Adam.* Use 'adam'"),
    ({"activation": torch.sin}, "activation=.*sin.* Use the name of an activation"),
    ({"activation": ["relu", torch.sin]}, "activation=.*sin.* Use the name of an activation"),
    ({"loss": lambda raw, y: (raw - y).square().sum(1)}, "loss=.* Use the name of a loss"),
    ({"warm_start": True}, "warm_start=True .* Set it to False"),
    ({"callbacks": [EpochScoring("r2")]}, "callbacks=.* Set it to None"),
    ({"dtype": "bfloat16"}, "dtype='bfloat16' .* Use 'float32'"),
]


@pytest.mark.parametrize(("parameters", "message"), UNSUPPORTED, ids=lambda value: str(value)[:20])
def test_unsupported_parameters_of_the_estimator_raise(parameters, message):
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=f"(?s)WeightSharingRegressor does not support {message}"):
        regressor(**parameters).fit(X, y)


@requires_sklearn("1.9", "callbacks")
def test_callbacks_of_scikit_learn_raise():
    from sklearn.callback import ScoringMonitor

    _, X, y, _ = TASKS["regression"]
    ensemble = regressor()
    ensemble.estimator.set_callbacks(ScoringMonitor(scoring="r2"))
    with pytest.raises(ValueError, match="does not support set_callbacks of its estimator"):
        ensemble.fit(X, y)


def test_standard_deviations_require_the_gaussian_loss():
    _, X, y, _ = TASKS["regression"]
    ensemble = regressor(max_iter=1)
    with pytest.raises(NotFittedError):
        ensemble.predict(X, return_std=True)
    message = r"return_std=True requires .* loss='gaussian', got loss='squared_error'"
    with pytest.raises(ValueError, match=message):
        fit_quietly(ensemble, X, y).predict(X, return_std=True)


def test_sparse_X_raises():
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=r"does not support a sparse X or X_val.*toarray"):
        regressor().fit(sp.csr_matrix(X), y)
    with pytest.raises(ValueError, match=r"does not support a sparse X or X_val.*toarray"):
        regressor().fit(X, y, X_val=sp.csr_matrix(X), y_val=y)


def test_invalid_arguments_raise():
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match="'estimator' parameter of WeightSharingRegressor"):
        WeightSharingRegressor(TorchMLPClassifier()).fit(X, y)
    with pytest.raises(ValueError, match=r"'n_estimators' parameter .* Got 0"):
        regressor(0).fit(X, y)
    with pytest.raises(ValueError, match="'alpha' parameter of TorchMLPRegressor"):
        regressor(alpha=-1).fit(X, y)
    with pytest.raises(ValueError, match="X_val was passed without y_val"):
        regressor().fit(X, y, X_val=X)
    with pytest.raises(NotFittedError):
        regressor().predict(X)
    with pytest.raises(NotFittedError):
        regressor().to_torch()


@pytest.mark.parametrize("n_estimators", [0, 2**63, 2.5])
def test_invalid_number_of_members_raises(n_estimators):
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=r"'n_estimators' .* \[1, 2147483647\]"):
        regressor(n_estimators).fit(X, y)
