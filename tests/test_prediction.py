"""Tests for torchmlp.prediction."""

import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import OURS, TASKS, fit_quietly, iris
from scipy.special import expit, softmax
from sklearn.exceptions import NotFittedError

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_logits_equal_the_network_in_numpy(task):
    (_, ours), X, y, _ = TASKS[task]
    mlp = fit_quietly(ours((8, 5), "tanh", random_state=0, max_iter=10), X, y)
    values = X
    for w, b in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        values = np.tanh(values @ w + b)
    raw = values @ mlp.coefs_[-1] + mlp.intercepts_[-1]
    scores = mlp.predict_logits(X)
    np.testing.assert_allclose(scores, raw.ravel() if task == "binary" else raw, rtol=1e-10)
    if task == "multiclass":
        np.testing.assert_allclose(mlp.predict_proba(X), softmax(raw, axis=1), rtol=1e-10)
        np.testing.assert_array_equal(mlp.predict(X), mlp.classes_[scores.argmax(axis=1)])
    else:
        probability = mlp.predict_proba(X)[:, -raw.shape[1] :]
        np.testing.assert_allclose(probability, expit(raw), rtol=1e-10)


def test_predictions_use_coefs_and_intercepts():
    mlp = fit_quietly(TorchMLPClassifier((8, 5), random_state=0, max_iter=10), X, y)
    assert type(mlp.coefs_) is list
    assert all(type(w) is np.ndarray for w in mlp.coefs_ + mlp.intercepts_)
    before = mlp.predict_proba(X)
    kept = mlp.coefs_[1].copy()
    mlp.coefs_[1][:] = 0.0
    np.testing.assert_allclose(mlp.predict_proba(X), mlp.predict_proba(X[:1]).repeat(150, axis=0))
    mlp.coefs_[1] = kept
    np.testing.assert_array_equal(mlp.predict_proba(X), before)
    mlp.intercepts_[2][1] += 100.0
    assert (mlp.predict(X) == 1).all()


def test_binary_probability_is_the_sigmoid_of_the_logit():
    mlp = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=5), X, y > 0)
    logits = mlp.predict_logits(X)
    np.testing.assert_allclose(mlp.predict_proba(X)[:, 1], expit(logits))
    assert logits.shape == (150,)


@pytest.mark.parametrize("loss", ["hinge", "perceptron"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_margin_losses_have_decisions_and_no_probabilities(task, loss):
    _, X, y, _ = TASKS[task]
    mlp = TorchMLPClassifier(loss=loss, random_state=0, max_iter=80, learning_rate_init=0.01)
    fit_quietly(mlp, X, y)
    assert mlp.out_activation_ == "identity"
    assert mlp.score(X, y) > (0.7 if task == "multilabel" else 0.95)
    scores = mlp.decision_function(X)
    if task == "multiclass":
        np.testing.assert_array_equal(mlp.predict(X), mlp.classes_[scores.argmax(axis=1)])
    elif task == "binary":
        np.testing.assert_array_equal(mlp.predict(X), mlp.classes_[(scores > 0).astype(int)])
    for method in ("predict_proba", "predict_log_proba", "predict_logits"):
        assert not hasattr(mlp, method)
        with pytest.raises(AttributeError) as info:
            getattr(mlp, method)
        expected = f"loss='{loss}' has no probabilities. Use decision_function, loss='log_loss'"
        assert expected in str(info.value.__cause__)


def test_log_loss_has_probabilities_and_no_decisions():
    mlp = TorchMLPClassifier()
    assert hasattr(mlp, "predict_proba")
    assert hasattr(mlp, "predict_logits")
    assert not hasattr(mlp, "decision_function")
    with pytest.raises(AttributeError) as info:
        mlp.decision_function([[0.0]])
    message = str(info.value.__cause__)
    assert "decision_function is not available with loss='log_loss'" in message
    assert "predict_logits for the raw outputs" in message


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_hidden_activations(container):
    model = TorchMLPClassifier((8, 5), ["gelu", "tanh"], random_state=0, max_iter=3)
    first, second = fit_quietly(model, X, y).hidden_activations(container(X))
    z = torch.from_numpy(X @ model.coefs_[0] + model.intercepts_[0])
    np.testing.assert_allclose(first, torch.nn.functional.gelu(z).numpy(), rtol=1e-10, atol=1e-14)
    by_hand = np.tanh(first @ model.coefs_[1] + model.intercepts_[1])
    np.testing.assert_allclose(second, by_hand, rtol=1e-10)
    scores = second @ model.coefs_[2] + model.intercepts_[2]
    np.testing.assert_allclose(model.predict_logits(X), scores, rtol=1e-9, atol=1e-13)


def test_linear_model_has_no_hidden_activations():
    model = fit_quietly(TorchMLPRegressor(hidden_layer_sizes=(), random_state=0, max_iter=2), X, y)
    assert model.hidden_activations(X) == []
    with pytest.raises(ValueError, match="X has 2 features"):
        model.hidden_activations(X[:, :2])


def test_two_threads_predict_with_one_model():
    (_, ours), X, y, _ = TASKS["multiclass"]
    model = fit_quietly(ours(random_state=0, max_iter=5), X, y)
    expected, wrong = model.predict_proba(X), []

    def predict():
        for _ in range(50):
            if not np.array_equal(model.predict_proba(X), expected):
                wrong.append(1)

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("estimator", OURS)
def test_invalid_data_raise(estimator):
    mlp = fit_quietly(estimator(random_state=0, max_iter=2), X, y)
    with pytest.raises(ValueError, match=r"X has 3 features, but Torch.* is expecting 4 features"):
        mlp.predict(X[:, :3])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        mlp.predict(np.where(X > 2, np.nan, X))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        mlp.predict(X[:0])


@pytest.mark.parametrize("estimator", OURS)
def test_unfitted_estimator_raises(estimator):
    methods = ["predict", "predict_proba", "predict_log_proba", "predict_logits"]
    for method in methods:
        if hasattr(estimator(), method):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                getattr(estimator(), method)(X)


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, y[1:]), r"y: .*inconsistent numbers of samples: \[150, 149\]"),
        ((X, None), r"\by\b"),
        ((X, y, np.ones(149)), r"sample_weight.shape == \(149,\), expected \(150,\)"),
        ((X, y, np.zeros(150)), "Got sample_weight with 150 zeros"),
        ((X, y, np.array(["a"] * 150)), "sample_weight cannot be used"),
    ],
)
def test_invalid_arguments_of_score_raise(estimator, arguments, message):
    mlp = fit_quietly(estimator(random_state=0, max_iter=2), X, y)
    with pytest.raises((TypeError, ValueError), match=message):
        mlp.score(*arguments)
