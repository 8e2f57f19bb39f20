"""Tests for networks that predict several quantiles."""

import numpy as np
import pytest
import torch
from distribution_helpers import (
    LEVELS,
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
    quantile_regressor,
)
from helpers import assert_identical, assert_same_weights, fit_quietly, some_weights
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import d2_pinball_score, make_scorer, mean_pinball_loss
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPRegressor
from torchmlp.distribution_encoding import QuantileEncoder


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


def test_scorer_of_one_quantile():
    def upper(y, predicted):
        return d2_pinball_score(y, predicted[:, 0], alpha=0.9)

    search = GridSearchCV(quantile_regressor(), {"alpha": [0.1]}, scoring=make_scorer(upper), cv=2)
    assert np.isfinite(fit_quietly(search, X, Y).best_score_)
