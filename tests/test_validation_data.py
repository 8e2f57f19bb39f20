"""Validation data of the user's own, their loss, and what early stopping watches."""

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import TASKS, assert_identical, fit_quietly, iris
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import f1_score, log_loss, mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
KEEP = np.random.RandomState(0).permutation(150)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = X[KEEP[:100]], X[KEEP[100:]], y[KEEP[:100]], y[KEEP[100:]]
_, X_REG, Y_REG, _ = TASKS["regression"]


def after_each_step(mlp, n_steps):
    """The model after each epoch of a fit."""
    mlp = clone(mlp).set_params(early_stopping=False, scoring=None)
    kwargs = {"classes": [0, 1, 2]} if hasattr(mlp, "predict_proba") else {}
    rows = (X_TRAIN, Y_TRAIN) if kwargs else (X_REG[:200], Y_REG[:200])
    for _ in range(n_steps):
        yield mlp.partial_fit(*rows, **kwargs)


def test_validation_loss_is_that_of_the_predictions():
    mlp = TorchMLPClassifier(random_state=0, max_iter=6, alpha=1.0)
    fitted = fit_quietly(clone(mlp), X_TRAIN, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
    expected = [log_loss(Y_VAL, m.predict_proba(X_VAL)) for m in after_each_step(mlp, 6)]
    np.testing.assert_allclose(fitted.validation_loss_curve_, expected)
    assert_identical(fitted, fit_quietly(clone(mlp), X_TRAIN, Y_TRAIN))
    assert fitted.validation_scores_ is None
    regressor = TorchMLPRegressor(random_state=0, max_iter=6)
    fitted = fit_quietly(
        clone(regressor), X_REG[:200], Y_REG[:200], X_val=X_REG[200:], y_val=Y_REG[200:]
    )
    expected = [
        mean_squared_error(Y_REG[200:], m.predict(X_REG[200:])) / 2
        for m in after_each_step(regressor, 6)
    ]
    np.testing.assert_allclose(fitted.validation_loss_curve_, expected)


def test_no_validation_data_no_curve_and_a_split_has_one():
    mlp = TorchMLPClassifier(random_state=0, max_iter=4)
    assert fit_quietly(clone(mlp), X, y).validation_loss_curve_ is None
    mlp.set_params(early_stopping=True)
    assert len(fit_quietly(mlp, X, y).validation_loss_curve_) == 4


def test_weight_two_is_the_row_twice_in_validation():
    counts = np.random.RandomState(0).randint(0, 3, 50)
    mlp = TorchMLPClassifier(random_state=0, max_iter=5, early_stopping=True)
    weighted = fit_quietly(
        clone(mlp), X_TRAIN, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=counts
    )
    twice = fit_quietly(
        clone(mlp), X_TRAIN, Y_TRAIN, X_val=X_VAL.repeat(counts, axis=0), y_val=Y_VAL.repeat(counts)
    )
    np.testing.assert_allclose(weighted.validation_loss_curve_, twice.validation_loss_curve_)
    np.testing.assert_allclose(weighted.validation_scores_, twice.validation_scores_)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_early_stopping_watches_them_and_trains_on_all_of_X(solver, container):
    mlp = TorchMLPClassifier(
        random_state=0, early_stopping=True, solver=solver, learning_rate_init=0.02
    )
    fit_quietly(mlp, container(X_TRAIN), Y_TRAIN, X_val=container(X_VAL), y_val=Y_VAL)
    assert len(mlp.validation_scores_) == len(mlp.validation_loss_curve_) == mlp.n_iter_
    assert mlp.score(X_VAL, Y_VAL) == mlp.best_validation_score_ == max(mlp.validation_scores_)
    if solver == "adam":
        assert mlp.t_ == 100 * mlp.n_iter_


def test_scoring_by_loss_keeps_the_weights_of_the_smallest():
    mlp = TorchMLPRegressor(
        random_state=0,
        early_stopping=True,
        scoring="loss",
        learning_rate_init=0.05,
        hidden_layer_sizes=(50,),
        n_iter_no_change=5,
    )
    rows = dict(X_val=X_REG[200:], y_val=Y_REG[200:])
    fit_quietly(mlp, X_REG[:200], Y_REG[:200], **rows)
    assert mlp.validation_scores_ == [-loss for loss in mlp.validation_loss_curve_]
    best = min(mlp.validation_loss_curve_)
    assert mlp.validation_loss_curve_[-1] > best
    assert mean_squared_error(Y_REG[200:], mlp.predict(X_REG[200:])) / 2 == pytest.approx(best)


def macro(estimator, X, y):
    return f1_score(y, estimator.predict(X), average="macro")


@pytest.mark.parametrize("scoring", ["f1_macro", macro], ids=["name", "callable"])
def test_scoring_by_any_scorer(scoring):
    mlp = TorchMLPClassifier(random_state=0, early_stopping=True, max_iter=8, scoring=scoring)
    fit_quietly(mlp, X_TRAIN, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
    expected = [macro(m, X_VAL, Y_VAL) for m in after_each_step(mlp, 8)]
    np.testing.assert_allclose(mlp.validation_scores_, expected)
    split = TorchMLPClassifier(random_state=0, early_stopping=True, max_iter=3, scoring=scoring)
    names = np.array(["a", "b", "c"])
    assert len(fit_quietly(split, X, names[y]).validation_scores_) == 3


def test_through_a_pipeline_that_transforms_them():
    with config_context(enable_metadata_routing=True):
        mlp = TorchMLPClassifier(random_state=0, max_iter=5).set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("mlp", mlp)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        fit_quietly(pipeline, X_TRAIN, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
        scaler = StandardScaler().fit(X_TRAIN)
        by_hand = TorchMLPClassifier(random_state=0, max_iter=5)
        fit_quietly(
            by_hand, scaler.transform(X_TRAIN), Y_TRAIN, X_val=scaler.transform(X_VAL), y_val=Y_VAL
        )
    assert pipeline[-1].validation_loss_curve_ == by_hand.validation_loss_curve_


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"X_val": X_VAL}, "X_val was given without y_val; pass both"),
        ({"y_val": Y_VAL}, "y_val was given without X_val; pass both"),
        ({"sample_weight_val": Y_VAL}, "sample_weight_val was given without X_val and y_val"),
        ({"X_val": X_VAL[:, :3], "y_val": Y_VAL}, "X_val: X has 3 features, but .* 4"),
        (
            {"X_val": X_VAL, "y_val": Y_VAL[:-1]},
            "X_val and y_val: .*inconsistent numbers of samples",
        ),
        ({"X_val": X_VAL, "y_val": Y_VAL + 5}, "y_val: `y` has classes not in"),
        ({"X_val": X_VAL * np.nan, "y_val": Y_VAL}, "X_val: .*contains NaN"),
        (
            {"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": -np.ones(50)},
            "sample_weight_val must not be negative",
        ),
    ],
)
def test_what_is_wrong_with_them_is_said(validation, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        TorchMLPClassifier().fit(X_TRAIN, Y_TRAIN, **validation)


@pytest.mark.parametrize("name", ["neg_max_error", None])
def test_scorers_without_weights_score_without_them(name):
    scoring = name or (lambda model, X, y: model.score(X, y))
    mlp = TorchMLPRegressor(early_stopping=True, scoring=scoring, max_iter=3, random_state=0)
    weights = np.arange(len(Y_REG)) % 3
    fitted = fit_quietly(mlp, X_REG, Y_REG, weights)
    assert len(fitted.validation_scores_) == 3
