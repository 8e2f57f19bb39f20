"""Tests for torchmlp.preparation."""

import pickle

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


def test_random_state_determines_the_fit(numpy_state_kept):
    _, X, y, _ = TASKS["binary"]
    for parameters in ({}, {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}):
        mlp = TorchMLPClassifier(random_state=7, max_iter=8, **parameters)
        assert_identical(fit_quietly(clone(mlp), X, y), fit_quietly(clone(mlp), X, y))


def test_random_state_none_draws_from_the_global_generator_of_numpy():
    fits = []
    state = np.random.get_state()
    for _ in range(2):
        np.random.seed(11)
        fits.append(fit_quietly(TorchMLPClassifier(max_iter=3), X, y))
    fits.append(fit_quietly(TorchMLPClassifier(max_iter=3), X, y))
    np.random.set_state(state)
    assert_identical(*fits[:2])
    assert not np.array_equal(fits[0].coefs_[0], fits[2].coefs_[0])


@pytest.mark.parametrize("first", ["adam", "sgd", "adamw", torch.optim.SGD])
@pytest.mark.parametrize("second", ["sgd", "adam"])
def test_another_solver_discards_the_saved_state(first, second):
    mlp = TorchMLPRegressor(random_state=0, solver=first).partial_fit(X_REG, Y_REG)
    before = mlp.coefs_[0].copy()
    mlp.set_params(solver=second).partial_fit(X_REG, Y_REG)
    assert not np.array_equal(mlp.coefs_[0], before)
    assert len(mlp.loss_curve_) == 2


def test_another_random_state_applies_from_the_next_step():
    steps = TorchMLPRegressor(random_state=0, batch_size=20).partial_fit(X_REG, Y_REG)
    other = pickle.loads(pickle.dumps(steps)).set_params(random_state=1)
    assert not np.array_equal(
        steps.partial_fit(X_REG, Y_REG).coefs_[0], other.partial_fit(X_REG, Y_REG).coefs_[0]
    )


def test_dropout_generator_of_another_device_is_seeded_again():
    mlp = TorchMLPClassifier((40, 30), dropout=0.3, warm_start=True, max_iter=2)
    fit_quietly(mlp, X, y)
    mlp._saved_state.dropout_generator = np.zeros(16, np.uint8)  # the size of a CUDA state
    mlp.partial_fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "epochs"),
    [
        ({"batch_size": 50}, 334),  # 3 steps per epoch
        ({"batch_size": 1}, 16),
        ({"batch_size": 10, "early_stopping": True}, 72),  # 135 rows, 14 steps
        ({"solver": "lbfgs", "early_stopping": True}, 16),
    ],
    ids=str,
)
def test_automatic_patience_is_1000_steps_or_16_epochs(parameters, epochs):
    settings = {"hidden_layer_sizes": (2,), "tol": 1e6, "max_iter": 500, "random_state": 0}
    fits = [
        fit_quietly(TorchMLPClassifier(**settings, n_iter_no_change=n, **parameters), X, y)
        for n in ("auto", epochs)
    ]
    assert fits[0].n_iter_ == fits[1].n_iter_ < 500
    assert_identical(*fits)
