"""Tests for networks that predict normal distributions: a mean and a standard deviation."""

import numpy as np
import pytest
import torch
from distribution_helpers import (
    SMOOTH,
    SOLVERS,
    X_SEVERAL,
    X_TEST,
    X_TRAIN,
    Y_SEVERAL,
    Y_TEST,
    Y_TRAIN,
    X,
    Y,
    deviation,
    gaussian_regressor,
)
from helpers import assert_same_weights, fit_quietly
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPRegressor


@pytest.mark.parametrize("solver", SOLVERS)
def test_standard_deviations_are_calibrated(solver):
    model = fit_quietly(gaussian_regressor(**{**SMOOTH, **SOLVERS[solver]}), X_TRAIN, Y_TRAIN)
    mean, std = model.predict(X_TEST, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X_TEST))
    for share, width in ((0.95, 1.96), (0.68, 0.994)):
        assert (np.abs(Y_TEST - mean) < width * std).mean() == pytest.approx(share, abs=0.02)
    assert np.sqrt(np.mean((std - deviation(X_TEST[:, 0])) ** 2)) < 0.05
    assert np.sqrt(np.mean((mean - np.sin(X_TEST[:, 0])) ** 2)) < 0.07
    likelihood = norm.logpdf(Y_TEST, np.sin(X_TEST[:, 0]), deviation(X_TEST[:, 0]))
    assert norm.logpdf(Y_TEST, mean, std).mean() > likelihood.mean() - 0.02


def test_linear_model_of_constant_noise_is_least_squares():
    model = gaussian_regressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, max_iter=2000)
    X_zero = X * 0
    mean, std = model.fit(X_zero, Y + 3).predict(X_zero, return_std=True)
    np.testing.assert_allclose(mean, 3 + Y.mean(), rtol=1e-4)
    np.testing.assert_allclose(std, Y.std(), rtol=1e-4)


def test_several_targets_of_normal_distributions():
    model = fit_quietly(gaussian_regressor(max_iter=100), X_SEVERAL, Y_SEVERAL)
    assert model.coefs_[-1].shape == (100, 6)
    assert model.n_outputs_ == 6
    mean, std = model.predict(X_SEVERAL, return_std=True)
    assert mean.shape == std.shape == Y_SEVERAL.shape
    logits = model.to_torch(output="logits")(torch.from_numpy(X_SEVERAL)).detach().numpy()
    np.testing.assert_allclose(logits[:, :3], mean, rtol=1e-10)
    np.testing.assert_allclose(np.exp(logits[:, 3:] / 2), std, rtol=1e-10)
    assert model.score(X_SEVERAL, Y_SEVERAL) == pytest.approx(r2_score(Y_SEVERAL, mean))


@pytest.mark.parametrize("constant", [5.0, 0.0, -1e-3])
def test_deviation_of_a_constant_target_is_small_and_finite(constant):
    scale = abs(constant) or 1.0
    floor = 10.0 ** np.floor(np.log10(1e-9 * scale**2))
    model = gaussian_regressor(hidden_layer_sizes=(), solver="lbfgs", tol=1e-6, max_iter=2000)
    mean, std = fit_quietly(model, X, np.full(250, constant)).predict(X, return_std=True)
    np.testing.assert_allclose(mean, constant, atol=1e-4 * scale)
    assert ((std > 0) & (std < scale)).all()
    mean, std = fit_quietly(model, X * 0, np.full(250, constant)).predict(X * 0, return_std=True)
    np.testing.assert_allclose(mean, constant, atol=1e-4 * scale)
    np.testing.assert_allclose(std, np.sqrt(floor), rtol=0.05)  # where L-BFGS stops


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1e2])
def test_lower_bound_is_relative_to_the_deviation_of_the_targets(scale):
    model = gaussian_regressor(hidden_layer_sizes=(30,), activation="tanh", solver="lbfgs")
    model.set_params(max_iter=2000, alpha=0.0, tol=1e-6)
    mean, std = fit_quietly(model, X_TRAIN, scale * Y_TRAIN).predict(X_TEST, return_std=True)
    inside = np.abs(scale * Y_TEST - mean) < 1.96 * std
    assert inside.mean() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_extreme_targets(scale):
    model = gaussian_regressor(max_iter=2)
    if scale < 1:
        assert np.isfinite(fit_quietly(model, X, scale * Y).predict(X, return_std=True)).all()
    else:
        with pytest.raises(ValueError, match=r"non-finite parameter weights.*y has values up to"):
            fit_quietly(model, X, scale * Y)


def test_rows_without_weight_have_no_effect_on_the_lower_bound():
    weights = np.ones(len(Y))
    weights[:50] = 0
    y = np.where(weights, Y, 1e9)
    model = gaussian_regressor(solver="lbfgs", max_iter=30)
    assert_same_weights(
        fit_quietly(clone(model), X, y, weights), fit_quietly(clone(model), X[50:], Y[50:]), 1e-6
    )


@pytest.mark.parametrize("loss", ["squared_error", "quantile", lambda raw, y: (raw - y)[:, 0] ** 2])
def test_deviations_of_another_loss_raise(loss):
    model = fit_quietly(TorchMLPRegressor(loss, max_iter=2, random_state=0), X, Y)
    message = r"return_std=True requires a network that was fitted with loss='gaussian', got loss="
    with pytest.raises(ValueError, match=message):
        model.predict(X, return_std=True)


def test_deviations_through_a_pipeline():
    pipeline = fit_quietly(make_pipeline(StandardScaler(), gaussian_regressor()), X, Y)
    mean, std = pipeline.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, pipeline.predict(X))
    assert std.shape == (250,)
    with pytest.raises(NotFittedError):
        gaussian_regressor().predict(X, return_std=True)


def test_deviations_of_tensors_are_tensors():
    model = fit_quietly(gaussian_regressor(), X, Y)
    with config_context(array_api_dispatch=True):
        mean, std = model.predict(torch.from_numpy(X), True)
    assert isinstance(mean, torch.Tensor)
    np.testing.assert_array_equal(std, model.predict(X, return_std=True)[1])


def test_deviations_have_the_dtype_of_the_model():
    model = fit_quietly(gaussian_regressor(), X.astype(np.float32), Y.astype(np.float32))
    mean, std = model.predict(X.astype(np.float32), return_std=True)
    assert mean.dtype == std.dtype == np.float32
    exact = fit_quietly(gaussian_regressor(), X, Y).predict(X, return_std=True)
    np.testing.assert_allclose(std, exact[1], rtol=1e-3)


def test_scorer_of_the_likelihood():
    def likelihood(model, X, y):
        return norm.logpdf(y, *model.predict(X, return_std=True)).mean()

    model = gaussian_regressor(early_stopping=True, scoring=likelihood)
    fit_quietly(model, X, Y)
    np.testing.assert_allclose(
        model.validation_scores_, -np.array(model.validation_loss_curve_), rtol=1e-6
    )


def test_planned_schedule_warns_of_targets_that_are_not_learned():
    model = gaussian_regressor(learning_rate="one_cycle", max_iter=3)
    with pytest.warns(UserWarning, match="predicting the mean of y"):
        model.fit(X, 1e5 * (10 + Y))


@pytest.mark.parametrize("n_targets", [1, 2])
def test_scaled_targets_scale_the_means_and_shift_the_log_variances(n_targets):
    y = np.c_[Y, Y[::-1]][:, :n_targets]
    model = fit_quietly(gaussian_regressor(), X, y.squeeze())
    mean, std = model.predict(X, return_std=True)
    model.coefs_[-1][:, :n_targets] *= 7.0
    model.intercepts_[-1][:n_targets] = 7.0 * model.intercepts_[-1][:n_targets] + 50.0
    model.intercepts_[-1][n_targets:] += 2 * np.log(7.0)
    scaled_mean, scaled_std = model.predict(X, return_std=True)
    np.testing.assert_allclose(scaled_mean, 50.0 + 7.0 * mean, rtol=1e-12)
    np.testing.assert_allclose(scaled_std, 7.0 * std, rtol=1e-12)
