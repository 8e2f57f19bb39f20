"""Tests for torchmlp.training.progress_log."""

import logging
import re

import pytest
from helpers import OURS, fit_quietly, iris, requires_sklearn
from sklearn.base import clone

from torchmlp import TorchMLPClassifier
from torchmlp.training.progress_log import line_writer

X, y = iris()

FITS = {
    "adam": dict(max_iter=4),
    "early stopping": dict(early_stopping=True, max_iter=3),
    "adaptive": dict(
        solver="sgd", learning_rate="adaptive", tol=1.0, n_iter_no_change=1, max_iter=50
    ),
    "lbfgs": dict(solver="lbfgs", max_iter=5),
}


@pytest.fixture(params=FITS)
def mlp(request):
    return TorchMLPClassifier((5,), random_state=0, **FITS[request.param])


def _logged(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_debug_messages_equal_the_printed_lines(mlp, capsys, caplog):
    fit_quietly(clone(mlp).set_params(verbose=True), X, y)
    printed = capsys.readouterr().out.splitlines()
    assert printed
    with caplog.at_level(logging.DEBUG, logger="torchmlp"):
        fit_quietly(mlp, X, y)
    assert _logged(caplog, logging.DEBUG) == printed
    assert capsys.readouterr().out == ""


def test_printed_lines_are_not_logged(mlp, capsys, caplog):
    with caplog.at_level(logging.DEBUG, logger="torchmlp"):
        fit_quietly(mlp.set_params(verbose=True), X, y)
    assert "Iteration 1, loss = " in capsys.readouterr().out
    assert _logged(caplog, logging.DEBUG) == []


@pytest.mark.parametrize("estimator", OURS)
def test_info_messages_at_the_start_and_the_end_of_a_fit(estimator, caplog):
    mlp = estimator(hidden_layer_sizes=(5,), early_stopping=True, random_state=0)
    with caplog.at_level(logging.INFO, logger="torchmlp"):
        fit_quietly(mlp, X, y)
    start, end = (record.getMessage() for record in caplog.records)
    n_outputs = mlp.n_outputs_
    assert start == (
        f"Fit started: n_samples=135, layer_units=[4, 5, {n_outputs}], solver=adam, "
        "batch_size=135, device=cpu, dtype=float64"
    )
    assert end.startswith(
        f"Fit ended: n_iter={mlp.n_iter_}, loss={mlp.loss_:.8f}, "
        f"best_validation_score={mlp.best_validation_score_:f}. "
    )


class StopAfter:
    """A callback in scikit-learn's protocol that stops the fit after three epochs."""

    def __init__(self):
        self.n_calls = 0

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_calls += 1
        return self.n_calls == 3

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"max_iter": 2}, r"Maximum iterations \(2\) reached\.$"),
        ({"max_iter": 2, "learning_rate": "cosine"}, r"Maximum iterations \(2\) reached\.$"),
        ({"tol": 1.0}, r"Training loss did not improve more than tol=1\.0.* Stopping\.$"),
        ({"tol": 1.0, "early_stopping": True}, r"Validation score did not improve .* Stopping\.$"),
        ({"time_limit": 1e-6}, r"Stopped by TimeLimit\.$"),
        ({"time_limit": 1e-6, "solver": "lbfgs"}, r"Stopped by TimeLimit\.$"),
        ({"solver": "lbfgs", "alpha": 1.0, "tol": 0.1}, r"CONVERGENCE"),
        ({"solver": "lbfgs", "max_iter": 1}, r"REACHED"),
    ],
)
def test_end_message_has_the_reason(parameters, reason, caplog):
    with caplog.at_level(logging.INFO, logger="torchmlp"):
        fit_quietly(TorchMLPClassifier((5,), random_state=0, **parameters), X, y)
    assert re.search(reason, caplog.messages[-1]), caplog.messages[-1]


@requires_sklearn("1.9", "callbacks")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_end_message_names_callbacks(solver, caplog):
    mlp = TorchMLPClassifier((5,), solver=solver, random_state=0).set_callbacks(StopAfter())
    with caplog.at_level(logging.INFO, logger="torchmlp"):
        fit_quietly(mlp, X, y)
    assert caplog.messages[-1].endswith("Stopped by SklearnCallbacks.")


def test_partial_fit_logs_no_info(caplog):
    with caplog.at_level(logging.INFO, logger="torchmlp"):
        TorchMLPClassifier((5,)).partial_fit(X, y, classes=[0, 1, 2])
    assert caplog.messages == []


def test_lines_are_not_formatted_without_a_reader(caplog):
    with caplog.at_level(logging.INFO, logger="torchmlp"):
        assert line_writer(False) is None
    with caplog.at_level(logging.DEBUG, logger="torchmlp"):
        assert line_writer(False) is not None
    assert line_writer(1) is print
