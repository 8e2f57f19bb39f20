"""Tests for callable losses of the classifier."""

import functools
import pickle

import numpy as np
import pytest
import torch
from helpers import (
    TASKS,
    assert_identical,
    assert_same_weights,
    fit_quietly,
    focal_loss,
    some_weights,
)
from joblib import parallel_config
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from torchmlp import TorchMLPClassifier

KINDS = ("binary", "multiclass", "multilabel")
every_kind = pytest.mark.parametrize("kind", KINDS)


log_loss = functools.partial(focal_loss, gamma=0.0)


def classifier(loss=focal_loss, **parameters):
    return TorchMLPClassifier((10,), loss=loss, **{"random_state": 0, "max_iter": 10, **parameters})


def _data(kind):
    _, X, y, _ = TASKS[kind]
    return X, y


@every_kind
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_focal_loss_with_gamma_0_is_the_log_loss(kind, solver, weighted):
    X, y = _data(kind)
    weights = some_weights(len(y)) if weighted else None
    own = fit_quietly(classifier(log_loss, solver=solver), X, y, weights)
    built_in = fit_quietly(classifier("log_loss", solver=solver), X, y, weights)
    assert_same_weights(own, built_in, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(own.loss_curve_, built_in.loss_curve_, rtol=1e-9)
    assert own.out_activation_ == built_in.out_activation_
    np.testing.assert_array_equal(own.predict(X), built_in.predict(X))
    for method in ("predict_proba", "predict_logits"):
        expected, got = (getattr(model, method)(X) for model in (built_in, own))
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)
    assert not hasattr(own, "decision_function")
    assert own.score(X, y) == built_in.score(X, y)


@every_kind
def test_probabilities_are_softmax_or_sigmoid(kind):
    X, y = _data(kind)
    model = fit_quietly(classifier(), X, y)
    logits, probabilities = model.predict_logits(X), model.predict_proba(X)
    if kind == "multiclass":
        np.testing.assert_allclose(probabilities, softmax(logits, axis=1), rtol=1e-12)
    elif kind == "multilabel":
        np.testing.assert_allclose(probabilities, expit(logits), rtol=1e-12)
    else:
        np.testing.assert_allclose(probabilities[:, 1], expit(logits), rtol=1e-12)


@every_kind
def test_targets_have_the_documented_shape_and_dtype(kind):
    X, y = _data(kind)
    seen = []

    def loss(raw, y):
        seen.append((raw.dtype, y.dtype, raw.shape, y.shape, y.min().item(), y.max().item()))
        return focal_loss(raw, y)

    model = fit_quietly(classifier(loss, batch_size=100, early_stopping=True), X, y)
    for raw_dtype, y_dtype, raw_shape, y_shape, low, high in seen:
        assert raw_dtype == torch.float64
        assert raw_shape[1] == model.n_outputs_
        if kind == "multiclass":
            assert y_dtype == torch.int64
            assert y_shape == raw_shape[:1]
            assert 0 <= low <= high < 10
        else:
            assert y_dtype == raw_dtype
            assert y_shape == raw_shape
            assert 0 <= low <= high <= 1


@every_kind
def test_sample_weights_multiply_the_loss(kind):
    X, y = _data(kind)
    counts = np.random.RandomState(0).randint(0, 3, len(y))
    model = classifier(solver="lbfgs", tol=0.0, max_iter=20)
    weighted = fit_quietly(clone(model), X, y, counts)
    repeated = fit_quietly(clone(model), X.repeat(counts, axis=0), y.repeat(counts, axis=0))
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-6)


def test_class_weights_multiply_the_loss():
    X, y = _data("binary")
    class_weight = {"benign": 1.0, "malign": 3.0}
    by_class = fit_quietly(classifier(class_weight=class_weight), X, y)
    by_sample = fit_quietly(classifier(), X, y, np.where(y == "malign", 3.0, 1.0))
    assert_identical(by_class, by_sample)


def test_losses_of_torch_as_modules():
    X, y = _data("multiclass")
    model = fit_quietly(classifier(torch.nn.CrossEntropyLoss(reduction="none")), X, y)
    assert_same_weights(model, fit_quietly(classifier("log_loss"), X, y), atol=1e-11)


@every_kind
def test_validation_loss(kind):
    X, y = _data(kind)
    model = fit_quietly(classifier(), X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    built_in = fit_quietly(classifier("log_loss"), X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    own = fit_quietly(classifier(log_loss), X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    np.testing.assert_allclose(own.validation_loss_curve_, built_in.validation_loss_curve_)
    assert model.validation_loss_curve_ != built_in.validation_loss_curve_


@every_kind
def test_partial_fit_and_warm_start(kind):
    X, y = _data(kind)
    classes = range(y.shape[1]) if kind == "multilabel" else np.unique(y)
    whole = fit_quietly(classifier(max_iter=4), X, y)
    stepwise = classifier()
    for _ in range(4):
        stepwise.partial_fit(X, y, classes=classes)
    assert_identical(whole, stepwise)
    warm = fit_quietly(classifier(warm_start=True), X, y)
    first = warm.loss_
    assert fit_quietly(warm, X, y).loss_ < first


@every_kind
def test_to_torch_and_pickle(kind):
    X, y = _data(kind)
    model = pickle.loads(pickle.dumps(fit_quietly(classifier(), X, y)))
    outputs = model.to_torch()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(outputs, model.predict_proba(X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"loss=<function focal_loss.*no counterpart.*to_torch"):
        model.to_sklearn()


@every_kind
def test_onnx(kind):
    onnxruntime = pytest.importorskip("onnxruntime")
    from torchmlp.export import to_onnx

    X, y = _data(kind)
    model = fit_quietly(classifier(), X, y)
    session = onnxruntime.InferenceSession(to_onnx(model, X).SerializeToString())
    probabilities = session.run(["probabilities"], {"X": X})[0]
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=1e-6)


def test_searches_with_and_without_the_backend():
    X, y = _data("multiclass")
    grid = {"loss": [focal_loss, log_loss, "log_loss", "hinge"], "alpha": [0.1, 1.0]}
    search = GridSearchCV(classifier(max_iter=3), grid, cv=2)
    expected = fit_quietly(clone(search), X, y).cv_results_["mean_test_score"]
    with parallel_config(backend="torchmlp"):
        got = fit_quietly(clone(search), X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(got, expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scorers_of_probabilities():
    X, y = _data("binary")
    scores = cross_val_score(classifier(max_iter=30), X, y, scoring="neg_log_loss", cv=3)
    assert (scores > -0.7).all()
    model = classifier(early_stopping=True, scoring="neg_log_loss", max_iter=20)
    assert len(fit_quietly(model, X, y).validation_scores_) > 3


INVALID = {
    "mean over the batch": (
        lambda raw, y: focal_loss(raw, y).mean(),
        r"must return one loss per sample, a tensor of shape \(200,\), got \(\)",
    ),
    "number": (lambda raw, y: 1.0, r"must return one loss per sample.*got float"),
    "not finite": (lambda raw, y: focal_loss(raw, y) * torch.nan, "value of loss=.*is not finite"),
    "constant": (lambda raw, y: (raw * 0).sum(1), "does not depend on the raw outputs"),
    "detached": (lambda raw, y: focal_loss(raw.detach(), y), "could not be differentiated"),
    "failing": (lambda raw, y: raw @ raw, "could not be computed.*It is called with two tensors"),
}


@every_kind
@pytest.mark.parametrize("problem", INVALID)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_unsuitable_losses_raise(problem, kind, solver):
    loss, message = INVALID[problem]
    message = message.replace("200", "250") if solver == "lbfgs" else message
    X, y = _data(kind)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        classifier(loss, solver=solver).fit(X, y)


def test_losses_that_pair_all_rows_raise():
    X, y = _data("binary")
    with pytest.raises(ValueError, match="compares the output of each sample with the targets of"):
        classifier(lambda raw, y: (raw[:, 0] - y).square().mean(1)).fit(X, y)


def test_losses_that_are_not_finite_for_other_outputs_are_named():
    def loss(raw, y):  # finite in the first batch
        return (torch.log(raw[:, 0] + 3) + 5).square() + 0 * y

    X, y = _data("multiclass")
    model = classifier(loss, learning_rate_init=0.1, max_iter=100)
    with pytest.raises(ValueError, match=r"The value of loss=.* is not finite for \d+ of .*finite"):
        fit_quietly(model, X, y)


def test_focal_loss_of_one_class():
    X, _ = _data("binary")
    model = fit_quietly(classifier(), X, np.full(len(X), "a"))
    assert (model.predict(X) == "a").all()


def test_unknown_names_of_losses_raise():
    X, y = _data("binary")
    message = r"'loss' parameter of TorchMLPClassifier must be .* or a callable. Got 'focal'"
    with pytest.raises(ValueError, match=message):
        classifier("focal").fit(X, y)
