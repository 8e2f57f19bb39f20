"""Tests for normalize_y: a fit equals one on scaled targets, with predictions scaled back."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import OPTIMIZERS, assert_identical, fit_quietly
from joblib import parallel_config
from normalize_y_helpers import (
    COSTS,
    LOSSES,
    PRICES,
    WEIGHT,
    Units,
    X,
    Y,
    assert_same_in_units,
    fit_both,
    mlp,
    targets_for,
    training_rows,
)
from onnxruntime import InferenceSession
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_validate,
)

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.export import to_onnx
from torchmlp.inspection import TrainingAnimation


def test_standard_deviations_are_in_the_units_of_y():
    model, reference, units = fit_both({"loss": "gaussian", "max_iter": 40}, X, PRICES)
    mean, std = model.predict(X, return_std=True)
    scaled_mean, scaled_std = reference.predict(X, return_std=True)
    np.testing.assert_allclose(mean, units.restore(scaled_mean), rtol=1e-10)
    np.testing.assert_allclose(std, units.spread * scaled_std, rtol=1e-10)
    model.partial_fit(X, PRICES)
    reference.partial_fit(X, units.scale(PRICES))
    np.testing.assert_allclose(model.predict(X), units.restore(reference.predict(X)), rtol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_large_targets_are_scaled_without_overflow(loss):
    model = TorchMLPRegressor(loss, (5,), normalize_y=True, max_iter=5, random_state=0)
    factor = 2.0**900
    expected = fit_quietly(clone(model), X, COSTS).predict(X)
    got = fit_quietly(clone(model), X, COSTS * factor).predict(X)
    np.testing.assert_allclose(got / factor, expected, rtol=1e-9)
    with pytest.raises(
        ValueError, match=r"y has values up to .*dtype float32 supports .* Divide y"
    ):
        model.fit(X.astype(np.float32), COSTS * factor)


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
        {"solver": "adam", "average": True},
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


@pytest.mark.parametrize("scoring", [None, "loss", "r2"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_rows_that_early_stopping_sets_aside_do_not_count(loss, solver, weight, scoring):
    y = targets_for(loss)
    parameters = {"loss": loss, "solver": solver, "early_stopping": True, "scoring": scoring}
    parameters |= {"max_iter": 12, "tol": 1e-3, "n_iter_no_change": 2}
    rows = training_rows(parameters)
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


def test_the_parameter_is_checked():
    with pytest.raises(ValueError, match=r"The 'normalize_y' parameter .* must be an instance of"):
        mlp(normalize_y="yes").fit(X, Y)
    fits = (fit_quietly(mlp(normalize_y=value), X, PRICES) for value in (True, np.True_))
    assert_identical(*fits)
    assert not hasattr(TorchMLPClassifier(), "normalize_y")


def test_negative_targets_of_poisson_raise():
    with pytest.raises(ValueError, match=r"loss='poisson' requires y >= 0, got -"):
        mlp(loss="poisson", normalize_y=True).fit(X, Y)
