"""Tests for torchmlp.distribution_encoding: several quantiles, and normal distributions."""

import warnings

import numpy as np
import pytest
import torch
from helpers import (
    TASKS,
    assert_identical,
    assert_same_weights,
    fit_quietly,
    some_weights,
    weights_of,
)
from joblib import parallel_config
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import d2_pinball_score, make_scorer, mean_pinball_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from torchmlp import TorchMLPRegressor
from torchmlp.distribution_encoding import GaussianEncoder, QuantileEncoder
from torchmlp.training.losses import gaussian_loss, quantile_loss, regressor_loss

_, X, Y, _ = TASKS["regression"]
_, X_SEVERAL, Y_SEVERAL, _ = TASKS["multioutput"]
LEVELS = [0.9, 0.1, 0.5]
SMOOTH = dict(hidden_layer_sizes=(30,), activation="tanh", max_iter=100, random_state=0)
SOLVERS = {
    "adam": {"learning_rate": "cosine", "learning_rate_init": 0.01},
    "adamw": {"solver": "adamw", "learning_rate": "one_cycle", "learning_rate_init": 0.02},
    "lbfgs": {"solver": "lbfgs", "max_iter": 300},
}


def quantile_regressor(quantile=tuple(LEVELS), **parameters):
    settings = {"max_iter": 20, "random_state": 0, **parameters}
    return TorchMLPRegressor("quantile", quantile=list(quantile), **settings)


def gaussian_regressor(**parameters):
    return TorchMLPRegressor("gaussian", **{"max_iter": 20, "random_state": 0, **parameters})


def deviation(x):
    return 0.1 + 0.3 * (x + 2)


def heteroscedastic(n_samples, seed):
    """Return a sine with noise whose standard deviation is `deviation`."""
    rng = np.random.RandomState(seed)
    x = rng.uniform(-2, 2, n_samples)
    return x[:, np.newaxis], np.sin(x) + deviation(x) * rng.randn(n_samples)


X_TRAIN, Y_TRAIN = heteroscedastic(2000, seed=0)
X_TEST, Y_TEST = heteroscedastic(5000, seed=1)
MODELS = [quantile_regressor(), gaussian_regressor()]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.loss)


# Losses


def test_loss_is_the_mean_pinball_loss():
    raw = np.random.RandomState(0).randn(len(Y), 3)
    losses = regressor_loss("quantile", tuple(LEVELS)).per_sample(
        torch.from_numpy(raw), torch.from_numpy(Y[:, np.newaxis])
    )
    expected = [mean_pinball_loss(Y, raw[:, k], alpha=q) for k, q in enumerate(LEVELS)]
    assert float(losses.mean()) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_loss_is_the_negative_log_likelihood(n_targets):
    rng = np.random.RandomState(0)
    raw, y = rng.randn(50, 2 * n_targets), rng.randn(50, n_targets)
    raw_tensor, y_tensor = torch.from_numpy(raw), torch.from_numpy(y)
    losses = gaussian_loss(0.0).per_sample(raw_tensor, y_tensor)
    mean, log_variance = raw_tensor.split(n_targets, 1)
    of_torch = torch.nn.GaussianNLLLoss(full=True, reduction="none", eps=0.0)
    torch.testing.assert_close(losses, of_torch(mean, y_tensor, log_variance.exp()).sum(1))
    expected = -norm.logpdf(y, raw[:, :n_targets], np.exp(raw[:, n_targets:] / 2)).sum(1)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "n_targets"),
    [(quantile_loss((0.1, 0.5, 0.8, 0.9)), 1), (gaussian_loss((0.3, 0.7)), 2)],
    ids=["quantiles", "gaussian"],
)
def test_gradients_equal_finite_differences(loss, n_targets):
    rng = np.random.RandomState(0)
    raw, y = torch.from_numpy(rng.randn(30, 4)), torch.from_numpy(rng.randn(30, n_targets))
    gradient = torch.empty_like(raw)
    for call in loss.gradient(raw, y, gradient):
        call()
    for k in range(4):
        step = torch.zeros(4, dtype=raw.dtype)
        step[k] = 1e-6
        difference = loss.per_sample(raw + step, y) - loss.per_sample(raw - step, y)
        np.testing.assert_allclose(gradient[:, k], difference / 2e-6, rtol=1e-7, atol=1e-8)


# Several quantiles


@pytest.mark.parametrize("solver", SOLVERS)
def test_quantiles_cover_their_share_of_the_targets(solver):
    model = fit_quietly(quantile_regressor(**{**SMOOTH, **SOLVERS[solver]}), X_TRAIN, Y_TRAIN)
    predicted = model.predict(X_TEST)
    assert predicted.shape == (5000, 3)
    np.testing.assert_allclose((Y_TEST[:, np.newaxis] < predicted).mean(0), LEVELS, atol=0.03)
    for column, level in zip(predicted.T, LEVELS, strict=True):
        exact = np.sin(X_TEST[:, 0]) + norm.ppf(level) * deviation(X_TEST[:, 0])
        assert np.abs(column - exact).mean() < 0.1


def test_quantiles_never_cross():
    # The network is overfitted: its raw outputs cross.
    model = quantile_regressor(np.linspace(0.05, 0.95, 19), solver="lbfgs", max_iter=200)
    fit_quietly(model, X[:60], Y[:60])
    raw = model.to_torch(output="logits")(torch.from_numpy(X)).detach().numpy()
    assert (np.diff(raw, axis=1) < 0).any()
    predicted = model.predict(X)
    assert (np.diff(predicted, axis=1) >= 0).all()
    np.testing.assert_allclose(predicted, np.sort(raw, axis=1), rtol=1e-9)


def test_columns_are_in_the_order_of_the_parameter():
    model = fit_quietly(quantile_regressor(), X, Y)
    predicted = model.predict(X)
    assert (predicted[:, 1] <= predicted[:, 2]).all()
    assert (predicted[:, 2] <= predicted[:, 0]).all()


def test_list_with_one_quantile_is_the_single_quantile():
    several = fit_quietly(quantile_regressor([0.7], early_stopping=True, scoring="loss"), X, Y)
    single = fit_quietly(clone(several).set_params(quantile=0.7), X, Y)
    assert_same_weights(several, single)
    np.testing.assert_allclose(several.loss_curve_, single.loss_curve_, rtol=1e-12)
    assert several.predict(X).shape == (250, 1)
    np.testing.assert_allclose(several.predict(X)[:, 0], single.predict(X), rtol=1e-9)


@pytest.mark.parametrize("weights", [None, some_weights(len(Y))], ids=["", "weighted"])
def test_score_is_the_mean_d2_of_the_pinball_loss(weights):
    model = fit_quietly(quantile_regressor(), X, Y)
    expected = [
        d2_pinball_score(Y, column, alpha=level, sample_weight=weights)
        for column, level in zip(model.predict(X).T, LEVELS, strict=True)
    ]
    assert model.score(X, Y, weights) == pytest.approx(np.mean(expected), rel=1e-12)
    assert model.score(X, Y[:, np.newaxis], weights) == model.score(X, Y, weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_d2_of_stacks_equals_scikit_learn(weighted):
    rng = np.random.RandomState(0)
    encoder = QuantileEncoder((0.75, 0.1))
    y = rng.randint(0, 6, (4, 20, 1)).astype(float)
    y[3] = 2.0  # constant
    raw = rng.randn(4, 20, 2)
    raw[2, 5, 1] = np.nan
    weights = rng.randint(0, 3, (4, 20)) * 0.5 if weighted else None
    scores = encoder.score(y, raw, weights)
    for i in (0, 1, 3):
        own = None if weights is None else weights[i]
        columns = encoder.predictions(raw[i]).T
        expected = [
            d2_pinball_score(y[i], column, alpha=level, sample_weight=own)
            for column, level in zip(columns, (0.75, 0.1), strict=True)
        ]
        assert scores[i] == pytest.approx(np.mean(expected), rel=1e-10)
    assert np.isnan(scores[2])


def test_early_stopping_monitors_d2():
    model = quantile_regressor(early_stopping=True, learning_rate_init=0.02, max_iter=100)
    fit_quietly(model, X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    assert model.score(X[200:], Y[200:]) == pytest.approx(model.best_validation_score_, rel=1e-12)
    pinball = mean_pinball_loss(Y[200:], model.predict(X[200:])[:, 2], alpha=0.5)
    assert pinball < mean_pinball_loss(Y[200:], np.zeros(50), alpha=0.5)


def test_several_targets_of_several_quantiles_raise():
    message = (
        r"quantile=\[0.9, 0.1, 0.5\] requires a single target, but y has 3 columns. Use "
        r"sklearn.multioutput.MultiOutputRegressor.*or a single number as quantile"
    )
    with pytest.raises(ValueError, match=message):
        quantile_regressor().fit(X_SEVERAL, Y_SEVERAL)
    with pytest.raises(ValueError, match="requires a single target, but y has 2 columns"):
        quantile_regressor().fit(X, Y, X_val=X, y_val=np.c_[Y, Y])
    wrapped = fit_quietly(MultiOutputRegressor(quantile_regressor()), X_SEVERAL, Y_SEVERAL)
    predicted = [one.predict(X_SEVERAL) for one in wrapped.estimators_]
    assert np.shape(predicted) == (3, len(X_SEVERAL), 3)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "quantile",
    [[], [0.1, 1.0], [0.0], [0.5, 0.5], ["a"], [[0.1, 0.9]], np.array(1.5), [0.1, np.nan]],
    ids=repr,
)
def test_invalid_lists_of_quantiles_raise(quantile):
    message = r"quantile=.* must be a number in \(0, 1\), or a list with one or more different"
    with pytest.raises(ValueError, match=message):
        TorchMLPRegressor("quantile", quantile=quantile).fit(X, Y)


@pytest.mark.parametrize("quantile", [1.0, "0.5", None], ids=repr)
def test_invalid_single_quantiles_raise(quantile):
    with pytest.raises(ValueError, match="The 'quantile' parameter of TorchMLPRegressor must be"):
        TorchMLPRegressor("quantile", quantile=quantile).fit(X, Y)


@pytest.mark.parametrize("container", [tuple, np.array, list])
def test_quantiles_of_every_container(container):
    model = TorchMLPRegressor("quantile", quantile=container(LEVELS), max_iter=20, random_state=0)
    assert_identical(fit_quietly(clone(model), X, Y), fit_quietly(quantile_regressor(), X, Y))


def test_quantiles_of_another_loss_are_ignored():
    with pytest.warns(UserWarning, match=r"ignored: quantile=\[0.1, 0.9\] with loss='squared_"):
        model = TorchMLPRegressor(quantile=[0.1, 0.9], max_iter=1000, tol=0.1).fit(X, Y)
    assert model.predict(X).shape == (250,)


def test_search_over_lists_of_quantiles():
    grid = {"quantile": [[0.1, 0.9], [0.5], 0.5], "alpha": [0.1, 1.0]}
    search = fit_quietly(GridSearchCV(quantile_regressor(), grid, cv=2, refit=False), X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_transformed_targets_of_several_quantiles():
    model = TransformedTargetRegressor(quantile_regressor(), transformer=StandardScaler())
    predicted = fit_quietly(model, X, 50 + 10 * Y).predict(X)
    inner = fit_quietly(quantile_regressor(), X, (Y - Y.mean()) / Y.std()).predict(X)
    expected = 50 + 10 * (Y.mean() + Y.std() * inner)
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)


# Normal distributions


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


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_optimal_variance_is_the_squared_error_plus_the_floor(error):
    y = torch.tensor([[2.0]], dtype=torch.float64)
    variance = torch.tensor(error**2 + 1e-4, dtype=torch.float64)
    raw = torch.stack([y[0, 0] + error, variance.log()])[None]
    gradient = torch.empty_like(raw)
    for call in gaussian_loss(1e-4).gradient(raw, y, gradient):
        call()
    assert float(gradient[0, 1]) == pytest.approx(0.0, abs=1e-12)


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
    from sklearn import config_context

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


# Both


@every_model
def test_partial_fit_repeats_fit(model):
    whole = fit_quietly(clone(model).set_params(max_iter=5), X, Y)
    stepwise = clone(model)
    for _ in range(5):
        stepwise.partial_fit(X, Y)
    assert_identical(whole, stepwise)
    np.testing.assert_array_equal(stepwise.predict(X), whole.predict(X))


@every_model
def test_warm_start_continues(model):
    model = fit_quietly(clone(model).set_params(warm_start=True), X, Y)
    first = model.loss_
    assert fit_quietly(model, X, Y).loss_ < first


@every_model
def test_integer_weights_equal_repeated_rows(model):
    counts = np.random.RandomState(0).randint(0, 3, len(Y))
    model = clone(model).set_params(solver="lbfgs", tol=0.0)
    weighted = fit_quietly(clone(model), X, Y, counts)
    repeated = fit_quietly(clone(model), X.repeat(counts, axis=0), Y.repeat(counts))
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-6)


@every_model
def test_validation_loss_of_given_data(model):
    model = fit_quietly(clone(model), X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    raw = model.to_torch(output="logits")(torch.from_numpy(X[200:])).detach()
    loss = gaussian_loss(1e-9) if model.loss == "gaussian" else quantile_loss(tuple(LEVELS))
    expected = loss.per_sample(raw, torch.from_numpy(Y[200:, np.newaxis])).mean()
    assert model.validation_loss_curve_[-1] == pytest.approx(float(expected), rel=1e-6)


@every_model
def test_to_torch_computes_the_predictions(model):
    for y in (Y, np.c_[Y, -Y]) if model.loss == "gaussian" else (Y,):
        fitted = fit_quietly(clone(model), X, y)
        with torch.no_grad():
            outputs = fitted.to_torch()(torch.from_numpy(X)).numpy()
        assert outputs.shape == fitted.predict(X).shape
        np.testing.assert_allclose(outputs, fitted.predict(X), rtol=1e-12, atol=1e-14)


@every_model
def test_to_sklearn_raises(model):
    fitted = fit_quietly(clone(model), X, Y)
    message = f"loss='{model.loss}' has no counterpart in the MLPRegressor.*Use to_torch"
    with pytest.raises(ValueError, match=message):
        fitted.to_sklearn()


@every_model
@pytest.mark.parametrize("early_stopping", [False, True])
def test_stacked_fits_equal_single_fits(model, early_stopping):
    # 250 and 230 rows: the deviation of y, and the number of rows, differ.
    jobs = [
        (alpha, n_rows, seed) for alpha in (0.0, 0.1) for n_rows in (250, 230) for seed in (1, 2)
    ]

    def fit(alpha, n_rows, seed):
        own = clone(model).set_params(
            alpha=alpha, random_state=seed, early_stopping=early_stopping, batch_size=50
        )
        with warnings.catch_warnings(action="ignore"):
            return own.fit(X[:n_rows], Y[:n_rows])

    expected = [fit(*job) for job in jobs]
    with parallel_config(backend="torchmlp"):
        got = Parallel()(delayed(fit)(*job) for job in jobs)
    for mine, theirs in zip(got, expected, strict=True):
        assert_same_weights(mine, theirs, rtol=1e-8)
        np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        if early_stopping:
            np.testing.assert_allclose(mine.validation_scores_, theirs.validation_scores_, 1e-9)


def test_equal_losses_are_one_object():
    assert regressor_loss("quantile", 0.3) is regressor_loss("quantile", 0.3)
    assert regressor_loss("quantile", (0.3, 0.4)) is regressor_loss("quantile", (0.3, 0.4))
    folds = [np.random.RandomState(0).permutation(Y)[:200, np.newaxis] for _ in range(5)]
    assert len({id(regressor_loss("gaussian").adapted(y, None)) for y in folds}) == 1


@every_model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lower_precision(model, dtype):
    exact = fit_quietly(clone(model), X, Y)
    low = fit_quietly(clone(model).set_params(dtype=dtype), X, Y)
    assert {w.dtype for w in weights_of(low)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(low.predict(X), exact.predict(X), atol=0.02)


def test_scorer_of_one_quantile():
    def upper(y, predicted):
        return d2_pinball_score(y, predicted[:, 0], alpha=0.9)

    search = GridSearchCV(quantile_regressor(), {"alpha": [0.1]}, scoring=make_scorer(upper), cv=2)
    assert np.isfinite(fit_quietly(search, X, Y).best_score_)


def test_encoders_name_their_outputs():
    assert QuantileEncoder((0.9, 0.125)).output_names(2) == ["quantile 0.9", "quantile 0.125"]
    assert GaussianEncoder().output_names(2) == ["mean", "log variance"]
    assert GaussianEncoder().output_names(4)[1::2] == ["mean of y1", "log variance of y1"]
