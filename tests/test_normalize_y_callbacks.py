"""Tests for normalize_y: what callbacks, scorers and interrupts see during training."""

import numpy as np
import pytest
import torch
from helpers import call_at_every_step, fit_quietly
from normalize_y_helpers import (
    PRICES,
    Units,
    X,
    Y,
    assert_same_in_units,
    fit_both,
    mlp,
    targets_for,
)
from skorch.callbacks import Callback, Checkpoint, EpochScoring


class Reader(Callback):
    """Records what a skorch callback sees in the last epoch."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.y = y

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        rows = torch.from_numpy(X)
        self.predicted, self.output = net.predict(X), net.module_(rows).numpy(force=True)
        self.from_state = clone_of(net.module_.state_dict())
        self.training_y = np.array([dataset_train[i][1] for i in range(len(dataset_train))])
        self.validation_y = np.array([dataset_valid[i][1] for i in range(len(dataset_valid))])
        self.score = net.score(X, self.y)


def clone_of(state_dict):
    return {name: tensor.clone() for name, tensor in state_dict.items()}


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_callbacks_of_skorch_see_the_units_of_the_user(loss):
    y, reader = targets_for(loss), Reader()
    parameters = {"loss": loss, "normalize_y": True, "callbacks": [reader]}
    model = fit_quietly(mlp(**parameters), X, y, X_val=X[:30], y_val=y[:30])
    expected = model.predict(X)
    np.testing.assert_array_equal(reader.y, y)
    np.testing.assert_array_equal(reader.training_y, y)
    np.testing.assert_array_equal(reader.validation_y, y[:30])
    np.testing.assert_array_equal(reader.predicted, expected)
    assert reader.score == model.score(X, y)
    np.testing.assert_allclose(reader.output, expected, rtol=1e-12)
    network = model.to_torch()
    network.load_state_dict(reader.from_state)
    np.testing.assert_allclose(network(torch.from_numpy(X)).numpy(force=True), expected, rtol=1e-12)


def test_callbacks_of_skorch_may_change_the_weights_of_the_solver():
    class Freeze(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.module_[0].weight.data[:] = 0.0
            net.module_[-2].bias.data = torch.ones(1, dtype=torch.float64)

    assert_same_in_units(*fit_both({"callbacks": [Freeze()]}, X, PRICES))


def test_scores_of_epochs_are_in_the_units_of_the_user():
    scores = EpochScoring("neg_root_mean_squared_error", on_train=True, name="score")
    model = fit_quietly(mlp(normalize_y=True, callbacks=[scores]), X, PRICES)
    error = np.sqrt(np.mean((model.predict(X) - PRICES) ** 2))
    assert model.history_[-1, "score"] == pytest.approx(-error)


def test_a_checkpoint_has_the_units_of_the_user(tmp_path):
    saved = Checkpoint(dirname=tmp_path, monitor=None)
    model = fit_quietly(mlp(normalize_y=True, callbacks=[saved]), X, PRICES)
    network = model.to_torch()
    network.load_state_dict(torch.load(tmp_path / "params.pt", weights_only=True))
    got = network(torch.from_numpy(X)).numpy(force=True)
    np.testing.assert_allclose(got, model.predict(X), rtol=1e-12)


def test_a_checkpoint_restores_the_best_weights(tmp_path):
    saved = Checkpoint(dirname=tmp_path, load_best=True)
    parameters = {"callbacks": [saved], "learning_rate_init": 0.5, "max_iter": 12}
    validation = {"X_val": X[150:], "y_val": PRICES[150:]}
    model = fit_quietly(mlp(normalize_y=True, **parameters), X[:150], PRICES[:150], **validation)
    assert np.argmin(model.validation_loss_curve_) != 11
    error = np.mean((model.predict(X[150:]) - PRICES[150:]) ** 2) / 2
    expected = min(model.validation_loss_curve_) * Units(PRICES[:150]).spread ** 2
    assert error == pytest.approx(expected)


def test_callbacks_of_scikit_learn_see_the_units_of_the_user():
    reason = "scikit-learn has callbacks since 1.9"
    ScoringMonitor = pytest.importorskip("sklearn.callback", reason=reason).ScoringMonitor
    monitor = ScoringMonitor(scoring="neg_root_mean_squared_error")
    model = mlp(normalize_y=True, solver="lbfgs").set_callbacks(monitor)
    fit_quietly(model, X, PRICES)
    last = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"][-1]
    error = np.sqrt(np.mean((model.predict(X) - PRICES) ** 2))
    assert last["neg_root_mean_squared_error"] == pytest.approx(-error)


def test_a_scorer_sees_the_units_and_the_exact_targets_of_the_user():
    counts = np.round(np.exp(Y))
    assert (counts == 0).any()
    seen = []

    def scorer(estimator, X_val, y_val):
        seen.append((estimator.predict(X_val), y_val, estimator.coefs_[-1]))
        return -np.mean((estimator.predict(X_val) - y_val) ** 2)

    model = mlp(normalize_y=True, early_stopping=True, scoring=scorer)
    fit_quietly(model, X[:150], counts[:150], X_val=X[150:], y_val=counts[150:])
    for _, y_val, _ in seen:
        np.testing.assert_array_equal(y_val, counts[150:])
    best = np.argmax(model.validation_scores_)
    np.testing.assert_array_equal(seen[best][0], model.predict(X[150:]))
    np.testing.assert_array_equal(seen[best][2], model.coefs_[-1])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_interrupted_fit_has_the_units_of_the_user(solver, monkeypatch):
    calls = iter(range(1000))

    def interrupt():
        if next(calls) == 40:
            raise KeyboardInterrupt

    call_at_every_step(monkeypatch, interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = mlp(normalize_y=True, solver=solver, max_iter=500).fit(X, PRICES)
    assert model.score(X, PRICES) > 0
    monkeypatch.undo()
    before = model.loss_
    fit_quietly(model.set_params(warm_start=True, max_iter=5), X, PRICES)
    assert model.loss_ < before
