"""Averages of the weights, beside the definition."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler

from tests.helpers import fit_quietly
from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshot, Snapshots, recorded_snapshots
from torchmlp.ensemble import WeightSharingRegressor

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
DIABETES = load_diabetes(return_X_y=True)
SOLVERS = {
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "adamw": {"solver": "adamw", "learning_rate_init": 0.01, "learning_rate": "one_cycle"},
    "torch": {"solver": torch.optim.RMSprop, "learning_rate_init": 0.01},
}
N_STEPS = 12


def _one_step_per_epoch(**parameters):
    """Return a classifier whose epochs have one step."""
    defaults = {"hidden_layer_sizes": (7,), "max_iter": N_STEPS}
    return TorchMLPClassifier(**{**defaults, "random_state": 0, "tol": 0.0, **parameters})


def _weights(mlp):
    """Return the weights of an estimator or a snapshot as a vector."""
    if isinstance(mlp, Snapshot):
        return np.concatenate([a.ravel() for a in [*mlp.coefs, *mlp.intercepts]])
    return np.concatenate([a.ravel() for a in [*mlp.coefs_, *mlp.intercepts_]])


def _average(steps):
    """Return the average of the weights after each step, with the weights of the paper."""
    eta, average = 8, 0
    for t, weights in enumerate(steps, 1):
        share = (eta + 1) / (t + eta)
        average = (1 - share) * average + share * weights
    return average


@pytest.mark.parametrize("parameters", SOLVERS.values(), ids=SOLVERS)
def test_weights_are_the_average_of_those_after_each_step(parameters):
    plain = fit_quietly(_one_step_per_epoch(callbacks=[Snapshots()], **parameters), X, Y)
    steps = [_weights(snapshot) for snapshot in recorded_snapshots(plain)[1:]]
    assert len(steps) == N_STEPS
    averaged = fit_quietly(_one_step_per_epoch(average=True, **parameters), X, Y)
    np.testing.assert_allclose(_weights(averaged), _average(steps), rtol=1e-12, atol=1e-14)
    assert averaged.loss_curve_ == plain.loss_curve_  # the steps do not depend on the average


def test_snapshots_contain_the_average():
    mlp = _one_step_per_epoch(average=True, callbacks=[Snapshots()])
    *_, last = recorded_snapshots(fit_quietly(mlp, X, Y))
    np.testing.assert_array_equal(_weights(last), _weights(mlp))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_early_stopping_scores_and_keeps_the_average(solver):
    mlp = _one_step_per_epoch(
        average=True, early_stopping=True, scoring="loss", solver=solver, learning_rate_init=0.2
    )
    fit_quietly(mlp, X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    best = int(np.argmin(mlp.validation_loss_curve_))
    probabilities = mlp.predict_proba(X[1::2])
    loss = -np.log(probabilities[np.arange(75), Y[1::2]]).mean()
    assert loss == pytest.approx(mlp.validation_loss_curve_[best], rel=1e-9)
    shorter = clone(mlp).set_params(early_stopping=False, scoring=None, max_iter=best + 1)
    np.testing.assert_array_equal(_weights(fit_quietly(shorter, X[::2], Y[::2])), _weights(mlp))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("X_dtype", [np.float64, np.float32])
def test_partial_fit_continues_exactly_in_every_dtype(dtype, X_dtype):
    mlp = _one_step_per_epoch(average=True, dtype=dtype)
    whole = fit_quietly(clone(mlp), X.astype(X_dtype), Y)
    for _ in range(N_STEPS):
        mlp.partial_fit(X.astype(X_dtype), Y, classes=[0, 1, 2])
    np.testing.assert_array_equal(_weights(mlp), _weights(whole))


def test_partial_fit_continues_from_weights_that_were_set():
    averaged, plain = _one_step_per_epoch(average=True), _one_step_per_epoch()
    for mlp in averaged, plain:
        for _ in range(N_STEPS):
            mlp.partial_fit(X, Y, classes=[0, 1, 2])
    averaged.coefs_ = plain.coefs_ = [coef / 2 for coef in plain.coefs_]
    averaged.intercepts_ = plain.intercepts_
    start = _weights(plain)
    step = _weights(plain.partial_fit(X, Y)) - start
    share = 9 / (N_STEPS + 1 + 8)
    np.testing.assert_allclose(_weights(averaged.partial_fit(X, Y)), start + share * step)


def test_partial_fit_continues_from_the_best_weights_of_early_stopping():
    mlp = _one_step_per_epoch(average=True, early_stopping=True, learning_rate_init=0.2)
    fit_quietly(mlp, X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    best = _weights(mlp)
    mlp.set_params(early_stopping=False, learning_rate_init=1e-9).partial_fit(X[::2], Y[::2])
    np.testing.assert_allclose(_weights(mlp), best, atol=1e-6)


def test_warm_start_begins_a_new_average():
    first = fit_quietly(_one_step_per_epoch(average=True, warm_start=True, shuffle=False), X, Y)
    again = fit_quietly(clone(first).set_params(max_iter=1), X, Y)
    again.coefs_, again.intercepts_ = first.coefs_, first.intercepts_
    one_step = fit_quietly(first.set_params(max_iter=1, average=False), X, Y)
    np.testing.assert_array_equal(_weights(fit_quietly(again, X, Y)), _weights(one_step))


def test_members_that_share_weights_are_averaged():
    network = TorchMLPRegressor(
        hidden_layer_sizes=(9,),
        average=True,
        solver="adamw",
        normalize_y=True,
        max_iter=5,
        random_state=0,
    )
    one = fit_quietly(WeightSharingRegressor(network, n_estimators=1), *DIABETES)
    alone = fit_quietly(clone(network), *DIABETES)
    np.testing.assert_allclose(one.predict(DIABETES[0]), alone.predict(DIABETES[0]), rtol=1e-9)
    several = clone(one).set_params(n_estimators=3)
    last = clone(several).set_params(estimator__average=False)
    predictions = [fit_quietly(m, *DIABETES).predict(DIABETES[0]) for m in (several, last)]
    assert not np.allclose(*predictions)
    for member in several.estimators_[1:]:  # the members still share their weights
        np.testing.assert_allclose(
            np.abs(member.coefs_[0]), np.abs(several.estimators_[0].coefs_[0]), rtol=1e-12
        )
