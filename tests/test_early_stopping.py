"""Tests for torchmlp.early_stopping and for validation data given to fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import OURS, TASKS, assert_identical, fit_quietly, iris
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score, log_loss, mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, early_stopping

X, y = iris()
KEEP = np.random.RandomState(0).permutation(150)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = X[KEEP[:100]], X[KEEP[100:]], y[KEEP[:100]], y[KEEP[100:]]
_, X_REG, Y_REG, _ = TASKS["regression"]


def test_split_is_stratified(monkeypatch):
    split, seen = early_stopping.train_test_split, []

    def spy(rows, **kwargs):
        seen.extend(split(rows, **kwargs))
        return seen

    monkeypatch.setattr(early_stopping, "train_test_split", spy)
    labels = np.repeat([0, 1, 2], [90, 45, 15])
    fit_quietly(
        TorchMLPClassifier(
            early_stopping=True, max_iter=2, random_state=0, validation_fraction=0.2
        ),
        X,
        labels,
    )
    np.testing.assert_array_equal(np.bincount(labels[seen[1]]), [18, 9, 3])


def test_split_without_enough_samples_of_a_class_raises():
    digits, labels = load_digits(return_X_y=True)
    message = r"early_stopping=True needs samples of each class.*validation_fraction=0.1, or set"
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifier(early_stopping=True).fit(digits[:90], labels[:90])


@pytest.mark.parametrize(
    ("labels", "single"),
    [
        (["cat"] * 30 + ["dog"] * 9 + ["emu"], r"\['emu'\]"),
        (["cat"] + ["dog"] * 38 + ["emu"], r"\['cat', 'emu'\]"),
        ([7] * 39 + [11], r"\[11\]"),
    ],
    ids=["one", "two", "binary"],
)
def test_error_of_the_split_names_the_labels(labels, single):
    message = rf"a single sample of each of the classes {single}\. Add samples"
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifier(early_stopping=True).fit(X[:40], labels)


@pytest.mark.parametrize("estimator", OURS)
def test_too_small_validation_set_raises(estimator):
    with pytest.raises(ValueError, match=r"The validation set is too small.*validation_fraction"):
        estimator(early_stopping=True).fit(X[:1], y[:1])
    with pytest.raises(ValueError, match=r"The validation set is too small.*=0.0 for 150 samples"):
        estimator(early_stopping=True, validation_fraction=0.0).fit(X, y)
    with pytest.raises(ValueError, match=r"The validation set is too small.*for 9 samples"):
        TorchMLPRegressor(early_stopping=True, random_state=0).fit(X[:9], y[:9])


def test_split_without_any_weight_raises():
    weights = np.zeros(150)
    weights[0] = 1.0
    with pytest.raises(ValueError, match="at least one non-zero number"):
        TorchMLPRegressor(early_stopping=True, random_state=0).fit(X, y, weights)


def after_each_step(mlp, n_steps):
    """Yield the model after each epoch of a fit."""
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


def test_validation_loss_curve_needs_validation_data():
    mlp = TorchMLPClassifier(random_state=0, max_iter=4)
    assert fit_quietly(clone(mlp), X, y).validation_loss_curve_ is None
    mlp.set_params(early_stopping=True)
    assert len(fit_quietly(mlp, X, y).validation_loss_curve_) == 4


def test_integer_validation_weights_equal_repeated_rows():
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
def test_early_stopping_monitors_given_validation_data(solver, container):
    mlp = TorchMLPClassifier(
        random_state=0, early_stopping=True, solver=solver, learning_rate_init=0.02
    )
    fit_quietly(mlp, container(X_TRAIN), Y_TRAIN, X_val=container(X_VAL), y_val=Y_VAL)
    assert len(mlp.validation_scores_) == len(mlp.validation_loss_curve_) == mlp.n_iter_
    assert mlp.score(X_VAL, Y_VAL) == mlp.best_validation_score_ == max(mlp.validation_scores_)
    if solver == "adam":
        assert mlp.t_ == 100 * mlp.n_iter_


def test_scoring_loss_keeps_the_weights_of_the_lowest_loss():
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
def test_early_stopping_monitors_any_scorer(scoring):
    mlp = TorchMLPClassifier(random_state=0, early_stopping=True, max_iter=8, scoring=scoring)
    fit_quietly(mlp, X_TRAIN, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
    expected = [macro(m, X_VAL, Y_VAL) for m in after_each_step(mlp, 8)]
    np.testing.assert_allclose(mlp.validation_scores_, expected)
    split = TorchMLPClassifier(random_state=0, early_stopping=True, max_iter=3, scoring=scoring)
    names = np.array(["a", "b", "c"])
    assert len(fit_quietly(split, X, names[y]).validation_scores_) == 3


def test_pipeline_transforms_validation_data():
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
        ({"X_val": X_VAL}, "X_val was passed without y_val. Pass both"),
        ({"y_val": Y_VAL}, "y_val was passed without X_val. Pass both"),
        ({"sample_weight_val": Y_VAL}, "sample_weight_val was passed without X_val and y_val"),
        ({"X_val": X_VAL[:, :3], "y_val": Y_VAL}, "X_val: X has 3 features, but .* 4"),
        (
            {"X_val": X_VAL, "y_val": Y_VAL[:-1]},
            "X_val and y_val: .*inconsistent numbers of samples",
        ),
        ({"X_val": X_VAL, "y_val": Y_VAL + 5}, "y_val: `y` has classes not in"),
        ({"X_val": X_VAL * np.nan, "y_val": Y_VAL}, "X_val: .*contains NaN"),
        (
            {"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": -np.ones(50)},
            "sample_weight_val must be non-negative",
        ),
    ],
)
def test_invalid_validation_data_raise(validation, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        TorchMLPClassifier().fit(X_TRAIN, Y_TRAIN, **validation)


@pytest.mark.parametrize("name", ["neg_max_error", None])
def test_scorer_without_sample_weight_is_called_without_it(name):
    scoring = name or (lambda model, X, y: model.score(X, y))
    mlp = TorchMLPRegressor(early_stopping=True, scoring=scoring, max_iter=3, random_state=0)
    weights = np.arange(len(Y_REG)) % 3
    fitted = fit_quietly(mlp, X_REG, Y_REG, weights)
    assert len(fitted.validation_scores_) == 3
