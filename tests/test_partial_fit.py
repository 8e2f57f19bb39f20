"""Tests for partial_fit: steps of it equal one fit."""

import functools
import pickle

import numpy as np
import pytest
import torch
from helpers import OPTIMIZERS, TASKS, assert_identical, assert_same_weights, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


@pytest.mark.parametrize("random_state", [0, "instance"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd"},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
        {"solver": "adamw"},
        {"batch_size": 17},
        {"shuffle": False},
        {"dropout": 0.3},
        {"max_grad_norm": 0.1},
        {"average": True, "solver": "sgd"},
        {"average": True, "solver": "adamw"},
    ],
    ids=str,
)
@pytest.mark.parametrize("task", TASKS)
def test_steps_equal_one_fit(task, parameters, random_state):
    (_, ours), X, y, needed = TASKS[task]
    classes = {"classes": np.unique(y)} if hasattr(ours, "predict_proba") else {}
    if task == "multilabel":
        classes = {"classes": np.arange(y.shape[1])}

    def estimator(**more):
        seed = np.random.RandomState(0) if random_state == "instance" else random_state
        return ours(random_state=seed, **{**needed, **parameters, **more})

    whole = fit_quietly(estimator(max_iter=6), X, y)
    assert whole.n_iter_ == 6  # it did not stop by itself
    stepwise = estimator()
    for _ in range(6):
        stepwise.partial_fit(X, y, **classes)
        stepwise = pickle.loads(pickle.dumps(stepwise))
    assert_identical(whole, stepwise)
    assert whole.loss_curve_ == stepwise.loss_curve_
    assert (whole.t_, whole.best_loss_) == (stepwise.t_, stepwise.best_loss_)


def test_chunks_of_any_size():
    mlp = TorchMLPClassifier(random_state=0, learning_rate_init=0.05)
    for _ in range(20):
        for chunk in np.array_split(np.random.RandomState(0).permutation(150), 4):
            mlp.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2])
    assert mlp.score(X, y) > 0.95
    assert mlp.t_ == 20 * 150


def test_partial_fit_after_fit_continues_with_the_solver():
    whole = fit_quietly(TorchMLPRegressor(random_state=0, max_iter=6), X_REG, Y_REG)
    mlp = TorchMLPRegressor(random_state=0, max_iter=4, warm_start=True)
    fit_quietly(mlp, X_REG, Y_REG).partial_fit(X_REG, Y_REG).partial_fit(X_REG, Y_REG)
    assert_identical(whole, mlp)


def _contains_tensors(value):
    if isinstance(value, dict):
        return any(map(_contains_tensors, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_contains_tensors, value))
    return isinstance(value, torch.Tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_with_torch_optimizers_equal_one_fit(solver, dtype):
    mlp = TorchMLPRegressor("squared_error", (70, 3), "tanh", solver=solver, dtype=dtype)
    mlp.set_params(alpha=0.1, batch_size=50, learning_rate_init=0.02, max_iter=4, random_state=0)
    whole = fit_quietly(clone(mlp), X_REG, Y_REG)
    for _ in range(mlp.max_iter):
        mlp.partial_fit(X_REG, Y_REG)
        assert not _contains_tensors(vars(mlp._saved_state))
        mlp = pickle.loads(pickle.dumps(mlp))
    assert_identical(whole, mlp)


def test_invalid_calls_raise():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        TorchMLPClassifier().partial_fit(X, y)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as info:
        TorchMLPClassifier(solver="lbfgs").partial_fit(X, y)
    assert "only available for stochastic optimizers. lbfgs is not" in str(info.value.__cause__)
    mlp = TorchMLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"`y` has classes not in.*7.*Pass all classes"):
        mlp.partial_fit(X, np.where(y == 0, 7, y))
    with pytest.raises(ValueError, match="is not the same as on last call"):
        mlp.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
        mlp.partial_fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"partial_fit does not support early_stopping=True; set"):
        mlp.set_params(early_stopping=True).partial_fit(X, y)


def test_class_weight_of_a_class_that_a_piece_lacks():
    mlp = TorchMLPClassifier(class_weight={1: 3.0}, random_state=0)
    weighted = clone(mlp).partial_fit(X[y != 1], y[y != 1], classes=[0, 1, 2])
    plain = mlp.set_params(class_weight=None).partial_fit(X[y != 1], y[y != 1], classes=[0, 1, 2])
    assert_same_weights(weighted, plain)


def test_parameters_of_a_whole_fit_raise():
    with pytest.raises(ValueError, match="'one_cycle' needs the total number of epochs"):
        TorchMLPRegressor(learning_rate="one_cycle").partial_fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported by partial_fit"):
        TorchMLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_other_options_of_an_optimizer_make_a_fresh_solver():
    X, y = iris()
    mlp = TorchMLPRegressor(solver=functools.partial(torch.optim.SGD, momentum=0.9), random_state=0)
    same = mlp.partial_fit(X, y)
    other = pickle.loads(pickle.dumps(mlp))
    other.set_params(solver=functools.partial(torch.optim.SGD, weight_decay=100.0))
    assert not np.array_equal(same.partial_fit(X, y).coefs_[0], other.partial_fit(X, y).coefs_[0])


def test_other_parameter_groups_of_an_optimizer_make_a_fresh_solver():
    def two_groups(params, lr):
        first, *rest = params
        return torch.optim.SGD([{"params": [first]}, {"params": rest}], lr=lr)

    X, y = iris()
    mlp = TorchMLPRegressor(solver=torch.optim.SGD, random_state=0).partial_fit(X, y)
    mlp.set_params(solver=two_groups).partial_fit(X, y)
    assert len(mlp.loss_curve_) == 2


@pytest.mark.parametrize("classes", [[], "abc", [[0, 1]], [0, None], np.array([0.5, 1]), len])
def test_invalid_classes_are_named(classes):
    with pytest.raises((TypeError, ValueError), match="classes"):
        TorchMLPClassifier().partial_fit(X, y, classes=classes)
