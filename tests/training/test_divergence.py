"""The error of a fit that diverges names what has large values, and the remedy."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import TASKS, fit_quietly
from sklearn.exceptions import ConvergenceWarning

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.batches import Dataset
from torchmlp.training.divergence import divergence_advice
from torchmlp.training.losses import REGRESSOR_LOSSES

_, X, Y, _ = TASKS["regression"]
_, X_CLASS, Y_CLASS, _ = TASKS["multiclass"]
SCALE_X = r"X has values up to \d\.\d+e\+08\. Scale X, for example with StandardScaler in a Pipel"
SCALE_Y = r"y has values up to \d\.\d+e\+08\. Scale y, .* TransformedTargetRegressor and Standard"
DIVERGES = dict(solver="sgd", learning_rate_init=0.1, activation="identity", random_state=0)


def message_of(mlp, *args):
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*diverged in ep") as info:
        fit_quietly(mlp, *args)
    return str(info.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("large", ["X", "y", "both"])
def test_large_features_and_targets_are_named(large, container, dtype):
    rows = container((X * (1.0 if large == "y" else 1e8)).astype(dtype))
    targets = (Y * (1.0 if large == "X" else 1e8)).astype(dtype)
    mlp = TorchMLPRegressor(**DIVERGES)
    message = message_of(mlp.set_params(learning_rate_init=1e3), rows, targets)
    assert bool(re.search(SCALE_X, message)) == (large != "y")
    assert bool(re.search(SCALE_Y, message)) == (large != "X")
    assert "Lower learning_rate_init=1000" in message


def test_only_the_rate_is_named_where_nothing_is_large():
    message = message_of(TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e3}), X, Y)
    assert "has values" not in message
    assert "StandardScaler" not in message
    assert message.endswith("Lower learning_rate_init=1000.0.")


def test_outliers_of_scaled_features_are_not_large_values():
    rows = X.copy()
    rows[0, 0] = 100.0
    message = message_of(TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e3}), rows, Y)
    assert "X has values" not in message


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_targets_that_must_be_positive_are_divided_and_not_centred(loss):
    mlp = TorchMLPRegressor(loss, **{**DIVERGES, "learning_rate_init": 1e3})
    message = message_of(mlp, X, np.exp(Y) * 1e6)
    assert re.search(r"y has values up to .*e\+0\d\. Divide y by its mean\.", message)
    assert "TransformedTargetRegressor" not in message


def test_codes_of_classes_are_not_large_values():
    mlp = TorchMLPClassifier(**{**DIVERGES, "learning_rate_init": 1e300})
    message = message_of(mlp, X_CLASS * 1e100, Y_CLASS * 1000)
    assert "X has values" in message
    assert "y has values" not in message


@pytest.mark.parametrize(("scale", "advice"), [(1e8, "Scale X, for"), (1.0, "or increase alpha=")])
def test_lbfgs_has_no_rate_to_lower(scale, advice):
    settings = SimpleNamespace(uses_lbfgs=True, alpha=0.1, loss=REGRESSOR_LOSSES["squared_error"])
    inputs = SimpleNamespace(data=Dataset(X * scale, Y[:, None]), settings=settings)
    message = divergence_advice(inputs)
    assert advice in message
    assert "learning_rate_init" not in message


def test_the_warning_of_early_stopping_names_what_is_large():
    mlp = TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e200, "early_stopping": True})
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X, Y * 1e8)
    (message,) = [str(w.message) for w in caught if "No validation score" in str(w.message)]
    assert re.search(SCALE_Y, message)
    assert "X has values" not in message
