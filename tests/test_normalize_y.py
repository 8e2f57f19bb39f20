"""Tests for normalize_y: a fit equals one on scaled targets, with predictions scaled back."""

import pickle
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import OPTIMIZERS, TASKS, assert_identical, call_at_every_step, fit_quietly
from joblib import parallel_config
from onnxruntime import InferenceSession
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_validate,
    train_test_split,
)
from sklearn.neural_network import MLPRegressor
from skorch.callbacks import Callback, Checkpoint, EpochScoring

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.export import to_onnx
from torchmlp.inspection import TrainingAnimation
from torchmlp.training.losses import REGRESSOR_LOSSES

_, X, Y, _ = TASKS["regression"]
PRICES = 2.5e5 + 1e5 * Y
COSTS = 1e4 * np.exp(Y / 2)
WEIGHT = np.random.RandomState(0).randint(0, 4, len(Y)).astype(float)
SETTINGS = {"hidden_layer_sizes": (9, 7), "learning_rate_init": 0.01, "max_iter": 6}


def log_cosh(raw, y):
    return torch.log(torch.cosh(raw - y)).sum(dim=1)


LOSSES = [*REGRESSOR_LOSSES, log_cosh]


def mlp(**parameters):
    return TorchMLPRegressor(**{**SETTINGS, "random_state": 0, "activation": "tanh", **parameters})


def targets_for(loss):
    return COSTS if loss in ("poisson", "gamma") else PRICES


class Units:
    """The units in which y is scaled, computed independently of the package."""

    def __init__(self, y, weight=None, *, loss="squared_error"):
        mean = np.average(y, axis=0, weights=weight)
        deviation = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weight))
        positive = loss in ("poisson", "gamma")
        self.center, self.spread = (0.0, mean) if positive else (mean, deviation)

    def scale(self, y):
        return (y - self.center) / self.spread

    def restore(self, y):
        return y * self.spread + self.center


def assert_same_in_units(model, reference, units, X=X, rtol=1e-12):
    """Assert that the model is the reference, which was fitted to scaled targets."""
    expected = units.restore(reference.predict(X))
    np.testing.assert_allclose(model.predict(X), expected, rtol=rtol)
    for mine, other in zip(model.coefs_[:-1], reference.coefs_[:-1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e3 * rtol, atol=rtol)
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_"):
        mine, other = getattr(model, name, None), getattr(reference, name, None)
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_allclose(mine, other, rtol=10 * rtol)


def fit_both(parameters, X, y, weight=None, units=None, **validation):
    """Fit y with normalize_y, and the scaled y without it."""
    units = units or Units(y, weight, loss=parameters.get("loss", "squared_error"))
    scaled = dict(validation)
    if validation:
        scaled["y_val"] = units.scale(validation["y_val"])
    model = fit_quietly(mlp(normalize_y=True, **parameters), X, y, weight, **validation)
    return model, fit_quietly(mlp(**parameters), X, units.scale(y), weight, **scaled), units


def test_standard_deviations_are_in_the_units_of_y():
    model, reference, units = fit_both({"loss": "gaussian", "max_iter": 40}, X, PRICES)
    mean, std = model.predict(X, return_std=True)
    scaled_mean, scaled_std = reference.predict(X, return_std=True)
    np.testing.assert_allclose(mean, units.restore(scaled_mean), rtol=1e-10)
    np.testing.assert_allclose(std, units.spread * scaled_std, rtol=1e-10)
    model.partial_fit(X, PRICES)
    reference.partial_fit(X, units.scale(PRICES))
    np.testing.assert_allclose(model.predict(X), units.restore(reference.predict(X)), rtol=1e-9)


def test_several_quantiles_are_in_the_units_of_y():
    parameters = {"loss": "quantile", "quantile": [0.9, 0.1, 0.5]}
    assert_same_in_units(*fit_both(parameters, X, PRICES))


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "adam"},
        {"solver": "adam", "batch_size": 33, "dropout": 0.2},
        {"solver": "adamw", "alpha": 0.5, "max_grad_norm": 0.5},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "lbfgs", "alpha": 1.0},
        {"solver": "adam", "learning_rate": "one_cycle", "hidden_layer_sizes": ()},
    ],
    ids=str,
)
@pytest.mark.parametrize("loss", LOSSES)
def test_fit_equals_a_fit_to_scaled_targets(loss, parameters):
    assert_same_in_units(*fit_both({"loss": loss, **parameters}, X, targets_for(loss)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_and_validation_data(loss, solver):
    y, parameters = targets_for(loss), {"loss": loss, "solver": solver}
    validation = {"X_val": X[150:], "y_val": y[150:], "sample_weight_val": WEIGHT[150:]}
    assert_same_in_units(*fit_both(parameters, X[:150], y[:150], WEIGHT[:150], **validation))


@pytest.mark.parametrize("solver", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_torch_optimizers(solver):
    assert_same_in_units(*fit_both({"solver": solver}, X, PRICES), rtol=1e-11)


def _training_rows(parameters):
    """Return the rows that early stopping does not set aside, drawn as scikit-learn does."""
    random_state = np.random.RandomState(0)
    first = fit_quietly(mlp(**{**parameters, "max_iter": 1}), X, COSTS)
    random_state.uniform(size=first.n_parameters_)
    return train_test_split(np.arange(len(Y)), random_state=random_state, test_size=0.1)[0]


@pytest.mark.parametrize("scoring", [None, "loss", "r2"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_rows_that_early_stopping_sets_aside_do_not_count(loss, solver, weight, scoring):
    y = targets_for(loss)
    parameters = {"loss": loss, "solver": solver, "early_stopping": True, "scoring": scoring}
    parameters |= {"max_iter": 12, "tol": 1e-3, "n_iter_no_change": 2}
    rows = _training_rows(parameters)
    units = Units(y[rows], None if weight is None else weight[rows], loss=loss)
    model, reference, _ = fit_both(parameters, X, y, weight, units)
    assert_same_in_units(model, reference, units)
    assert model.n_iter_ == reference.n_iter_


def test_early_stopping_with_validation_data_uses_all_training_rows():
    validation = {"X_val": X[150:], "y_val": PRICES[150:]}
    assert_same_in_units(*fit_both({"early_stopping": True}, X[:150], PRICES[:150], **validation))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_each_output_has_its_own_scale(weight, solver):
    y = np.column_stack([PRICES, 1e-6 * Y**2, -Y])
    model, reference, units = fit_both({"solver": solver}, X, y, weight)
    expected = units.restore(reference.predict(X))
    np.testing.assert_allclose((model.predict(X) - expected) / units.spread, 0, atol=1e-12)
    assert model.loss_curve_ == pytest.approx(reference.loss_curve_, rel=1e-12)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, np.asfortranarray])
def test_sparse_and_other_containers(container):
    assert_same_in_units(*fit_both({}, container(X), PRICES))


def test_sparse_targets():
    y = np.column_stack([PRICES, Y > 0])
    sparse = fit_quietly(mlp(normalize_y=True), X, sp.csr_array(y))
    assert_identical(sparse, fit_quietly(mlp(normalize_y=True), X, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("loss", LOSSES)
def test_scores_do_not_depend_on_the_size_of_y(loss, size, dtype):
    y, rows = targets_for(loss) / 1e4, X.astype(dtype)
    scores = [
        fit_quietly(mlp(loss=loss, normalize_y=True, max_iter=30), rows, factor * y).score(
            rows, factor * y
        )
        for factor in (1.0, size)
    ]
    assert scores[0] > 0.2
    assert scores[1] == pytest.approx(scores[0], rel=1e-9 if dtype == np.float64 else 1e-3)


@pytest.mark.parametrize("y_dtype", [np.float32, np.float64, np.int32])
def test_weights_and_predictions_keep_the_dtype_of_X(y_dtype):
    model = fit_quietly(mlp(normalize_y=True), X.astype(np.float32), PRICES.astype(y_dtype))
    assert {array.dtype for array in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    assert model.predict(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_constant_targets(loss, value, solver):
    y = np.full(len(X), value)
    model = mlp(loss=loss, solver=solver, normalize_y=True, max_iter=600, tol=0, alpha=0)
    fit_quietly(model, X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=0.05, atol=0.05)


def test_a_constant_output_beside_another():
    y = np.column_stack([PRICES, np.full(len(X), 7.0)])
    model = fit_quietly(mlp(normalize_y=True, solver="lbfgs", max_iter=200), X, y)
    assert r2_score(y[:, 0], model.predict(X)[:, 0]) > 0.5
    np.testing.assert_allclose(model.predict(X)[:, 1], 7.0, atol=0.05)


def test_the_targets_of_the_user_are_unchanged():
    y = PRICES.copy()
    y.flags.writeable = False
    fit_quietly(mlp(normalize_y=True, early_stopping=True), X, y)
    np.testing.assert_array_equal(y, PRICES)


# Continued training


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd", torch.optim.RMSprop])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_steps_of_partial_fit_equal_one_fit(loss, solver, dtype, weight):
    y, rows = targets_for(loss), X.astype(dtype)
    model = mlp(loss=loss, solver=solver, normalize_y=True, batch_size=40)
    whole, steps = fit_quietly(clone(model), rows, y, weight), clone(model)
    for _ in range(whole.n_iter_):
        steps = pickle.loads(pickle.dumps(steps.partial_fit(rows, y, weight)))
    assert_identical(whole, steps)
    assert whole.loss_curve_ == steps.loss_curve_


def test_partial_fit_keeps_the_scale_of_the_first_piece():
    units = Units(PRICES[:50])
    model, reference = mlp(normalize_y=True), mlp()
    for start in range(0, 250, 50):
        rows = slice(start, start + 50)
        model.partial_fit(X[rows], PRICES[rows])
        reference.partial_fit(X[rows], units.scale(PRICES[rows]))
        assert_same_in_units(model, reference, units)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_partial_fit_keeps_the_scale_of_fit(loss, warm_start):
    y = targets_for(loss)
    parameters = {"loss": loss, "warm_start": warm_start}
    model, reference, units = fit_both(parameters, X, y)
    for rows in (slice(0, 100), slice(100, 250)):
        model.partial_fit(X[rows], y[rows])
        reference.partial_fit(X[rows], units.scale(y[rows]))
    assert_same_in_units(model, reference, units)


@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warm_start_keeps_the_scale_of_the_first_fit(dtype, parameters):
    rows, rtol = X.astype(dtype), 1e-12 if dtype == np.float64 else 1e-4
    units = Units(PRICES[_training_rows(parameters)] if "early_stopping" in parameters else PRICES)
    model, reference, _ = fit_both({**parameters, "warm_start": True}, rows, PRICES, units=units)
    for y in (PRICES, 3e5 - 2 * PRICES):
        fit_quietly(model, rows, y)
        fit_quietly(reference, rows, units.scale(y))
        assert_same_in_units(model, reference, units, rows, rtol)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_training_continues_from_weights_that_the_user_changed(loss, method):
    y = targets_for(loss)
    model = fit_quietly(mlp(loss=loss, normalize_y=True, warm_start=True), X, y)
    model.coefs_[-1][2] *= 1.5
    model.intercepts_[-1] = model.intercepts_[-1] + 0.1
    model.coefs_[0][0, 0] = 0.25
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-300, solver="sgd")  # the weights do not change
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        getattr(model, method)(X, y)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_training_continues_from_a_model_of_scikit_learn(loss):
    y = targets_for(loss)
    theirs = MLPRegressor((9,), max_iter=5, random_state=0)
    theirs = fit_quietly(theirs.set_params(loss=loss), X, y / 1e4)
    ours = TorchMLPRegressor.from_sklearn(theirs)
    ours.set_params(normalize_y=True, learning_rate_init=1e-300, solver="sgd")
    ours.partial_fit(X, y / 1e4)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    ours.set_params(learning_rate_init=0.01, solver="adam")
    first = ours.partial_fit(X, y / 1e4).loss_
    for _ in range(50):
        ours.partial_fit(X, y / 1e4)
    assert ours.loss_ < first


@pytest.mark.parametrize("first", [False, True])
def test_a_change_of_normalize_y_continues_from_the_weights_with_a_new_solver(first):
    model = mlp(normalize_y=first).partial_fit(X, Y).partial_fit(X, Y)
    model.set_params(normalize_y=not first)
    other = pickle.loads(pickle.dumps(model))
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-300).partial_fit(X, Y)
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-12)
    assert other.partial_fit(X, Y)._saved_state.solver["t"] == 2  # batches of one epoch


def test_a_change_of_the_loss_computes_another_scale():
    model = mlp(normalize_y=True).partial_fit(X, Y + 5)
    raw = model.predict(X)
    model.set_params(loss="gamma", learning_rate_init=1e-300).partial_fit(X, Y + 5)
    np.testing.assert_allclose(model.predict(X), np.exp(raw), rtol=1e-12)


def test_a_failed_fit_keeps_the_scale():
    model = mlp(normalize_y=True, warm_start=True)
    expected = fit_quietly(fit_quietly(clone(model), X, PRICES), X, PRICES)
    fit_quietly(model, X, PRICES)
    with pytest.raises(ValueError, match="y contains NaN"):
        fit_quietly(model, X, np.full(len(X), np.nan))
    assert_identical(fit_quietly(model, X, PRICES), expected)


# What users see during training


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
    ScoringMonitor = pytest.importorskip("sklearn.callback").ScoringMonitor
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


# The fitted model


def test_the_last_layer_has_the_scale():
    model, reference, units = fit_both({}, X, PRICES)
    np.testing.assert_allclose(model.coefs_[-1], reference.coefs_[-1] * units.spread, rtol=1e-12)
    expected = reference.intercepts_[-1] * units.spread + units.center
    np.testing.assert_allclose(model.intercepts_[-1], expected, rtol=1e-12)
    model, reference, units = fit_both({"loss": "gamma"}, X, COSTS)
    np.testing.assert_allclose(model.coefs_[-1], reference.coefs_[-1], rtol=1e-12)
    expected = reference.intercepts_[-1] + np.log(COSTS.mean())
    np.testing.assert_allclose(model.intercepts_[-1], expected, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_conversions_have_the_units_of_the_user(loss):
    model = fit_quietly(mlp(loss=loss, normalize_y=True), X, targets_for(loss))
    expected = model.predict(X)
    got = model.to_torch()(torch.from_numpy(X)).numpy(force=True)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    theirs = model.to_sklearn()
    np.testing.assert_allclose(theirs.predict(X), expected, rtol=1e-12)
    np.testing.assert_array_equal(TorchMLPRegressor.from_sklearn(theirs).predict(X), expected)
    session = InferenceSession(to_onnx(model, X).SerializeToString())
    (got,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-5)


def test_snapshots_and_displays_have_the_units_of_the_user():
    rows = X[:, :1]
    model = mlp(normalize_y=True, callbacks=[Snapshots()], max_iter=4)
    last = find_snapshots(fit_quietly(model, rows, PRICES))[-1]
    mine, expected = last.coefs + last.intercepts, model.coefs_ + model.intercepts_
    for array, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(array, other)
    animation = TrainingAnimation.from_estimator(model, rows, PRICES)
    expected = model.predict(animation.grid[0][:, None])
    np.testing.assert_allclose(animation.predictions[-1][0], expected, rtol=1e-12)
    plt.close("all")


def test_snapshots_continue_in_partial_fit():
    model = mlp(normalize_y=True, callbacks=[Snapshots()])
    whole = fit_quietly(clone(model), X, PRICES)
    for _ in range(6):
        model.partial_fit(X, PRICES)
    assert len(find_snapshots(model)) == len(find_snapshots(whole)) == 7


# Many fits


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True},
        {"loss": "poisson"},
        {"early_stopping": True, "scoring": "loss"},
    ],
    ids=str,
)
def test_fits_that_are_trained_together_are_the_same(parameters):
    model, y = mlp(normalize_y=True, batch_size=50, **parameters), COSTS
    tasks = {
        "search": lambda: (
            GridSearchCV(model, {"alpha": [1e-4, 0.1, 10.0]}, error_score="raise")
            .fit(X, y)
            .cv_results_["mean_test_score"]
        ),
        "bagging": lambda: BaggingRegressor(model, 6, random_state=0).fit(X, y).predict(X),
        "predictions": lambda: cross_val_predict(model, X, y),
        "weights": lambda: cross_validate(
            model, X, y, return_estimator=True, params={"sample_weight": WEIGHT + 0.5}
        )["estimator"][-1].coefs_[-1],
    }
    for name, task in tasks.items():
        with pytest.warns():
            expected = task()
        with parallel_config(backend="torchmlp"), pytest.warns():
            got = task()
        np.testing.assert_allclose(got, expected, rtol=1e-9, err_msg=name)


# The parameter


def test_the_parameter_is_checked():
    with pytest.raises(ValueError, match=r"The 'normalize_y' parameter .* must be an instance of"):
        mlp(normalize_y="yes").fit(X, Y)
    fits = (fit_quietly(mlp(normalize_y=value), X, PRICES) for value in (True, np.True_))
    assert_identical(*fits)
    assert not hasattr(TorchMLPClassifier(), "normalize_y")


def test_negative_targets_of_poisson_raise():
    with pytest.raises(ValueError, match=r"loss='poisson' requires y >= 0, got -"):
        mlp(loss="poisson", normalize_y=True).fit(X, Y)
