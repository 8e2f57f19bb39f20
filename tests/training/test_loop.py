"""Tests for torchmlp.training.loop."""

import numpy as np
import pytest
from helpers import (
    OURS,
    TASKS,
    assert_identical,
    assert_same_weights,
    call_at_every_step,
    fit_quietly,
    iris,
)
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.loop import HOOKS, Monitor
from torchmlp.training.stochastic import EpochTrainer

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "sgd"}])
def test_interrupt_keeps_the_model(estimator, parameters, monkeypatch):
    run_epoch, calls = EpochTrainer.run_epoch, iter(range(99))

    def interrupted(*args):
        if next(calls) == 10:
            raise KeyboardInterrupt
        return run_epoch(*args)

    monkeypatch.setattr(EpochTrainer, "run_epoch", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mlp = estimator(random_state=0, learning_rate_init=0.02, **parameters).fit(X, y)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == 10
    assert mlp.score(X, y) > 0.5


def test_interrupt_in_the_first_epoch_keeps_the_initial_model(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    call_at_every_step(monkeypatch, interrupt)
    for solver in ("adam", "lbfgs"):
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            mlp = TorchMLPClassifier(random_state=0, solver=solver).fit(X, y)
        assert mlp.n_iter_ == 0
        assert mlp.predict(X).shape == (150,)


def test_early_stopping_restores_the_best_weights():
    mlp = TorchMLPRegressor(
        early_stopping=True, random_state=0, learning_rate_init=0.05, validation_fraction=0.3
    ).fit(X_REG, Y_REG)
    assert mlp.best_validation_score_ == max(mlp.validation_scores_) != mlp.validation_scores_[-1]
    best = int(np.argmax(mlp.validation_scores_)) + 1
    assert_identical(mlp, fit_quietly(clone(mlp).set_params(max_iter=best), X_REG, Y_REG))


def test_divergence_under_early_stopping_keeps_the_best_weights():
    mlp = TorchMLPRegressor(
        solver="sgd",
        learning_rate_init=1.0,
        activation="identity",
        early_stopping=True,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match=r"Training diverged in epoch \d+; the weights"):
        mlp.fit(X, y)
    assert np.isnan(mlp.validation_scores_[-1])
    assert np.isfinite(mlp.predict(X)).all()
    assert mlp.n_iter_ < 200


def test_initial_weights_are_kept_without_a_finite_score():
    # Every step makes the weights of all layers overflow.
    mlp = TorchMLPRegressor(
        solver="sgd", learning_rate_init=1e200, early_stopping=True, random_state=0, max_iter=3
    )
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X_REG, Y_REG)
    assert any("No validation score was finite" in str(w.message) for w in caught)
    assert any("diverged in epoch 1" in str(w.message) for w in caught)
    start = TorchMLPRegressor(random_state=0, max_iter=1, learning_rate_init=1e-300)
    fit_quietly(start, X_REG, Y_REG)
    assert_same_weights(mlp, start)


def test_warm_start_learns_from_new_data_under_early_stopping():
    mlp = TorchMLPClassifier(
        early_stopping=True, warm_start=True, random_state=0, learning_rate_init=0.01
    )
    mlp.fit(X, y > 0)
    assert mlp.best_validation_score_ == 1.0
    mlp.fit(X, y == 0)
    assert mlp.score(X, y == 0) > 0.9


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
def test_planned_schedule_ends_without_a_warning(learning_rate):
    mlp = TorchMLPRegressor(learning_rate=learning_rate, max_iter=5, random_state=0)
    assert mlp.fit(X_REG, Y_REG).n_iter_ == 5  # warnings are errors here


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
def test_planned_schedule_runs_all_epochs(learning_rate, early_stopping, capsys):
    mlp = TorchMLPRegressor(
        learning_rate=learning_rate,
        early_stopping=early_stopping,
        learning_rate_init=0.05,
        max_iter=60,
        n_iter_no_change=3,
        tol=0.05,
        random_state=0,
        verbose=True,
    )
    arguments = X_REG[:200], Y_REG[:200], None
    validation = {"X_val": X_REG[200:], "y_val": Y_REG[200:]} if early_stopping else {}
    constant = clone(mlp).set_params(learning_rate="constant", learning_rate_init=0.01)
    assert constant.fit(*arguments, **validation).n_iter_ < 60
    assert "consecutive epochs. Stopping." in capsys.readouterr().out
    mlp.fit(*arguments, **validation)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == 60
    assert "consecutive epochs" not in capsys.readouterr().out
    if early_stopping:
        assert mlp.best_validation_score_ == max(mlp.validation_scores_)
        assert mlp.best_validation_score_ != mlp.validation_scores_[-1]
        assert mlp.best_validation_score_ == pytest.approx(mlp.score(X_REG[200:], Y_REG[200:]))


@pytest.mark.parametrize(
    ("scale", "parameters", "message"),
    [
        (1.0, {"solver": "sgd", "learning_rate_init": 10}, "Lower learning_rate_init=10.0"),
        (1e200, {"max_iter": 3}, "and is inf in the last. y has values"),
    ],
)
def test_exploding_loss_with_finite_weights_warns(scale, parameters, message):
    X, y = load_digits(return_X_y=True)
    mlp = TorchMLPRegressor(random_state=0, **parameters)
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X, y * scale)
    (text,) = [str(w.message) for w in caught if "diverged" in str(w.message)]
    assert text.startswith("Training diverged: the loss was")
    assert message in text
    assert all(np.isfinite(coefs).all() for coefs in mlp.coefs_)


class Recorder(Monitor):
    """Records the names of the hooks that are called, and checks their arguments."""

    def __init__(self):
        self.called = []

    def close(self):
        self.called.append("close")


def _record(name):
    def hook(self, inputs, state):
        assert len(inputs.data) == 150
        assert state.progress.n_iter <= 2
        self.called.append(name)

    return hook


def _recorded(monkeypatch, names, **parameters):
    """Return the hooks that a fit calls for a monitor that overrides some of them."""
    recorder = type("Partial", (Recorder,), {name: _record(name) for name in names})()
    monkeypatch.setattr("torchmlp.base.monitors_of", lambda *args: [recorder])
    fit_quietly(TorchMLPRegressor(batch_size=75, random_state=0, **parameters), X, y)
    return recorder.called


def test_hooks_are_called_in_order(monkeypatch):
    step = ["on_grad_computed", "on_batch_end"]
    epoch = ["on_epoch_begin", *step, *step, "on_block_end", "on_epoch_end", "on_epoch_complete"]
    expected = ["on_train_begin", *epoch, *epoch, "on_train_end", "close"]
    assert _recorded(monkeypatch, HOOKS, max_iter=2) == expected


@pytest.mark.parametrize("name", HOOKS)
def test_only_overridden_hooks_are_called(name, monkeypatch):
    assert set(_recorded(monkeypatch, [name], max_iter=2)) == {name, "close"}
