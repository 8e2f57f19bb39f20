"""Tests for torchmlp.export."""

import json

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_pair, fit_quietly, iris
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS

X, y = iris()


def test_from_sklearn_fills_the_history():
    theirs = fit_quietly(MLPClassifier(max_iter=4, random_state=0), X, y)
    ours = TorchMLPClassifier.from_sklearn(theirs)
    assert ours.history_[:, "train_loss"] == theirs.loss_curve_
    assert ours.history_[:, "train_loss_best"] == [True] * 4
    assert ours.n_parameters_ == 4 * 100 + 100 + 100 * 3 + 3
    assert json.dumps(ours.partial_fit(X, y).history_)
    assert ours.history_[-1, "epoch"] == 5


def _output(model, X):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)
    return model.decision_function(X) if hasattr(model, "classes_") else model.predict(X)


@pytest.mark.parametrize("parameters", [{}, {"hidden_layer_sizes": ()}, {"dropout": 0.5}], ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_to_torch_computes_the_predictions(task, parameters):
    (_, ours), X, y, needed = TASKS[task]
    model = fit_quietly(ours(random_state=0, max_iter=3, **needed, **parameters), X, y)
    network = model.to_torch()
    assert not network.training
    with torch.no_grad():
        outputs = network(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(outputs, _output(model, X), rtol=1e-12, atol=1e-14)
    before = model.coefs_[0].copy()
    with torch.no_grad():
        network[0].weight.zero_()
    np.testing.assert_array_equal(model.coefs_[0], before)


@pytest.mark.parametrize("task", TASKS)
def test_to_torch_logits_end_in_a_linear_layer(task):
    (_, ours), X, y, needed = TASKS[task]
    model = fit_quietly(ours(random_state=0, max_iter=3, **needed), X, y)
    network = model.to_torch(output="logits")
    assert not network.training
    assert isinstance(network[-1], torch.nn.Linear)
    with torch.no_grad():
        logits = network(torch.from_numpy(X)).numpy()
    assert logits.shape == (len(X), model.n_outputs_)
    if hasattr(model, "predict_logits"):
        expected = model.predict_logits(X)
    else:  # the raw outputs of a regressor
        expected = np.log(model.predict(X)) if task == "poisson" else model.predict(X)
    np.testing.assert_allclose(logits, expected.reshape(logits.shape), rtol=1e-10, atol=1e-13)


def test_to_torch_logits_can_be_trained():
    model = fit_quietly(TorchMLPClassifier((8,), max_iter=3, alpha=0, random_state=0), X, y)
    network = model.to_torch(output="logits").train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(X)), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(log_loss(y, model.predict_proba(X)), rel=1e-12)
    assert losses[-1] < 0.8 * losses[0]


def test_unknown_output_of_to_torch_raises():
    model = fit_quietly(TorchMLPClassifier((8,), max_iter=3, random_state=0), X, y)
    with pytest.raises(
        ValueError, match=r"output='proba' is unknown\. Use 'prediction' or 'logits'"
    ):
        model.to_torch(output="proba")


@pytest.mark.parametrize("activation", [*ACTIVATIONS, torch.sin], ids=[*ACTIVATIONS, "callable"])
def test_to_torch_with_every_activation(activation):
    model = fit_quietly(TorchMLPClassifier((6, 5), activation, random_state=0, max_iter=3), X, y)
    outputs = model.to_torch()(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(outputs, model.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("loss", ["hinge", "perceptron", "gamma", "huber"])
def test_to_torch_with_other_losses(loss):
    kind = TorchMLPClassifier if loss in ("hinge", "perceptron") else TorchMLPRegressor
    link = np.exp if loss == "gamma" else lambda raw: raw
    for targets in (y + 1, (y > 0) + 1):
        model = fit_quietly(kind(loss=loss, random_state=0, max_iter=3), X, targets)
        outputs = model.to_torch()(torch.from_numpy(X)).detach().numpy()
        np.testing.assert_allclose(outputs, _output(model, X), rtol=1e-12)
        raw = model.to_torch(output="logits")(torch.from_numpy(X)).detach().numpy()
        np.testing.assert_allclose(link(raw).reshape(outputs.shape), outputs, rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_to_sklearn_and_from_sklearn_preserve_the_model(task, solver):
    X, theirs, ours = fit_pair(task, max_iter=5, solver=solver)
    there = ours.to_sklearn()
    assert type(there) is type(theirs)
    assert there.get_params() == theirs.get_params()
    back = type(ours).from_sklearn(theirs)
    assert back.get_params() == ours.get_params()
    for copied, original in ((there, ours), (back, theirs)):
        np.testing.assert_allclose(_output(copied, X), _output(original, X), rtol=1e-10, atol=1e-14)
        if hasattr(ours, "classes_"):
            np.testing.assert_array_equal(copied.predict(X), original.predict(X))
        copied.coefs_[0][:] = 0.0
        assert np.abs(original.coefs_[0]).max() > 0


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_converted_models_continue_training(task):
    X, theirs, ours = fit_pair(task, max_iter=5)
    y = TASKS[task][2]
    there, back = ours.to_sklearn(), type(ours).from_sklearn(theirs)
    for copied in (there, back):
        before = copied.coefs_[0].copy()
        copied.partial_fit(X, y)
        assert not np.array_equal(copied.coefs_[0], before)


def test_parameters_without_counterpart_in_scikit_learn():
    parameters = dict(solver="adamw", learning_rate="cosine", dropout=0.1, random_state=0)
    there = fit_quietly(TorchMLPClassifier(max_iter=3, **parameters), X, y).to_sklearn()
    assert (there.solver, there.learning_rate, there.max_iter) == ("adam", "constant", 3)
    gelu = fit_quietly(TorchMLPClassifier(activation="gelu", max_iter=2, random_state=0), X, y)
    with pytest.raises(ValueError, match=r"activation='gelu' has no counterpart.*to_torch\(\)"):
        gelu.to_sklearn()
    huber = fit_quietly(TorchMLPRegressor("huber", max_iter=2, random_state=0), X, y)
    with pytest.raises(ValueError, match="loss='huber' has no counterpart"):
        huber.to_sklearn()
    with pytest.raises(TypeError, match="takes a fitted MLPClassifier, got model=MLPReg"):
        TorchMLPClassifier.from_sklearn(MLPRegressor())
