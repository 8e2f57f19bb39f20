"""Callables that users pass: those that fail, or return something else, raise a clear error."""

import functools

import numpy as np
import pytest
import torch
from helpers import OURS, TASKS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.export import to_onnx
from torchmlp.inspection import HiddenFeaturesDisplay, WeightsDisplay

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]


def failing(*args, **kwargs):
    raise KeyError("no such key")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("estimator", OURS)
def test_failing_scorers_raise(estimator, solver):
    mlp = estimator(early_stopping=True, scoring=failing, solver=solver)
    message = (
        r"scoring=<function failing.* failed on .*KeyError: 'no such key'.*\(estimator, X, y\)"
    )
    with pytest.raises(ValueError, match=message) as info:
        mlp.fit(X, y)
    assert isinstance(info.value.__cause__, KeyError)
    assert not hasattr(mlp, "coefs_")


@pytest.mark.parametrize(
    "score",
    [None, "0.5", "good", (0.5, 0.5), np.array([0.5]), torch.ones(2), {"r2": 0.5}, 1j],
    ids=repr,
)
def test_scores_that_are_not_numbers_raise(score):
    mlp = TorchMLPRegressor(early_stopping=True, scoring=lambda estimator, X, y: score)
    with pytest.raises(
        ValueError, match=r"scoring=<function .* must return a number.*got .*of type"
    ):
        mlp.fit(X, y)


@pytest.mark.parametrize("score", [1, np.float32(0.5), np.array(0.5), torch.tensor(0.5), True])
def test_every_kind_of_number_is_a_score(score):
    mlp = TorchMLPRegressor(early_stopping=True, scoring=lambda *args: score, max_iter=2)
    assert fit_quietly(mlp, X, y).validation_scores_ == [float(score)] * 2


def test_scorers_that_do_not_suit_the_estimator_raise():
    mlp = TorchMLPRegressor(early_stopping=True, scoring="roc_auc")
    with pytest.raises(ValueError, match=r"scoring='roc_auc' failed.*predict_proba"):
        mlp.fit(X, y)


SGD = torch.optim.SGD
OTHER = torch.nn.Parameter(torch.zeros(1))
SOLVERS = {
    "fails": (failing, "could not be created: 'no such key'.*solver\\(params, lr="),
    "without lr": (lambda params: SGD(params, lr=0.1), "could not be created: .*'lr'"),
    "option": (functools.partial(SGD, momentum=-1), "could not be created: Invalid momentum"),
    "no option": (functools.partial(SGD, momentun=1), "could not be created: .*'momentun'"),
    "scheduler": (torch.optim.lr_scheduler.StepLR, "could not be created: .*'lr'"),
    "none": (lambda params, lr: None, "must return a torch.optim.Optimizer .*got NoneType"),
    "class": (lambda params, lr: SGD, "must return a torch.optim.Optimizer .*got type"),
    "others": (
        lambda params, lr: SGD([OTHER], lr=lr),
        "of the params .* other parameters. Pass params",
    ),
}


@pytest.mark.parametrize("kind", SOLVERS)
@pytest.mark.parametrize("estimator", OURS)
def test_solvers_that_make_no_optimizer_raise(estimator, kind):
    solver, message = SOLVERS[kind]
    with pytest.raises(ValueError, match=f"(?s)solver=.*{message}"):
        estimator(solver=solver).fit(X, y)


ACTIVATIONS = [
    torch.nn.PReLU(),
    torch.nn.Linear(5, 5),
    torch.nn.Sequential(torch.nn.Tanh(), torch.nn.PReLU()),
    ["relu", torch.nn.PReLU()],
]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=["PReLU", "Linear", "Sequential", "list"])
def test_activations_with_trainable_parameters_raise(activation, dtype, solver):
    mlp = TorchMLPRegressor(hidden_layer_sizes=(5, 5), activation=activation, solver=solver)
    message = r"(?s)activation=.* has trainable parameters, which would not be trained.*LeakyReLU"
    with pytest.raises(ValueError, match=message):
        mlp.fit(X_REG.astype(dtype), Y_REG)


def test_frozen_parameters_of_an_activation_stay_as_they_are():
    module = torch.nn.PReLU(init=0.01).double().requires_grad_(False)
    mlp = TorchMLPRegressor(activation=module, max_iter=3, random_state=0)
    fitted = fit_quietly(clone(mlp), X_REG, Y_REG)
    builtin = fit_quietly(mlp.set_params(activation="leaky_relu"), X_REG, Y_REG)
    np.testing.assert_allclose(fitted.loss_curve_, builtin.loss_curve_, rtol=1e-6)
    assert module.weight.item() == pytest.approx(0.01)


def test_modules_without_parameters_are_activations():
    mlp = TorchMLPRegressor(max_iter=3, random_state=0)
    plain = fit_quietly(clone(mlp), X_REG, Y_REG)
    assert_identical(fit_quietly(mlp.set_params(activation=torch.nn.ReLU()), X_REG, Y_REG), plain)


@pytest.mark.parametrize(
    "activation",
    [failing, torch.nn.PReLU, torch.nn.PReLU().requires_grad_(False)],
    ids=["function", "class", "dtype"],
)
def test_activations_that_fail_raise(activation):
    message = r"(?s)activation=.* could not be computed: .*a tensor of shape \(200, 100\) and dtype"
    with pytest.raises(ValueError, match=message):
        TorchMLPRegressor(activation=activation).fit(X_REG, Y_REG)


CHANGED = {
    "bogus": r"activation='bogus' is neither one of \['elu', .*\] nor a callable",
    3: r"activation=3 is neither one of",
    ("relu", "relu"): r"activation=\('relu', 'relu'\) has 2 functions for 1 hidden layers",
    (): r"activation=\(\) has 0 functions for 1 hidden layers",
    ("bogus",): r"activation=\('bogus',\) has 'bogus', which is neither one of",
    torch.nn.PReLU(): r"activation=PReLU.* has trainable parameters",
}
USES = {
    "predict": lambda mlp: mlp.predict(X[:, :2]),
    "predict_proba": lambda mlp: mlp.predict_proba(X[:, :2]),
    "score": lambda mlp: mlp.score(X[:, :2], y),
    "hidden_activations": lambda mlp: mlp.hidden_activations(X[:, :2]),
    "to_torch": lambda mlp: mlp.to_torch(),
    "to_onnx": lambda mlp: to_onnx(mlp, X[:1, :2].astype(np.float32)),
    "features": lambda mlp: HiddenFeaturesDisplay.from_estimator(mlp, X[:, :2]),
    "weights": lambda mlp: WeightsDisplay.from_estimator(mlp, X[:, :2]),
}


@pytest.mark.parametrize("activation", CHANGED, ids=repr)
@pytest.mark.parametrize("use", USES)
def test_activations_that_are_changed_after_a_fit_are_checked(use, activation):
    mlp = fit_quietly(TorchMLPClassifier((5,), max_iter=2), X[:, :2], y)
    mlp.set_params(activation=activation)
    with pytest.raises(ValueError, match=CHANGED[activation]):
        USES[use](mlp)
