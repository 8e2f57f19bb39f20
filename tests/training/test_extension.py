"""A new activation, loss, solver or schedule is one entry of one table."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers import fit_quietly, iris
from torch import nn

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS, Activation, Apply
from torchmlp.training.loss_function import Loss
from torchmlp.training.losses import BINARY_LOSSES, MULTICLASS_LOSSES, REGRESSOR_LOSSES
from torchmlp.training.schedules import SCHEDULES, Schedule
from torchmlp.training.solvers import SOLVERS, Solver

X, y = iris()


def _square_backward(delta, z):
    delta.mul_(z).mul_(2.0)


SQUARE = Activation(
    forward=lambda z, out: [partial(torch.square, z, out=out)],
    backward=lambda delta, z: [partial(_square_backward, delta, z)],
    module=partial(Apply, torch.square),
    onnx=lambda graph, z: graph("Mul", z, z),
    needs_input=True,
)


def test_activation(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "square", SQUARE)
    mlp = TorchMLPClassifier((5,), activation="square", random_state=0, max_iter=20)
    fit_quietly(mlp, X, y)
    by_autograd = TorchMLPClassifier((5,), activation=torch.square, random_state=0, max_iter=20)
    fit_quietly(by_autograd, X, y)
    np.testing.assert_allclose(mlp.coefs_[0], by_autograd.coefs_[0], rtol=1e-10)
    probabilities = mlp.predict_proba(X)
    with torch.no_grad():
        np.testing.assert_allclose(mlp.to_torch()(torch.from_numpy(X)), probabilities, rtol=1e-10)


def test_activation_in_onnx(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    from torchmlp.export import to_onnx

    monkeypatch.setitem(ACTIVATIONS, "square", SQUARE)
    mlp = fit_quietly(TorchMLPRegressor("poisson", (5,), "square", max_iter=5), X, y)
    session = onnxruntime.InferenceSession(to_onnx(mlp, X).SerializeToString())
    (values,) = session.run(None, {"X": X})
    np.testing.assert_allclose(values.ravel(), mlp.predict(X), rtol=1e-6)


def test_activation_without_onnx_operators(monkeypatch):
    pytest.importorskip("skl2onnx")
    from torchmlp.export import to_onnx

    without = Activation(SQUARE.forward, SQUARE.backward, nn.Identity, needs_input=True)
    monkeypatch.setitem(ACTIVATIONS, "square", without)
    mlp = fit_quietly(TorchMLPRegressor("poisson", (5,), "square", max_iter=5), X, y)
    with pytest.raises(ValueError, match="activation='square' has no counterpart in ONNX"):
        to_onnx(mlp, X)


def _fourth_power(outputs, targets):
    return (outputs - targets).pow(4).sum(-1)


def _fourth_power_gradient(outputs, targets, out):
    return [lambda: out.copy_(4 * (outputs - targets).pow(3))]


def test_regression_loss(monkeypatch):
    loss = Loss("identity", _fourth_power, _fourth_power_gradient)
    monkeypatch.setitem(REGRESSOR_LOSSES, "fourth_power", loss)
    mlp = fit_quietly(TorchMLPRegressor("fourth_power", (5,), random_state=0, max_iter=20), X, y)
    by_autograd = TorchMLPRegressor(_fourth_power, (5,), random_state=0, max_iter=20)
    fit_quietly(by_autograd, X, y)
    np.testing.assert_allclose(mlp.coefs_[0], by_autograd.coefs_[0], rtol=1e-9)
    assert mlp.predict(X).shape == (150,)
    assert mlp.to_torch()(torch.from_numpy(X)).shape == (150,)


def test_classification_loss(monkeypatch):
    # The cross-entropy under another name.
    monkeypatch.setitem(BINARY_LOSSES, "entropy", BINARY_LOSSES["log_loss"])
    monkeypatch.setitem(MULTICLASS_LOSSES, "entropy", MULTICLASS_LOSSES["log_loss"])
    for labels in (y, y > 0):
        mlp = TorchMLPClassifier((5,), loss="entropy", random_state=0, max_iter=5)
        expected = TorchMLPClassifier((5,), random_state=0, max_iter=5)
        probabilities = fit_quietly(mlp, X, labels).predict_proba(X)
        expected = fit_quietly(expected, X, labels).predict_proba(X)
        np.testing.assert_array_equal(probabilities, expected)
        assert mlp.to_torch()(torch.from_numpy(X)).shape == probabilities.shape


class GradientDescent(Solver):
    """Plain gradient descent."""

    name = "gd"

    def update(self, rate):
        self.weights.flat.sub_(self.gradient.flat, alpha=rate)

    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


def test_solver(monkeypatch):
    monkeypatch.setitem(SOLVERS, "gd", GradientDescent)
    parameters = dict(random_state=0, max_iter=5, learning_rate_init=0.1)
    mlp = fit_quietly(TorchMLPClassifier((5,), solver="gd", **parameters), X, y)
    expected = TorchMLPClassifier((5,), solver="sgd", momentum=0.0, **parameters)
    fit_quietly(expected, X, y)
    np.testing.assert_allclose(mlp.coefs_[0], expected.coefs_[0], rtol=1e-12)
    again = TorchMLPClassifier((5,), solver="gd", **parameters)
    for _ in range(5):
        again.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(again.coefs_[0], mlp.coefs_[0])


class Halving(Schedule):
    """Half of the rate after each epoch, to the end."""

    planned = True

    def epoch_ends(self, epoch, samples_seen):
        self.rate /= 2


def test_schedule(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "halving", Halving)
    mlp = TorchMLPClassifier((5,), learning_rate="halving", random_state=0, max_iter=3)
    fit_quietly(mlp, X, y)
    steps = TorchMLPClassifier((5,), random_state=0)
    for rate in (0.001, 0.0005, 0.00025):
        steps.set_params(learning_rate_init=rate)
        steps._saved_state = _with_rate(steps, rate)
        steps.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(mlp.coefs_[0], steps.coefs_[0], rtol=1e-12)


def _with_rate(mlp, rate):
    """Return the saved state of an estimator with another learning rate, if there is one."""
    saved = getattr(mlp, "_saved_state", None)
    if saved is not None:
        saved.rate = rate
    return saved
