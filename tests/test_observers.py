"""scikit-learn's callbacks and the bar, with every solver."""

import sys

import numpy as np
import pandas as pd
import pytest
from helpers import assert_identical, fit_quietly, iris
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
SOLVERS = ["adam", "lbfgs"]


class Recorder:
    """Follows the protocol of scikit-learn's callbacks, and writes down what it is told."""

    def __init__(self, stop_after=None, fail=False):
        self.told, self.models = [], []
        self.stop_after, self.fail = stop_after, fail

    def setup(self, estimator, context):
        self.told.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.told.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.told.append(f"{context.task_name} ends")
        if fitted_estimator is not None:
            self.models.append(fitted_estimator)
        if self.fail:
            raise RuntimeError("failed")
        return len(self.models) == self.stop_after

    def teardown(self, estimator, context):
        self.told.append("teardown")


@pytest.mark.parametrize("solver", SOLVERS)
def test_hooks_of_scikit_learn(solver):
    recorder = Recorder()
    model = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0)
    plain = fit_quietly(clone(model), X, y)
    fit_quietly(model.set_callbacks(recorder), X, y)
    epochs = ["epoch begins", "epoch ends"] * 3
    assert recorder.told == ["setup", "fit begins", *epochs, "fit ends", "teardown"]
    assert_identical(model, plain)
    assert len(recorder.models) == 4
    for n_epochs, after in enumerate(recorder.models[:3], start=1):
        assert after.n_iter_ == n_epochs
        shorter = fit_quietly(clone(plain).set_params(max_iter=n_epochs), X, y)
        np.testing.assert_allclose(after.predict_proba(X), shorter.predict_proba(X), rtol=1e-9)
    assert not [name for name in vars(model) if "ctx" in name]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_of_scikit_learn_stops(solver):
    model = TorchMLPClassifier(solver=solver, random_state=0).set_callbacks(Recorder(stop_after=4))
    assert model.fit(X, y).n_iter_ == 4


def test_lbfgs_that_converges_ends_what_it_began():
    recorder = Recorder()
    model = TorchMLPClassifier((), solver="lbfgs", alpha=1.0, random_state=0)
    model.set_callbacks(recorder).fit(X, y)
    assert recorder.told.count("epoch begins") == recorder.told.count("epoch ends")
    assert len(model.history_) == model.n_iter_


def test_teardown_after_a_failure():
    recorder = Recorder(fail=True)
    with pytest.raises(RuntimeError, match="failed"):
        TorchMLPClassifier().set_callbacks(recorder).fit(X, y)
    assert recorder.told[-1] == "teardown"
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        TorchMLPClassifier().set_callbacks(recorder).fit(np.full_like(X, np.nan), y)
    assert recorder.told == ["setup", "fit begins", "teardown"]


def test_partial_fit_is_no_fit():
    recorder = Recorder()
    TorchMLPClassifier().set_callbacks(recorder).partial_fit(X, y, classes=[0, 1, 2])
    assert recorder.told == []


@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor(solver):
    monitor = ScoringMonitor(scoring="accuracy")
    weights = np.arange(150) % 3
    data = pd.DataFrame(X, columns=list("abcd"))  # its names must not be missed by any model
    model = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0).set_callbacks(monitor)
    fit_quietly(model, data, y, sample_weight=weights)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    for n_epochs, row in enumerate(rows, start=1):
        shorter = clone(model).set_callbacks().set_params(max_iter=n_epochs)
        fit_quietly(shorter, data, y, sample_weight=weights)
        assert row["accuracy"] == shorter.score(data, y, sample_weight=weights)
    assert len(rows) == 3


def test_monitor_in_a_pipeline_and_under_a_search():
    monitor = ScoringMonitor(scoring="r2")
    mlp = TorchMLPRegressor(max_iter=3, random_state=0).set_callbacks(monitor)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mlp), {"torchmlpregressor__alpha": [0, 1]}, cv=2
    )
    fit_quietly(search, X, y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    epochs = [row for row in log.data if row["task_name"] == "epoch"]
    assert len(epochs) == 3 * (2 * 2 + 1)  # candidates, folds, and the fit of the best


@pytest.mark.parametrize("solver", SOLVERS)
def test_progress_bar_of_scikit_learn(solver, capsys):
    mlp = TorchMLPClassifier(solver=solver, max_iter=3, random_state=0)
    fit_quietly(clone(mlp).set_callbacks(ProgressBar()), X, y)
    assert "TorchMLPClassifier - fit" in capsys.readouterr().out
    search = GridSearchCV(make_pipeline(StandardScaler(), mlp), {}, cv=2)
    fit_quietly(search.set_callbacks(ProgressBar(max_propagation_depth=None)), X, y)
    assert "TorchMLPClassifier - fit" in capsys.readouterr().out


class Terminal:
    """A stream that says that somebody looks."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_bar_in_a_terminal(parameters, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    model = TorchMLPClassifier(verbose="bar", max_iter=4, random_state=0, **parameters)
    fit_quietly(model, X, y)
    drawn = sys.stderr.text.split("\r")[-1]
    assert drawn.startswith("TorchMLPClassifier: 100%")
    assert "4/4" in drawn
    assert f"loss={model.loss_curve_[-1]:.3g}"[:9] in drawn
    assert ("score=" in drawn) == bool(parameters.get("early_stopping"))


def test_bar_of_a_fit_that_ends_early_is_full(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    model = TorchMLPClassifier(verbose="bar", tol=10.0, n_iter_no_change=3).fit(X, y)
    assert f"| {model.n_iter_}/{model.n_iter_} [" in sys.stderr.text.split("\r")[-1]


def test_bar_is_silent_in_a_pipe(capfd):
    fit_quietly(TorchMLPClassifier(verbose="bar", max_iter=3), X, y)
    TorchMLPClassifier(verbose="bar").partial_fit(X, y, classes=[0, 1, 2])
    assert capfd.readouterr() == ("", "")
