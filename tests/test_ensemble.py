"""Tests for torchmlp.ensemble."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from helpers import TASKS, fit_quietly, iris, requires_sklearn, some_weights
from joblib import parallel_config
from onnxruntime import InferenceSession
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import EpochScoring
from test_conformance import ALWAYS_EXPECTED, STRICT

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor
from torchmlp.export import to_onnx
from torchmlp.inspection import LossCurveDisplay, NetworkDisplay
from torchmlp.preprocessing import PiecewiseLinearEncoder

SETTINGS = {"hidden_layer_sizes": (9, 7), "max_iter": 8, "random_state": 0}
STOPPING = {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.05}


def classifier(k=3, **parameters):
    return WeightSharingClassifier(TorchMLPClassifier(**{**SETTINGS, **parameters}), k)


def regressor(k=3, **parameters):
    return WeightSharingRegressor(TorchMLPRegressor(**{**SETTINGS, **parameters}), k)


def ensemble_of(task, **parameters):
    (_, network), X, y, needed = TASKS[task]
    make = classifier if network is TorchMLPClassifier else regressor
    return make(**needed, **parameters), X, y


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


@pytest.mark.parametrize(
    "parameters",
    [{"loss": "gaussian"}, {"loss": "quantile", "quantile": [0.9, 0.1, 0.5]}],
    ids=lambda parameters: parameters["loss"],
)
def test_losses_with_several_outputs_per_target(parameters):
    ensemble, X, y = ensemble_of("regression", normalize_y=True, **parameters)
    fit_quietly(ensemble, X, y)
    expected = mean_of_members(ensemble, "predict", X)
    np.testing.assert_allclose(ensemble.predict(X), expected, rtol=1e-9)
    module = ensemble.to_torch()
    np.testing.assert_allclose(module(torch.tensor(X)).detach(), expected, rtol=1e-9)
    session = InferenceSession(to_onnx(ensemble, X).SerializeToString())
    (predicted,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(predicted.reshape(expected.shape), expected, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_loss_without_probabilities(task):
    ensemble, X, y = ensemble_of(task, loss="hinge")
    assert not hasattr(ensemble, "predict_proba")
    assert not hasattr(ensemble, "predict_log_proba")
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
    assert len(WeightSharingRegressor(n_estimators=2).fit(X, X[:, 0]).estimators_) == 2


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


@pytest.mark.parametrize("task", TASKS)
def test_to_torch(task):
    ensemble, X, y = ensemble_of(task, dropout=0.1)
    fit_quietly(ensemble, X, y)
    method = "predict_proba" if hasattr(ensemble, "predict_proba") else "predict"
    output = ensemble.to_torch()(torch.from_numpy(X)).detach()
    np.testing.assert_allclose(output, getattr(ensemble, method)(X), rtol=1e-9)


def onnx_outputs(model, X):
    graph = to_onnx(model, X).SerializeToString()
    session = InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", TASKS)
def test_to_onnx(task, dtype):
    ensemble, X, y = ensemble_of(task)
    fit_quietly(ensemble, X, y)
    X = X.astype(dtype)
    outputs = onnx_outputs(ensemble, X)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-9}
    if isinstance(ensemble, WeightSharingRegressor):
        expected = ensemble.predict(X).reshape(len(X), -1)
        np.testing.assert_allclose(outputs[0], expected, **tolerance)
    else:
        np.testing.assert_array_equal(outputs[0], ensemble.predict(X))
        np.testing.assert_allclose(outputs[1], ensemble.predict_proba(X), **tolerance)
    assert outputs[-1].dtype == dtype


def test_to_onnx_without_probabilities():
    ensemble, X, y = ensemble_of("binary", loss="hinge")
    label, scores = onnx_outputs(fit_quietly(ensemble, X, y), X)
    np.testing.assert_array_equal(label, ensemble.predict(X))
    np.testing.assert_allclose(scores[:, 1], ensemble.decision_function(X), rtol=1e-9)


def test_pipeline_with_encoder_to_onnx():
    X, y = make_regression(200, 4, random_state=0)
    model = make_pipeline(PiecewiseLinearEncoder(min_samples_leaf=10), regressor(normalize_y=True))
    fit_quietly(model, X, y)
    (values,) = onnx_outputs(model, X)
    np.testing.assert_allclose(values.ravel(), model.predict(X), rtol=1e-3, atol=1e-2)


UNSUPPORTED = [
    ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes=\(\) .* Use at least one hidden layer"),
    ({"solver": "lbfgs"}, "solver='lbfgs' .* Use 'adam' or 'adamw' or 'sgd'"),
    ({"solver": torch.optim.Adam}, "solver=.*Adam.* Use 'adam'"),
    ({"activation": torch.sin}, "activation=.*sin.* Use the name of an activation"),
    ({"activation": ["relu", torch.sin]}, "activation=.*sin.* Use the name of an activation"),
    ({"loss": lambda raw, y: (raw - y).square().sum(1)}, "loss=.* Use the name of a loss"),
    ({"warm_start": True}, "warm_start=True .* Set it to False"),
    ({"callbacks": [EpochScoring("r2")]}, "callbacks=.* Set it to None"),
    ({"dtype": "bfloat16"}, "dtype='bfloat16' .* Use 'float32'"),
]


@pytest.mark.parametrize(("parameters", "message"), UNSUPPORTED, ids=lambda value: str(value)[:20])
def test_unsupported_parameters_of_the_estimator_raise(parameters, message):
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=f"(?s)WeightSharingRegressor does not support {message}"):
        regressor(**parameters).fit(X, y)


@requires_sklearn("1.9", "callbacks")
def test_callbacks_of_scikit_learn_raise():
    from sklearn.callback import ScoringMonitor

    _, X, y, _ = TASKS["regression"]
    ensemble = regressor()
    ensemble.estimator.set_callbacks(ScoringMonitor(scoring="r2"))
    with pytest.raises(ValueError, match="does not support set_callbacks of its estimator"):
        ensemble.fit(X, y)


def test_sparse_X_raises():
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match=r"does not support a sparse X or X_val.*toarray"):
        regressor().fit(sp.csr_matrix(X), y)
    with pytest.raises(ValueError, match=r"does not support a sparse X or X_val.*toarray"):
        regressor().fit(X, y, X_val=sp.csr_matrix(X), y_val=y)


def test_invalid_arguments_raise():
    _, X, y, _ = TASKS["regression"]
    with pytest.raises(ValueError, match="'estimator' parameter of WeightSharingRegressor"):
        WeightSharingRegressor(TorchMLPClassifier()).fit(X, y)
    with pytest.raises(ValueError, match=r"'n_estimators' parameter .* Got 0"):
        regressor(0).fit(X, y)
    with pytest.raises(ValueError, match="'alpha' parameter of TorchMLPRegressor"):
        regressor(alpha=-1).fit(X, y)
    with pytest.raises(ValueError, match="X_val was passed without y_val"):
        regressor().fit(X, y, X_val=X)
    with pytest.raises(NotFittedError):
        regressor().predict(X)
    with pytest.raises(NotFittedError):
        regressor().to_torch()
