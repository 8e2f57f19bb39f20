"""Tests for torchmlp.training.lbfgs."""

import pytest
import torch
from helpers import TASKS, call_at_every_step, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training import threads

X, y = iris()


def test_verbose_prints_the_loss_of_each_iteration(capsys):
    mlp = TorchMLPClassifier(solver="lbfgs", random_state=0, verbose=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Iteration {i + 1}, loss = {v:.8f}" for i, v in enumerate(mlp.loss_curve_)]
    mlp.set_params(early_stopping=True, n_iter_no_change=2).fit(X, y)
    out = capsys.readouterr().out
    assert "Validation score: " in out
    assert "Validation score did not improve more than tol=0.000100 for 2 consecutive" in out


def _blas_threads():
    return [library["num_threads"] for library in threads._blas_beside_torchs().info()]


def test_lbfgs_computes_on_one_blas_thread(monkeypatch):
    found, seen = _blas_threads(), set()
    call_at_every_step(monkeypatch, lambda: seen.update(_blas_threads()))
    fit_quietly(TorchMLPClassifier(solver="lbfgs", max_iter=3, random_state=0), X, y)
    assert seen == {1}
    assert _blas_threads() == found


def test_loss_of_a_failed_first_line_search_is_that_of_the_initial_weights():
    _, rows, targets, _ = TASKS["regression"]
    mlp = TorchMLPRegressor(
        lambda raw, y: (torch.log(raw + 1.8) - y).square().sum(1),  # finite near the start only
        batch_size=len(targets),
        max_iter=1,
        random_state=0,
    )
    initial = fit_quietly(clone(mlp).set_params(learning_rate_init=1e-300), rows, targets)
    fit_quietly(mlp.set_params(solver="lbfgs"), rows, targets)
    assert mlp.n_iter_ == 0
    assert mlp.loss_ == pytest.approx(initial.loss_)
