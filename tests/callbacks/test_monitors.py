"""Tests for torchmlp.callbacks.monitors."""

import contextlib
import sys

import numpy as np
import pandas as pd
import pytest
from helpers import (
    SKLEARN_VERSION,
    TASKS,
    assert_identical,
    call_at_every_step,
    fit_quietly,
    iris,
    requires_sklearn,
    weights_of,
)
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks.monitors import TimeLimit
from torchmlp.training import loaders

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]

SOLVERS = ["adam", "lbfgs"]
has_callbacks = requires_sklearn("1.9", "callbacks")
with contextlib.suppress(ModuleNotFoundError):  # scikit-learn < 1.9
    from sklearn.callback import ProgressBar, ScoringMonitor


class Recorder:
    """A callback in scikit-learn's protocol that records the calls of its hooks."""

    def __init__(self, stop_after=None, fail=False):
        self.called, self.models = [], []
        self.stop_after, self.fail = stop_after, fail

    def setup(self, estimator, context):
        self.called.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.called.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.called.append(f"{context.task_name} ends")
        if fitted_estimator is not None:
            self.models.append(fitted_estimator)
        if self.fail:
            raise RuntimeError("failed")
        return len(self.models) == self.stop_after

    def teardown(self, estimator, context):
        self.called.append("teardown")


@has_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_hooks_of_scikit_learn_are_called_in_order(solver):
    recorder = Recorder()
    model = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0)
    plain = fit_quietly(clone(model), X, y)
    fit_quietly(model.set_callbacks(recorder), X, y)
    epochs = ["epoch begins", "epoch ends"] * 3
    assert recorder.called == ["setup", "fit begins", *epochs, "fit ends", "teardown"]
    assert_identical(model, plain)
    assert len(recorder.models) == 4
    for n_epochs, after in enumerate(recorder.models[:3], start=1):
        assert after.n_iter_ == n_epochs
        shorter = fit_quietly(clone(plain).set_params(max_iter=n_epochs), X, y)
        np.testing.assert_allclose(after.predict_proba(X), shorter.predict_proba(X), rtol=1e-9)
    assert not [name for name in vars(model) if "ctx" in name]


@has_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_callback_of_scikit_learn_stops_the_fit(solver):
    model = TorchMLPClassifier(solver=solver, random_state=0).set_callbacks(Recorder(stop_after=4))
    assert model.fit(X, y).n_iter_ == 4


@has_callbacks
def test_converged_lbfgs_ends_every_epoch_task():
    recorder = Recorder()
    model = TorchMLPClassifier((), solver="lbfgs", alpha=1.0, random_state=0)
    model.set_callbacks(recorder).fit(X, y)
    assert recorder.called.count("epoch begins") == recorder.called.count("epoch ends")
    assert len(model.history_) == model.n_iter_


@has_callbacks
def test_teardown_after_a_failure():
    recorder = Recorder(fail=True)
    with pytest.raises(RuntimeError, match="failed"):
        TorchMLPClassifier().set_callbacks(recorder).fit(X, y)
    assert recorder.called[-1] == "teardown"
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        TorchMLPClassifier().set_callbacks(recorder).fit(np.full_like(X, np.nan), y)
    assert recorder.called == ["setup", "fit begins", "teardown"]


@has_callbacks
def test_partial_fit_does_not_call_callbacks_of_scikit_learn():
    recorder = Recorder()
    TorchMLPClassifier().set_callbacks(recorder).partial_fit(X, y, classes=[0, 1, 2])
    assert recorder.called == []


@has_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor_scores_every_epoch(solver):
    monitor = ScoringMonitor(scoring="accuracy")
    weights = np.arange(150) % 3
    data = pd.DataFrame(X, columns=list("abcd"))  # no model may warn about its feature names
    model = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0).set_callbacks(monitor)
    fit_quietly(model, data, y, sample_weight=weights)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    for n_epochs, row in enumerate(rows, start=1):
        shorter = clone(model).set_callbacks().set_params(max_iter=n_epochs)
        fit_quietly(shorter, data, y, sample_weight=weights)
        assert row["accuracy"] == shorter.score(data, y, sample_weight=weights)
    assert len(rows) == 3


@has_callbacks
def test_scoring_monitor_in_a_pipeline_and_a_search():
    monitor = ScoringMonitor(scoring="r2")
    mlp = TorchMLPRegressor(max_iter=3, random_state=0).set_callbacks(monitor)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mlp), {"torchmlpregressor__alpha": [0, 1]}, cv=2
    )
    fit_quietly(search, X, y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    epochs = [row for row in log.data if row["task_name"] == "epoch"]
    assert len(epochs) == 3 * (2 * 2 + 1)  # candidates, folds, and the last fit


@has_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_progress_bar_of_scikit_learn(solver, capsys):
    mlp = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0)
    fit_quietly(clone(mlp).set_callbacks(ProgressBar()), X, y)
    assert "TorchMLPClassifier - fit" in capsys.readouterr().out
    search = GridSearchCV(make_pipeline(StandardScaler(), mlp), {}, cv=2)
    fit_quietly(search.set_callbacks(ProgressBar(max_propagation_depth=None)), X, y)
    assert "TorchMLPClassifier - fit" in capsys.readouterr().out


@pytest.mark.skipif(
    parse_version("1.9") <= SKLEARN_VERSION, reason="this version of scikit-learn has callbacks"
)
def test_set_callbacks_names_the_required_version():
    with pytest.raises(AttributeError, match=r"set_callbacks requires scikit-learn 1\.9 or newer"):
        TorchMLPClassifier().set_callbacks(Recorder())
    assert not hasattr(TorchMLPClassifier(), "set_callbacks")


class Terminal:
    """A stream that claims to be a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_progress_bar_in_a_terminal(parameters, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    model = TorchMLPClassifier(verbose="bar", max_iter=4, random_state=0, **parameters)
    fit_quietly(model, X, y)
    drawn = sys.stderr.text.split("\r")[-1]
    assert drawn.startswith("TorchMLPClassifier: 100%")
    assert "4/4" in drawn
    assert f"loss={model.loss_curve_[-1]:.3g}"[:9] in drawn
    assert ("score=" in drawn) == bool(parameters.get("early_stopping"))


def test_progress_bar_is_full_after_an_early_stop(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    model = TorchMLPClassifier(verbose="bar", tol=10.0, n_iter_no_change=3).fit(X, y)
    assert f"| {model.n_iter_}/{model.n_iter_} [" in sys.stderr.text.split("\r")[-1]


def test_progress_bar_is_silent_in_a_pipe(capfd):
    fit_quietly(TorchMLPClassifier(verbose="bar", max_iter=3), X, y)
    TorchMLPClassifier(verbose="bar").partial_fit(X, y, classes=[0, 1, 2])
    assert capfd.readouterr() == ("", "")


BATCH = 10  # of 250 rows


class Clock:
    """A clock that advances by a second for each batch, or evaluation of the loss."""

    def __init__(self, monkeypatch):
        self.now = 1e6
        call_at_every_step(monkeypatch, self.tick)
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def tick(self):
        self.now += 1


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(loaders, "MAX_BLOCK_BATCHES", 3)
    return Clock(monkeypatch)


def _mlp(**parameters):
    settings = {"batch_size": BATCH, "random_state": 0, "shuffle": False, "max_iter": 50}
    return TorchMLPRegressor("squared_error", (6,), **{**settings, **parameters})


def _fit_until(message, mlp, *args, **kwargs):
    with pytest.warns(ConvergenceWarning, match=message):
        return mlp.fit(*args, **kwargs)


def test_time_limit_ends_an_epoch_after_a_block(clock):
    message = "time_limit=4.0 seconds reached in epoch 1, and the optimization hasn't converged"
    got = _fit_until(message, _mlp(time_limit=4), X_REG, Y_REG)
    n_seen = 2 * 3 * BATCH
    expected = fit_quietly(_mlp(max_iter=1), X_REG[:n_seen], Y_REG[:n_seen])
    assert_identical(got, expected)
    assert got.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-12)
    assert (got.n_iter_, got.t_, len(got.history_)) == (1, n_seen, 1)


def test_time_limit_ends_a_later_epoch(clock):
    got = _fit_until(
        "time_limit=60.0 seconds reached in epoch 3", _mlp(time_limit=60), X_REG, Y_REG
    )
    assert (got.n_iter_, got.t_, len(got.loss_curve_)) == (3, 250 + 250 + 120, 3)


def test_time_limit_reached_at_the_end_of_an_epoch_keeps_the_whole_epoch(clock):
    got = _fit_until(
        "time_limit=25.0 seconds reached in epoch 1,", _mlp(time_limit=25), X_REG, Y_REG
    )
    assert_identical(got, fit_quietly(_mlp(max_iter=1), X_REG, Y_REG))
    assert got.t_ == 250


def test_batches_without_weight_do_not_end_an_epoch(clock):
    weights = np.r_[np.zeros(50), np.ones(200)]
    got = _fit_until("reached in epoch 1,", _mlp(time_limit=1), X_REG, Y_REG, sample_weight=weights)
    assert got.t_ == 6 * BATCH
    assert np.isfinite(got.loss_)


def test_early_stopping_scores_the_unfinished_epoch_and_keeps_the_best_weights(clock):
    mlp = _mlp(early_stopping=True, time_limit=70, learning_rate_init=0.1, validation_fraction=0.2)
    got = _fit_until("time_limit=70.0 seconds reached in epoch 4", mlp, X_REG, Y_REG)
    scores = got.validation_scores_
    assert len(scores) == got.n_iter_ == 4
    assert got.t_ == 3 * 200 + 120
    best = int(np.argmax(scores)) + 1
    assert got.best_validation_score_ == max(scores) != scores[-1]
    assert_identical(
        got, fit_quietly(clone(mlp).set_params(time_limit=None, max_iter=best), X_REG, Y_REG)
    )


def test_warm_start_continues_after_an_unfinished_epoch(clock):
    mlp = _fit_until("reached in epoch 1,", _mlp(time_limit=1, warm_start=True), X_REG, Y_REG)
    fit_quietly(mlp.set_params(time_limit=None, max_iter=2), X_REG, Y_REG)
    assert mlp.t_ == 3 * BATCH + 2 * 250
    assert len(mlp.loss_curve_) == 3


@pytest.mark.parametrize("limit", [3, 12, 25])
def test_time_limit_of_lbfgs_is_checked_between_evaluations(limit, clock):
    start = clock.now
    mlp = _mlp(solver="lbfgs", time_limit=limit, tol=0.0, max_iter=500)
    message = rf"time_limit={limit}.0 seconds reached in iteration \d+, and the optimization"
    got = _fit_until(message, mlp, X_REG, Y_REG)
    assert clock.now == start + limit
    assert len(got.loss_curve_) == len(got.history_) == got.n_iter_ > 0
    expected = fit_quietly(_mlp(solver="lbfgs", tol=0.0, max_iter=got.n_iter_), X_REG, Y_REG)
    assert_identical(got, expected)
    assert got.loss_ == got.loss_curve_[-1]


def test_lbfgs_keeps_the_initial_weights_if_no_iteration_is_finished(clock):
    mlp = _mlp(solver="lbfgs", time_limit=1)
    got = _fit_until("time_limit=1.0 seconds reached in iteration 1,", mlp, X_REG, Y_REG)
    assert got.n_iter_ == len(got.loss_curve_) == 0
    initial = _mlp(solver="sgd", learning_rate_init=1e-300, max_iter=1, batch_size=len(Y_REG))
    assert_identical(got, fit_quietly(initial, X_REG, Y_REG))
    assert got.loss_ == pytest.approx(initial.loss_, rel=1e-12)


def test_loss_of_an_unfinished_first_iteration_is_that_of_the_warm_start(clock):
    mlp = fit_quietly(_mlp(solver="lbfgs", warm_start=True, max_iter=3), X_REG, Y_REG)
    weights, targets = weights_of(mlp), 2 * Y_REG
    _fit_until("No iteration was completed", mlp.set_params(time_limit=1), X_REG, targets)
    for now, before in zip(weights_of(mlp), weights, strict=True):
        np.testing.assert_array_equal(now, before)
    penalty = mlp.alpha / 2 * sum(np.sum(coefs**2) for coefs in mlp.coefs_) / len(targets)
    loss = np.mean((mlp.predict(X_REG) - targets) ** 2) / 2 + penalty
    assert mlp.loss_ == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_time_limit_that_is_not_reached_has_no_effect(solver):
    mlp = _mlp(solver=solver, time_limit=1e9, max_iter=4)
    without = clone(mlp).set_params(time_limit=None)
    assert_identical(fit_quietly(mlp, X_REG, Y_REG), fit_quietly(without, X_REG, Y_REG))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, np.float16, np.float32, np.float64])
def test_time_limit_is_converted(kind, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 1e6)
    assert TimeLimit(kind(3)).end == 1e6 + 3
