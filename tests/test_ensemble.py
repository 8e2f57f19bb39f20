"""Tests for torchmlp.ensemble."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from ensemble_helpers import (
    CASES,
    CROSSING_QUANTILES,
    STOPPING,
    case,
    classifier,
    ensemble_of,
    regressor,
)
from helpers import (
    ALWAYS_EXPECTED,
    STRICT,
    TASKS,
    fit_quietly,
    iris,
    requires_sklearn,
    some_weights,
)
from joblib import parallel_config
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor
from torchmlp.inspection import LossCurveDisplay, NetworkDisplay


def mean_of_members(ensemble, method, X):
    return np.mean([getattr(member, method)(X) for member in ensemble.estimators_], axis=0)


# 200 epochs of eight networks are not needed for the checks, except for their scores.
CHECKED = {"random_state": 0, "learning_rate_init": 0.01, "max_iter": 100}


@parametrize_with_checks(
    [
        WeightSharingClassifier(TorchMLPClassifier(**CHECKED), 3),
        WeightSharingRegressor(TorchMLPRegressor(**CHECKED), 3),
    ],
    expected_failed_checks=lambda estimator: ALWAYS_EXPECTED,
    **STRICT,
)
@pytest.mark.filterwarnings("ignore")  # as in test_conformance.py
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("task", TASKS)
def test_prediction_is_the_mean_of_the_members(task):
    ensemble, X, y = ensemble_of(task)
    fit_quietly(ensemble, X, y)
    if isinstance(ensemble, WeightSharingRegressor):
        expected = mean_of_members(ensemble, "predict", X)
        np.testing.assert_allclose(ensemble.predict(X), expected, rtol=1e-9)
        assert ensemble.score(X, y) == r2_score(y, ensemble.predict(X))
        return
    expected = mean_of_members(ensemble, "predict_proba", X)
    np.testing.assert_allclose(ensemble.predict_proba(X), expected, rtol=1e-9)
    np.testing.assert_allclose(ensemble.predict_log_proba(X), np.log(expected), rtol=1e-9)
    if task == "multilabel":
        np.testing.assert_array_equal(ensemble.predict(X), expected > 0.5)
    else:
        np.testing.assert_array_equal(
            ensemble.predict(X), ensemble.classes_[expected.argmax(axis=1)]
        )
    assert ensemble.score(X, y) == accuracy_score(y, ensemble.predict(X))


def test_means_are_the_means_of_the_members():
    ensemble, X, y = ensemble_of("regression", normalize_y=True, loss="gaussian")
    fit_quietly(ensemble, X, y)
    expected = mean_of_members(ensemble, "predict", X)
    np.testing.assert_allclose(ensemble.predict(X), expected, rtol=1e-9)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_standard_deviations_are_those_of_the_mixture(n_targets):
    ensemble, X, y = ensemble_of("regression", normalize_y=True, loss="gaussian")
    fit_quietly(ensemble, X, np.column_stack([y, -y])[:, :n_targets].squeeze())
    mean, std = ensemble.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, ensemble.predict(X))
    members = [member.predict(X, return_std=True) for member in ensemble.estimators_]
    means, deviations = (np.array(part) for part in zip(*members, strict=True))
    # The law of total variance, with an explicit second moment
    variance = (deviations**2 + means**2).mean(axis=0) - means.mean(axis=0) ** 2
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-6)
    assert std.shape == mean.shape
    assert (std > deviations.min(axis=0)).all()
    _, of_tensor = ensemble.predict(torch.tensor(X), return_std=True)
    np.testing.assert_array_equal(of_tensor, std)


def test_standard_deviations_of_one_member_are_its_own():
    ensemble, X, y = ensemble_of("regression", loss="gaussian")
    ensemble.set_params(n_estimators=1)
    fit_quietly(ensemble, X, y)
    for got, expected in zip(
        ensemble.predict(X, return_std=True),
        ensemble.estimators_[0].predict(X, return_std=True),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_quantiles_are_the_sorted_means_of_the_outputs():
    ensemble, X, y = ensemble_of("regression", **CROSSING_QUANTILES)
    fit_quietly(ensemble, X, y)
    networks = [member.to_torch(output="logits") for member in ensemble.estimators_]
    mean = np.mean([network(torch.tensor(X)).numpy(force=True) for network in networks], axis=0)
    predicted = ensemble.predict(X)
    assert (mean.argsort(axis=1) != [2, 1, 0]).any()
    np.testing.assert_allclose(predicted[:, ::-1], np.sort(mean, axis=1), rtol=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_logits_give_the_probabilities(task):
    ensemble, X = case(task)
    logits = ensemble.predict_logits(X)
    if task == "multiclass":
        np.testing.assert_allclose(softmax(logits, axis=1), ensemble.predict_proba(X), rtol=1e-9)
    else:
        probabilities = ensemble.predict_proba(X)
        expected = probabilities[:, 1] if task == "binary" else probabilities
        np.testing.assert_allclose(expit(logits), expected, rtol=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_loss_without_probabilities(task):
    ensemble, X, y = ensemble_of(task, loss="hinge")
    assert not hasattr(ensemble, "predict_proba")
    assert not hasattr(ensemble, "predict_log_proba")
    assert not hasattr(ensemble, "predict_logits")
    assert not hasattr(classifier(), "decision_function")
    fit_quietly(ensemble, X, y)
    scores = ensemble.decision_function(X)
    np.testing.assert_allclose(scores, mean_of_members(ensemble, "decision_function", X))
    codes = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
    np.testing.assert_array_equal(ensemble.predict(X), ensemble.classes_[codes])


def test_default_estimator():
    X, y = iris()
    ensemble = fit_quietly(WeightSharingClassifier(n_estimators=2), X, y)
    assert ensemble.estimator is None
    member = ensemble.estimators_[0]
    assert type(member) is TorchMLPClassifier
    assert member.get_params() == TorchMLPClassifier().get_params()
    other = fit_quietly(WeightSharingRegressor(n_estimators=2), X, X[:, 0])
    assert type(other.estimators_[0]) is TorchMLPRegressor


def test_fitted_attributes():
    X, y = iris()
    frame = pd.DataFrame(X, columns=list("abcd"))
    ensemble = fit_quietly(classifier(**STOPPING, scoring="loss"), frame, y)
    assert list(ensemble.feature_names_in_) == list("abcd")
    assert ensemble.n_features_in_ == 4
    assert list(ensemble.classes_) == [0, 1, 2]
    assert ensemble.n_iter_ == len(ensemble.loss_curve_) == len(ensemble.validation_scores_)
    assert ensemble.best_validation_score_ == max(ensemble.validation_scores_)
    np.testing.assert_array_equal(
        ensemble.validation_scores_, np.negative(ensemble.validation_loss_curve_)
    )
    assert ensemble.best_loss_ is None
    assert ensemble.n_outputs_ == 3
    assert not hasattr(ensemble, "coefs_")
    for member in ensemble.estimators_:
        assert list(member.feature_names_in_) == list("abcd")
        assert member.loss_curve_ == ensemble.loss_curve_
        assert member.loss_curve_ is not ensemble.loss_curve_
        assert len(member.history_) == ensemble.n_iter_
    assert NetworkDisplay.from_estimator(ensemble.estimators_[1]) is not None
    assert LossCurveDisplay.from_estimator(ensemble.estimators_[1]) is not None


def test_second_fit_replaces_the_attributes():
    X, y = iris()
    ensemble = fit_quietly(classifier(), pd.DataFrame(X, columns=list("abcd")), y)
    fit_quietly(ensemble.set_params(n_estimators=2), X[:, :3], y > 0)
    assert not hasattr(ensemble, "feature_names_in_")
    assert ensemble.n_features_in_ == 3
    assert list(ensemble.classes_) == [False, True]
    assert len(ensemble.estimators_) == 2
    assert ensemble.predict_proba(X[:, :3]).shape == (len(X), 2)


def test_loss_of_the_initial_weights_is_the_mean_over_the_members():
    ensemble, X, y = ensemble_of(
        "multiclass", alpha=0, learning_rate_init=1e-30, batch_size=250, max_iter=1
    )
    fit_quietly(ensemble, X, y)
    losses = [log_loss(y, member.predict_proba(X)) for member in ensemble.estimators_]
    np.testing.assert_allclose(ensemble.loss_, np.mean(losses))


def mean_error(estimator, X, y):
    return -mean_absolute_error(y, estimator.predict(X))


SCORES = [
    ("multiclass", None, lambda model, X, y: model.score(X, y)),
    ("multilabel", None, lambda model, X, y: model.score(X, y)),
    ("binary", "loss", lambda model, X, y: -log_loss(y, model.predict_proba(X))),
    ("multiclass", "neg_log_loss", lambda model, X, y: -log_loss(y, model.predict_proba(X))),
    ("multioutput", None, lambda model, X, y: model.score(X, y)),
    ("regression", "loss", lambda model, X, y: -np.mean((y - model.predict(X)) ** 2) / 2),
    ("regression", mean_error, mean_error),
]


@pytest.mark.parametrize(("task", "scoring", "score"), SCORES)
def test_early_stopping_uses_the_score_of_the_mean_prediction(task, scoring, score):
    ensemble, X, y = ensemble_of(task, **STOPPING, scoring=scoring, alpha=0)
    X, X_val, y, y_val = X[:120], X[120:], y[:120], y[120:]
    fit_quietly(ensemble, X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_allclose(ensemble.best_validation_score_, score(ensemble, X_val, y_val))
    assert ensemble.best_validation_score_ == max(ensemble.validation_scores_)


def test_early_stopping_scores_the_predicted_quantiles():
    ensemble, X, y = ensemble_of("regression", **STOPPING, **CROSSING_QUANTILES)
    X, X_val, y, y_val = X[:150], X[150:], y[:150], y[150:]
    fit_quietly(ensemble, X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_allclose(ensemble.best_validation_score_, ensemble.score(X_val, y_val))


def test_early_stopping_ends_all_members_once():
    ensemble, X, y = ensemble_of("multiclass", **{**STOPPING, "max_iter": 500})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ensemble.fit(X, y)
    scores = ensemble.validation_scores_
    assert np.argmax(scores) <= len(scores) - 4
    assert {member.n_iter_ for member in ensemble.estimators_} == {ensemble.n_iter_}


def test_warnings_are_issued_once_at_the_line_of_the_call():
    ensemble, X, y = ensemble_of("regression", scoring="r2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ensemble.fit(X, y)
    assert [w.category for w in caught] == [UserWarning, ConvergenceWarning]
    assert {w.filename for w in caught} == {__file__}


def test_verbose_prints_a_line_per_epoch(capsys):
    ensemble, X, y = ensemble_of("regression", verbose=True, max_iter=3)
    fit_quietly(ensemble, X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"Iteration {i}, loss = {v:.8f}" for i, v in enumerate(ensemble.loss_curve_, 1)
    ]


def test_time_limit():
    ensemble, X, y = ensemble_of("regression", time_limit=1e-6, max_iter=1000)
    with pytest.warns(ConvergenceWarning, match="time_limit=1e-06 seconds reached in epoch 1"):
        ensemble.fit(X, y)
    assert ensemble.n_iter_ == 1


def test_interrupt_leaves_a_fitted_ensemble(monkeypatch):
    def interrupt(estimator, X, y):
        raise KeyboardInterrupt

    ensemble, X, y = ensemble_of("regression", **STOPPING, scoring=interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        ensemble.fit(X, y)
    assert ensemble.predict(X).shape == y.shape


def test_divergence_raises_and_leaves_the_ensemble_unchanged():
    ensemble, X, y = ensemble_of("regression", solver="sgd", learning_rate_init=1e6)
    before = dict(vars(ensemble))
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        ensemble.fit(X, y)
    assert vars(ensemble) == before


def test_divergence_with_early_stopping_keeps_the_best_weights():
    ensemble, X, y = ensemble_of("regression", solver="sgd", early_stopping=True)
    ensemble.estimator.learning_rate_init = 1e6
    with pytest.warns(ConvergenceWarning) as caught:
        ensemble.fit(X, y)
    assert sum("Training diverged" in str(w.message) for w in caught) == 1
    assert np.isfinite(ensemble.predict(X)).all()


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "quantile"])
def test_normalize_y(loss):
    _, X, y, _ = TASKS["poisson"]
    parameters = {"loss": loss, "learning_rate_init": 0.01, "max_iter": 5}
    ensemble = fit_quietly(regressor(**parameters, normalize_y=True), X, 1e4 * (y + 1))
    expected = mean_of_members(ensemble, "predict", X)
    np.testing.assert_allclose(ensemble.predict(X), expected, rtol=1e-9)
    scaled = (y - y.mean()) / y.std() if loss != "poisson" else (y + 1) / (y + 1).mean()
    reference = fit_quietly(regressor(**parameters), X, scaled).predict(X)
    restored = (
        reference * y.std() + y.mean() + 1 if loss != "poisson" else reference * (y + 1).mean()
    )
    np.testing.assert_allclose(ensemble.predict(X), 1e4 * restored, rtol=1e-9)


def test_sample_weight_and_class_weight():
    _, X, y, _ = TASKS["multiclass"]
    weight = some_weights(len(X))
    kept = weight > 0
    parameters = {"batch_size": 250, "max_iter": 5}
    weighted = fit_quietly(classifier(**parameters), X, y, weight)
    without = classifier(**{**parameters, "batch_size": "auto"})
    fit_quietly(without, X[kept], y[kept], weight[kept])
    np.testing.assert_allclose(weighted.predict_proba(X), without.predict_proba(X), rtol=1e-6)
    balanced = fit_quietly(classifier(**parameters, class_weight={0: 0.0}), X, y)
    assert balanced.predict_proba(X)[:, 0].mean() < weighted.predict_proba(X)[:, 0].mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_X(dtype):
    ensemble, X, y = ensemble_of("multiclass")
    fit_quietly(ensemble, X.astype(dtype), y)
    assert ensemble.estimators_[0].coefs_[0].dtype == dtype
    assert ensemble.predict_proba(X.astype(dtype)).dtype == dtype


def test_same_seed_gives_the_same_ensemble():
    ensemble, X, y = ensemble_of("multiclass", dropout=0.2)
    first = fit_quietly(ensemble, X, y).predict_proba(X)
    assert (fit_quietly(clone(ensemble), X, y).predict_proba(X) == first).all()
    ensemble.estimator.random_state = 1
    assert (fit_quietly(ensemble, X, y).predict_proba(X) != first).any()


def test_pickle():
    ensemble, X, y = ensemble_of("multiclass")
    fit_quietly(ensemble, X, y)
    copied = pickle.loads(pickle.dumps(ensemble))
    np.testing.assert_array_equal(copied.predict_proba(X), ensemble.predict_proba(X))


def test_grid_search_over_a_parameter_of_the_estimator():
    X, y = iris()
    search = GridSearchCV(classifier(), {"estimator__alpha": [0.1, 1.0], "n_estimators": [2]}, cv=2)
    fit_quietly(search, X, y)
    assert len(search.best_estimator_.estimators_) == 2
    assert search.best_estimator_.estimators_[0].alpha == search.best_params_["estimator__alpha"]


@pytest.mark.parametrize("parameters", [{}, STOPPING], ids=["plain", "early stopping"])
def test_joblib_backend_gives_the_same_scores(parameters):
    ensemble, X, y = ensemble_of("multiclass", dropout=0.1, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected = cross_val_score(ensemble, X, y, cv=5, scoring="neg_log_loss")
        with parallel_config(backend="torchmlp"):
            scores = cross_val_score(ensemble, X, y, cv=5, scoring="neg_log_loss")
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@requires_sklearn("1.6", "transform_input")
def test_validation_data_in_a_pipeline():
    X, y = iris()
    X = 1e3 * X + 1e4
    rows = np.random.RandomState(0).permutation(len(X))
    X, X_val, y, y_val = X[rows[:100]], X[rows[100:]], y[rows[:100]], y[rows[100:]]
    with config_context(enable_metadata_routing=True):
        ensemble = classifier(**STOPPING).set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("mlp", ensemble)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        fit_quietly(pipeline, X, y, X_val=X_val, y_val=y_val)
    assert pipeline["mlp"].best_validation_score_ == pipeline.score(X_val, y_val)


def test_html_representation():
    page = make_pipeline(StandardScaler(), classifier())._repr_html_()
    assert "WeightSharingClassifier" in page
    assert "TorchMLPClassifier" in page
    assert "/api/generated/torchmlp.ensemble.WeightSharingClassifier.html" in page


def test_arrays_of_torch():
    X, y = iris()
    expected = fit_quietly(classifier(), X, y).predict(X)
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    with config_context(array_api_dispatch=True):
        predicted = fit_quietly(classifier(), *tensors).predict(tensors[0])
    assert isinstance(predicted, torch.Tensor)
    np.testing.assert_array_equal(predicted, expected)


@pytest.mark.parametrize("name", CASES)
def test_to_torch(name):
    ensemble, X = case(name, dropout=0.1)
    method = "predict_proba" if hasattr(ensemble, "predict_proba") else "predict"
    output = ensemble.to_torch()(torch.from_numpy(X)).detach()
    np.testing.assert_allclose(output, getattr(ensemble, method)(X), rtol=1e-9)
