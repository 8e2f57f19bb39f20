"""Tests for torchmlp.distribution_encoding: what quantiles and normal distributions share."""

import warnings

import numpy as np
import pytest
import torch
from distribution_helpers import (
    LEVELS,
    X,
    Y,
    gaussian_regressor,
    quantile_regressor,
)
from helpers import (
    assert_identical,
    assert_same_weights,
    fit_quietly,
    weights_of,
)
from joblib import parallel_config
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from torchmlp.distribution_encoding import GaussianEncoder, QuantileEncoder
from torchmlp.training.distribution_losses import gaussian_loss, quantile_loss

MODELS = [quantile_regressor(), gaussian_regressor()]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.loss)


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


@every_model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lower_precision(model, dtype):
    exact = fit_quietly(clone(model), X, Y)
    low = fit_quietly(clone(model).set_params(dtype=dtype), X, Y)
    assert {w.dtype for w in weights_of(low)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(low.predict(X), exact.predict(X), atol=0.02)


def test_encoders_name_their_outputs():
    assert QuantileEncoder((0.9, 0.125)).output_names(2) == ["quantile 0.9", "quantile 0.125"]
    assert GaussianEncoder().output_names(2) == ["mean", "log variance"]
    assert GaussianEncoder().output_names(4)[1::2] == ["mean of y1", "log variance of y1"]
