"""Tests for torchmlp.base: fit."""

import gc
import re
import warnings

import numpy as np
import pytest
import torch
from helpers import OURS, TASKS, assert_identical, fit_quietly, iris, weights_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.fit_state import FitInputs, FitState
from torchmlp.training.solvers import Solver

X, y = iris()


def _with_nan(X):
    changed = X.copy()
    changed[0, 0] = np.nan
    return changed


class Broken(Callback):
    """A callback that fails after the first epoch."""

    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("broken")


def test_constructor_only_stores_parameters():
    for estimator in OURS:
        assert vars(estimator()) == estimator().get_params()


def test_fit_does_not_modify_its_arguments():
    X_before, y_before, weights = X.copy(), y.copy(), np.ones(150)
    for parameters in ({}, {"shuffle": False}, {"batch_size": 10}, {"solver": "lbfgs"}):
        mlp = TorchMLPRegressor(random_state=0, max_iter=3, **parameters)
        fit_quietly(mlp, X, y, weights).predict(X)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)
    assert (weights == 1.0).all()


@pytest.mark.parametrize("estimator", OURS)
def test_fit_accepts_one_sample(estimator):
    mlp = fit_quietly(estimator(random_state=0, max_iter=3), X[:1], y[:1])
    assert mlp.predict(X).shape == (150,)


@pytest.mark.parametrize("task", TASKS)
def test_failed_fit_leaves_a_fitted_estimator_unchanged(task):
    (_, ours), X, y, needed = TASKS[task]
    mlp = fit_quietly(ours(random_state=0, max_iter=3, warm_start=True, **needed), X, y)
    before = dict(vars(mlp))
    weights = [w.copy() for w in weights_of(mlp)]
    for method in (mlp.fit, mlp.partial_fit):
        for arguments in (
            (_with_nan(X), y),
            (X, y[:-1]),
            (X[:, :2], y),
            (X, y, -np.ones(len(X))),
        ):
            with pytest.raises(ValueError):  # noqa: PT011 (test_validation.py tests the texts)
                method(*arguments)
    with pytest.raises(ValueError, match="non-finite parameter weights"), np.errstate(all="ignore"):
        fit_quietly(mlp.set_params(learning_rate_init=1e300, solver="sgd"), X * 1e200, y)
    mlp.set_params(learning_rate_init=before["learning_rate_init"], solver=before["solver"])
    mlp.set_params(callbacks=[Broken()])
    for method in (mlp.fit, mlp.partial_fit):
        with pytest.raises(RuntimeError, match="broken"):
            method(X, y)
    mlp.set_params(callbacks=None)
    assert vars(mlp) == before
    for now, then in zip(weights_of(mlp), weights, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("parameters", "X", "error", "message"),
    [
        ({"hidden_layer_sizes": (0,)}, X, ValueError, "hidden_layer_sizes must be > 0"),
        ({}, _with_nan(X), ValueError, "Input X contains NaN"),
        ({"callbacks": [Broken()]}, X, RuntimeError, "broken"),
    ],
    ids=["parameter", "data", "callback"],
)
@pytest.mark.parametrize("estimator", OURS)
def test_failed_first_fit_leaves_no_attribute(estimator, parameters, X, error, message):
    mlp = estimator(**parameters)
    before = dict(vars(mlp))
    classes = {"classes": [0, 1, 2]} if estimator is TorchMLPClassifier else {}
    with pytest.raises(error, match=message):
        mlp.fit(X, y)
    with pytest.raises(error, match=message):
        mlp.partial_fit(X, y, **classes)
    assert vars(mlp) == before


@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_estimator_is_fitted_when_warnings_are_errors(parameters):
    mlp = TorchMLPClassifier(random_state=0, max_iter=2, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            mlp.fit(X, y)
    assert mlp.predict(X).shape == (150,)


def test_warnings_refer_to_the_file_of_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TorchMLPClassifier(random_state=0, max_iter=2, batch_size=999).fit(X, y)
    assert len(caught) == 2
    assert {re.sub(r".*/", "", w.filename) for w in caught} == {"test_base.py"}


def test_fit_in_inference_mode():
    mlp = TorchMLPClassifier(solver=torch.optim.RMSprop, max_iter=3, random_state=0)
    expected = fit_quietly(clone(mlp), X, y)
    with torch.inference_mode():
        assert_identical(fit_quietly(clone(mlp), X, y), expected)


@pytest.mark.parametrize("estimator", OURS)
def test_state_is_saved_only_for_warm_start(estimator):
    mlp = fit_quietly(estimator(random_state=0, max_iter=3), X, y)
    assert mlp._saved_state is None
    assert fit_quietly(mlp.set_params(warm_start=True), X, y)._saved_state


@pytest.mark.parametrize("parameters", [{"solver": s} for s in ("adam", "adamw", "sgd", "lbfgs")])
def test_fit_frees_its_memory_without_the_garbage_collector(parameters):
    X, y = iris()
    gc.collect()
    gc.disable()
    try:
        before = _n_training_objects()
        fit_quietly(TorchMLPClassifier(max_iter=2, early_stopping=True, **parameters), X, y)
        assert _n_training_objects() == before
    finally:
        gc.enable()


def _n_training_objects():
    # Not isinstance, which asks the objects themselves: some of torch's then warn.
    kinds = (FitInputs, FitState, Solver)
    return sum(issubclass(type(o), kinds) for o in gc.get_objects())
