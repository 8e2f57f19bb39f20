"""Tests for the differences from scikit-learn's MLP: each test fails with scikit-learn's class.

`both` runs a test with our class and, as a strict expected failure, with scikit-learn's. A test
that starts to pass with scikit-learn's class fails, and its row in
docs/guide/reproducibility.md can be removed.
"""

import pickle
import re

import numpy as np
import pytest
from helpers import (
    TASKS,
    assert_identical,
    assert_same_weights,
    call_at_every_step,
    fit_quietly,
    iris,
    requires_sklearn,
    weights_of,
)
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from torchmlp import TorchMLPClassifier, TorchMLPRegressor


def both(ours, theirs, reason, raises=(AssertionError, pytest.fail.Exception)):
    mark = pytest.mark.xfail(strict=True, raises=raises, reason=f"scikit-learn: {reason}")
    return pytest.mark.parametrize("estimator", [ours, pytest.param(theirs, marks=mark)])


classifier = (TorchMLPClassifier, MLPClassifier)
regressor = (TorchMLPRegressor, MLPRegressor)


@both(*regressor, "lbfgs gets a gradient n_outputs times too large")
def test_lbfgs_with_several_outputs_finds_the_ridge_solution(estimator):
    _, X, Y, _ = TASKS["multioutput"]
    alpha, n_outputs = 3.0, Y.shape[1]
    mlp = estimator(
        hidden_layer_sizes=(), solver="lbfgs", alpha=alpha, tol=1e-9, max_iter=500, random_state=0
    ).fit(X, Y)
    # mean over outputs of |y - Xw|² / (2n) + alpha / (2n) |w|²: ridge with n_outputs * alpha
    ridge = Ridge(alpha=n_outputs * alpha).fit(X, Y)
    np.testing.assert_allclose(mlp.coefs_[0], ridge.coef_.T, atol=1e-5)


@both(*classifier, "the split of more than two classes is not stratified")
def test_early_stopping_stratifies_classes(estimator):
    X, y = iris()
    y = y.copy()
    y[y == 2] = 0
    y[0] = 2  # a class of one row cannot be in both parts
    with pytest.raises(ValueError, match="least populated class"):
        fit_quietly(estimator(early_stopping=True, random_state=0, max_iter=2), X, y)


@both(*regressor, "a batch without weight divides by zero", raises=ZeroDivisionError)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_batch_without_weight_is_skipped(estimator):
    _, X, y, _ = TASKS["regression"]
    weight = np.ones(len(y))
    weight[50:100] = 0
    parameters = dict(shuffle=False, batch_size=50, random_state=0, max_iter=5)
    mlp = fit_quietly(estimator(**parameters), X, y, weight)
    keep = weight > 0
    without = fit_quietly(estimator(**parameters), X[keep], y[keep])
    assert_same_weights(mlp, without)
    np.testing.assert_allclose(mlp.loss_curve_, without.loss_curve_)


@both(*regressor, "the Poisson loss takes negative targets")
@requires_sklearn("1.7", "losses of MLPRegressor")
def test_negative_targets_of_poisson_raise(estimator):
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=r"loss='poisson' requires y >= 0, got -"):
        fit_quietly(estimator(loss="poisson", max_iter=2), X, y)


@both(*regressor, "partial_fit is offered for lbfgs")
def test_no_partial_fit_for_lbfgs(estimator):
    assert not hasattr(estimator(solver="lbfgs"), "partial_fit")


@both(*regressor, "partial_fit repeats one shuffle")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_continues_the_shuffles(estimator, solver):
    _, X, y, _ = TASKS["regression"]
    parameters = dict(random_state=0, solver=solver, batch_size=30)
    whole = fit_quietly(estimator(max_iter=7, **parameters), X, y)
    stepwise = estimator(**parameters)
    for _ in range(7):
        stepwise.partial_fit(X, y)
    assert_identical(whole, stepwise)
    assert whole.loss_curve_ == stepwise.loss_curve_


@both(*classifier, "early stopping is silently ignored by lbfgs", raises=AttributeError)
def test_early_stopping_of_lbfgs(estimator):
    _, X, y, _ = TASKS["binary"]
    mlp = estimator(
        solver="lbfgs", early_stopping=True, random_state=0, max_iter=300, alpha=0, tol=1e-6
    ).fit(X, y)
    assert mlp.n_iter_ < 300
    assert len(mlp.validation_scores_) == mlp.n_iter_
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)


@both(*regressor, "divergence is reported after the last epoch")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_reported_in_its_epoch(estimator):
    X, y = iris()
    mlp = estimator(solver="sgd", learning_rate_init=1e3, random_state=0, activation="identity")
    message = (
        r"Solver produced non-finite parameter weights\. The input data may contain large values "
        r"and need to be preprocessed\. Training diverged in epoch \d+ .*"
        r"Lower learning_rate_init=1000"
    )
    with pytest.raises(ValueError, match=message) as info:
        fit_quietly(mlp, X, y)
    assert int(re.search(r"epoch (\d+)", str(info.value))[1]) < mlp.max_iter


@both(*classifier, "a pickle holds solver state and two more copies of the weights")
@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "sgd"}])
def test_pickle_is_hardly_larger_than_the_weights(estimator, parameters):
    _, X, y, _ = TASKS["binary"]
    mlp = fit_quietly(estimator(random_state=0, max_iter=30, **parameters), X, y)
    n_bytes = sum(w.nbytes for w in weights_of(mlp))
    assert len(pickle.dumps(mlp)) < 1.2 * n_bytes


@both(*classifier, "the best weights are overwritten by the second fit")
def test_warm_start_keeps_the_best_weights(estimator):
    _, X, y, _ = TASKS["binary"]
    mlp = estimator(early_stopping=True, warm_start=True, random_state=0, max_iter=100, tol=0.0)
    fit_quietly(mlp, X, y)
    best = mlp.predict_proba(X)
    # Steps at this rate only make the weights worse, so those of the first fit must be kept.
    fit_quietly(mlp.set_params(learning_rate_init=100.0), X, y)
    np.testing.assert_array_equal(mlp.predict_proba(X), best)


@both(*classifier, "an interrupt of lbfgs is not caught")
def test_interrupt_of_lbfgs_keeps_the_model(estimator, monkeypatch):
    X, y = iris()
    calls, backprop = iter(range(1000)), MLPClassifier._backprop

    def interrupt():
        if next(calls) == 20:
            raise KeyboardInterrupt

    def interrupted(*args, **kwargs):
        interrupt()
        return backprop(*args, **kwargs)

    monkeypatch.setattr(MLPClassifier, "_backprop", interrupted)
    call_at_every_step(monkeypatch, interrupt)
    try:
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            mlp = estimator(solver="lbfgs", random_state=0).fit(X, y)
    except KeyboardInterrupt:
        pytest.fail("the interrupt got through")
    assert mlp.score(X, y) > 0.5


@both(*regressor, "a failed fit leaves half a model", raises=ValueError)
@pytest.mark.filterwarnings("ignore")
def test_failed_fit_leaves_the_estimator_unchanged(estimator):
    _, X, y, _ = TASKS["regression"]
    mlp = fit_quietly(estimator(random_state=0, max_iter=5), X, y)
    before = mlp.predict(X)
    mlp.set_params(hidden_layer_sizes=(3,), learning_rate_init=1e200, solver="sgd")
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        mlp.fit(X[:, :4], y)
    np.testing.assert_array_equal(mlp.predict(X), before)


@both(*classifier, "warm_start ignores a change of the layers")
def test_warm_start_with_other_layers_raises(estimator):
    X, y = iris()
    mlp = fit_quietly(estimator(5, warm_start=True, max_iter=2, random_state=0), X, y)
    with pytest.raises(
        ValueError, match=r"Training cannot continue: .* \(4, 5, 3\) .* \(4, 6, 3\)"
    ):
        fit_quietly(mlp.set_params(hidden_layer_sizes=6), X, y)


@both(*regressor, "the mask is ignored")
def test_masked_values_are_refused(estimator):
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match="masked values"):
        fit_quietly(estimator(max_iter=2), np.ma.masked_greater(X, 1), y)


@both(*regressor, "dates are used as numbers by fit, and fail in predict")
def test_dates_are_refused(estimator):
    X = np.arange("2020-01-01", "2020-02-10", dtype="datetime64[D]").reshape(-1, 1)
    with pytest.raises(TypeError, match="dates or durations"):
        fit_quietly(estimator(max_iter=2), X, np.arange(40.0))
