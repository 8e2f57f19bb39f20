"""Tests for the parameter `label_smoothing` of the classifier."""

import functools

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, assert_same_weights, fit_quietly, some_weights
from joblib import parallel_config
from sklearn.model_selection import cross_validate
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from torchmlp import TorchMLPClassifier
from torchmlp.ensemble import WeightSharingClassifier

KINDS = ("binary", "multiclass", "multilabel")
every_kind = pytest.mark.parametrize("kind", KINDS)
SHARE = 0.1


def classifier(**parameters):
    defaults = dict(label_smoothing=SHARE, random_state=0, max_iter=10)
    return TorchMLPClassifier(**dict(hidden_layer_sizes=(10,)) | defaults | parameters)


def _data(kind):
    _, X, y, _ = TASKS[kind]
    return X, y


def _loss_of_torch(raw, y):
    """The definition of torch; for two classes, the same with the targets 0.05 and 0.95."""
    if y.ndim == 1:
        return cross_entropy(raw, y, label_smoothing=SHARE, reduction="none")
    smoothed = (1 - SHARE) * y + SHARE / 2
    return binary_cross_entropy_with_logits(raw, smoothed, reduction="none").sum(dim=1)


@every_kind
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_smoothed_loss_is_that_of_torch(kind, solver, weighted):
    X, y = _data(kind)
    weights = some_weights(len(y)) if weighted else None
    own = fit_quietly(classifier(solver=solver), X, y, weights)
    expected = classifier(solver=solver, loss=_loss_of_torch, label_smoothing=0.0)
    fit_quietly(expected, X, y, weights)
    assert_same_weights(own, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(own.loss_curve_, expected.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(own.predict_proba(X), expected.predict_proba(X), rtol=1e-8)
    assert own.out_activation_ == expected.out_activation_


def test_two_classes_have_the_loss_of_two_softmax_outputs():
    z, y = torch.tensor([[0.7], [-1.2]], dtype=torch.float64), torch.tensor([1, 0])
    both = torch.cat([torch.zeros_like(z), z], dim=1)
    expected = cross_entropy(both, y, label_smoothing=SHARE, reduction="none")
    binary = _loss_of_torch(z, y[:, None].double())
    torch.testing.assert_close(binary, expected)


def test_optimal_probabilities_are_the_smoothed_labels():
    X, y = np.eye(3), np.arange(3)
    mlp = classifier(hidden_layer_sizes=(), alpha=0.0, solver="lbfgs", max_iter=1000, tol=1e-12)
    p = fit_quietly(mlp, X, y).predict_proba(X)
    np.testing.assert_allclose(p, (1 - SHARE) * np.eye(3) + SHARE / 3, atol=1e-4)


@every_kind
def test_share_of_zero_is_the_log_loss(kind):
    X, y = _data(kind)
    plain = TorchMLPClassifier((10,), random_state=0, max_iter=10)
    assert_identical(fit_quietly(classifier(label_smoothing=0), X, y), fit_quietly(plain, X, y))


@pytest.mark.parametrize("share", [np.float32(0.25), np.float64(0.25)])
def test_numpy_scalars_are_converted(share):
    X, y = _data("multiclass")
    own = fit_quietly(classifier(label_smoothing=share), X, y)
    assert_identical(own, fit_quietly(classifier(label_smoothing=0.25), X, y))


@pytest.mark.parametrize("share", [-0.1, 1.0, np.nan, "0.1", None])
def test_invalid_shares_raise(share):
    with pytest.raises(ValueError, match="'label_smoothing' parameter of TorchMLPClassifier must"):
        classifier(label_smoothing=share).fit(*_data("binary"))


@pytest.mark.parametrize("loss", ["hinge", "perceptron", _loss_of_torch])
def test_other_losses_ignore_it_with_a_warning(loss):
    X, y = _data("binary")
    with pytest.warns(UserWarning, match=r"ignored: label_smoothing=0.1 with loss="):
        own = classifier(loss=loss, max_iter=1000, tol=1.0).fit(X, y)
    plain = classifier(loss=loss, max_iter=1000, tol=1.0, label_smoothing=0.0).fit(X, y)
    assert_identical(own, plain)


def test_the_warning_about_unlearned_targets_uses_the_smoothed_frequencies():
    # The loss of the best constant prediction, with weights of 0.
    X, y = np.zeros((90, 2)), np.repeat([0, 1, 2], [45, 30, 15])
    smoothed = (1 - SHARE) * np.array([45, 30, 15]) / 90 + SHARE / 3
    mlp = classifier(alpha=0.0, solver="lbfgs", max_iter=1000, tol=1e-12)
    loss = fit_quietly(mlp, X, y).loss_
    assert loss == pytest.approx(-(smoothed * np.log(smoothed)).sum(), rel=1e-6)
    constant = mlp._encoder.loss("log_loss", SHARE).constant_outputs
    np.testing.assert_allclose(constant(y[:, None], None)[0], smoothed)


@every_kind
def test_validation_loss_is_smoothed(kind):
    X, y = _data(kind)
    mlp = classifier(batch_size=len(X), shuffle=False, alpha=0.0)
    fit_quietly(mlp, X, y, X_val=X, y_val=y)
    # The validation loss of an epoch is the training loss of the next one.
    np.testing.assert_allclose(mlp.validation_loss_curve_[:-1], mlp.loss_curve_[1:], rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@every_kind
@pytest.mark.parametrize("early_stopping", [False, True])
def test_stacked_fits_equal_single_fits(kind, early_stopping):
    X, y = _data(kind)
    mlp = classifier(early_stopping=early_stopping, scoring="loss" if early_stopping else None)
    run = functools.partial(cross_validate, X=X, y=y, cv=4, return_estimator=True)
    expected = run(mlp)["estimator"]
    with parallel_config(backend="torchmlp"):
        stacked = run(mlp)["estimator"]
    for own, single in zip(stacked, expected, strict=True):
        assert_same_weights(own, single, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(own.loss_curve_, single.loss_curve_, rtol=1e-9)


def test_float32_and_bfloat16_follow_float64():
    X, y = _data("multiclass")
    reference = fit_quietly(classifier(), X, y)
    for dtype, rtol in (("float32", 1e-3), ("bfloat16", 1e-1)):
        mlp = fit_quietly(classifier(dtype=dtype), X.astype(np.float32), y)
        np.testing.assert_allclose(mlp.loss_curve_, reference.loss_curve_, rtol=rtol)


def test_members_that_share_weights_use_the_smoothed_loss():
    X, y = _data("multiclass")
    ensemble = fit_quietly(WeightSharingClassifier(classifier(), n_estimators=1), X, y)
    single = fit_quietly(classifier(), X, y)
    np.testing.assert_allclose(ensemble.loss_curve_, single.loss_curve_, rtol=1e-9)
