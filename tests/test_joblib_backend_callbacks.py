"""Tests for callbacks of scikit-learn in searches with the joblib backend."""

import contextlib
import threading

import numpy as np
import pytest
from helpers import fit_quietly, iris, requires_sklearn
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier
from torchmlp.training import scheduling

with contextlib.suppress(ModuleNotFoundError):  # scikit-learn < 1.9
    from sklearn.callback import ProgressBar, ScoringMonitor

pytestmark = requires_sklearn("1.9", "callbacks")

X, y = iris()
ALPHAS = [1e-4, 0.1, 1.0]
N_FITS = 2 * len(ALPHAS) + 1  # two folds, and the last fit on all rows
N_EPOCHS = 4


def _mlp(solver="adam"):
    return TorchMLPClassifier((6,), solver=solver, max_iter=N_EPOCHS, tol=0.0, random_state=0)


def _search(mlp, in_pipeline=False):
    if in_pipeline:
        grid = {"torchmlpclassifier__alpha": ALPHAS}
        return GridSearchCV(make_pipeline(StandardScaler(), mlp), grid, cv=2)
    return GridSearchCV(mlp, {"alpha": ALPHAS}, cv=2)


def _task_threads():
    return [thread for thread in threading.enumerate() if thread.name == "torchmlp-task"]


def _fit_with_backend(search):
    with parallel_config(backend="torchmlp"):
        fit_quietly(search, X, y)
    assert not _task_threads()
    return search


def _assert_same_scores(got, expected):
    for name, values in expected.cv_results_.items():
        if name.endswith("_score"):
            np.testing.assert_allclose(got.cv_results_[name], values, rtol=1e-9)
    np.testing.assert_allclose(got.predict_proba(X), expected.predict_proba(X), rtol=1e-9)


def _assert_same_logs(got, expected):
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.fixture
def stacks(monkeypatch):
    """The sizes of the stacks that are trained in a test."""
    sizes = []
    train_stack = scheduling.train_stack

    def recorded(jobs, n_places, is_canceled):
        sizes.append(len(jobs))
        return train_stack(jobs, n_places, is_canceled)

    monkeypatch.setattr(scheduling, "train_stack", recorded)
    return sizes


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scoring_monitor_of_the_networks_logs_the_same_scores(solver, in_pipeline):
    monitors = [ScoringMonitor(scoring="neg_log_loss") for _ in range(2)]
    serial, together = (
        _search(_mlp(solver).set_callbacks(monitor), in_pipeline) for monitor in monitors
    )
    fit_quietly(serial, X, y)
    _fit_with_backend(together)
    _assert_same_scores(together, serial)
    expected, got = (monitor.get_logs(include_lineage=True) for monitor in monitors)
    assert got.estimator_name == expected.estimator_name == "GridSearchCV"
    epochs = [row for row in got.data if row["task_name"] == "epoch"]
    assert len(epochs) == N_EPOCHS * N_FITS
    _assert_same_logs(got.data, expected.data)


def _tasks_shown(text):
    """Return the names in the last state of the progress bars."""
    return sorted(
        line.partition("\N{BOX DRAWINGS HEAVY HORIZONTAL}")[0] for line in text.splitlines()
    )


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("depth", [0, 1, None])
def test_progress_bar_of_the_search_shows_the_same_tasks(depth, in_pipeline, capsys):
    pytest.importorskip("rich")
    serial, together = (
        _search(_mlp(), in_pipeline).set_callbacks(ProgressBar(max_propagation_depth=depth))
        for _ in range(2)
    )
    fit_quietly(serial, X, y)
    expected = _tasks_shown(capsys.readouterr().out)
    _fit_with_backend(together)
    assert _tasks_shown(capsys.readouterr().out) == expected
    assert any("GridSearchCV" in task for task in expected)
    _assert_same_scores(together, serial)


@pytest.mark.parametrize(("depth", "is_stacked"), [(0, True), (1, False)])
def test_progress_bar_that_reaches_the_networks_prevents_stacks(depth, is_stacked, stacks):
    pytest.importorskip("rich")
    _fit_with_backend(_search(_mlp()).set_callbacks(ProgressBar(max_propagation_depth=depth)))
    assert stacks == ([2 * len(ALPHAS)] if is_stacked else [])


def test_callbacks_of_the_search_and_of_its_networks():
    pytest.importorskip("rich")
    monitors = [ScoringMonitor(scoring="accuracy") for _ in range(2)]
    serial, together = (
        _search(_mlp().set_callbacks(monitor)).set_callbacks(ProgressBar()) for monitor in monitors
    )
    fit_quietly(serial, X, y)
    _fit_with_backend(together)
    expected, got = (monitor.get_logs(include_lineage=True) for monitor in monitors)
    _assert_same_logs(got.data, expected.data)
    _assert_same_scores(together, serial)


class _Stops:
    """A callback that ends each fit after two epochs, or raises an error."""

    def __init__(self, error=None):
        self.error = error

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if self.error is not None:
            raise self.error
        return context.task_name == "epoch" and context.task_id == 1

    def teardown(self, estimator, context):
        pass


def test_callback_that_ends_each_fit():
    search = _fit_with_backend(_search(_mlp().set_callbacks(_Stops())))
    assert search.best_estimator_.n_iter_ == 2
    _assert_same_scores(search, fit_quietly(_search(_mlp().set_callbacks(_Stops())), X, y))


def test_error_of_a_callback_ends_the_search():
    search = _search(_mlp().set_callbacks(_Stops(RuntimeError("stopped")))).set_params(
        error_score="raise"
    )
    with pytest.raises(RuntimeError, match="stopped"):
        _fit_with_backend(search)
    assert not _task_threads()
