"""Tests for torchmlp.training.weight_sharing: steps of a stack equal those of shared weights."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly, some_weights

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.ensemble import WeightSharingClassifier, WeightSharingRegressor

K = 3
SETTINGS = {"activation": "tanh", "shuffle": False, "random_state": 0}


def ensemble_of(task, k=K, **parameters):
    estimators, X, y, needed = TASKS[task]
    classifies = estimators[1] is TorchMLPClassifier
    network = (TorchMLPClassifier if classifies else TorchMLPRegressor)(
        **{"hidden_layer_sizes": (7, 5), **SETTINGS, **needed, **parameters}
    )
    ensemble = WeightSharingClassifier if classifies else WeightSharingRegressor
    return ensemble(network, k), X, y


def signs_of(ensemble):
    """Return the signs of each member, from its first matrix."""
    first = [member.coefs_[0] for member in ensemble.estimators_]
    signs = np.array([np.sign(coefs * first[0]) for coefs in first])
    assert (signs == signs[:, :, :1]).all()
    return signs[:, :, 0]


def assert_shared(ensemble):
    """Assert that the members share all layers but the last, up to the signs of the inputs."""
    members, signs = ensemble.estimators_, signs_of(ensemble)
    for member, own_signs in zip(members, signs, strict=True):
        shared = own_signs[:, None] * member.coefs_[0]
        np.testing.assert_array_equal(shared, members[0].coefs_[0])
        for i in range(1, len(member.coefs_) - 1):
            np.testing.assert_array_equal(member.coefs_[i], members[0].coefs_[i])
        for mine, other in zip(member.intercepts_[:-1], members[0].intercepts_[:-1], strict=True):
            np.testing.assert_array_equal(mine, other)
    outputs = [member.coefs_[-1] for member in members]
    assert all((a != b).any() for a, b in pairwise(outputs))


SOLVERS = [
    {"solver": "adam"},
    {"solver": "adamw", "alpha": 0.1},
    {"solver": "sgd"},
    {"solver": "sgd", "nesterovs_momentum": False, "alpha": 0.1},
    {"dropout": 0.3},
    {"max_grad_norm": 0.01},
    {"dtype": "float32"},
    {"hidden_layer_sizes": 6},
    {"hidden_layer_sizes": (70, 3, 80)},
    {"activation": "relu", "learning_rate": "one_cycle"},
]


@pytest.mark.parametrize("task", ["binary", "multiclass", "multioutput", "poisson"])
@pytest.mark.parametrize("parameters", SOLVERS, ids=str)
def test_weights_stay_shared(task, parameters):
    ensemble, X, y = ensemble_of(task, **parameters, batch_size=60, max_iter=5)
    assert_shared(fit_quietly(ensemble, X, y, some_weights(len(X))))
    signs = signs_of(ensemble)
    assert (signs[0] == 1).all()
    assert all((own != 1).any() for own in signs[1:])


@pytest.mark.parametrize(
    "parameters",
    [
        *SOLVERS,
        {"early_stopping": True, "shuffle": True},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("task", ["binary", "multilabel", "regression"])
@pytest.mark.parametrize("weighted", [False, True])
def test_single_member_is_the_network(task, weighted, parameters):
    ensemble, X, y = ensemble_of(task, 1, **parameters, batch_size=60, max_iter=5)
    sample_weight = some_weights(len(X)) if weighted else None
    fit_quietly(ensemble, X, y, sample_weight)
    network = fit_quietly(ensemble.estimator, X, y, sample_weight)
    rtol = 1e-4 if network.dtype == "float32" else 1e-9
    (member,) = ensemble.estimators_
    for name in ("coefs_", "intercepts_"):
        for mine, other in zip(getattr(member, name), getattr(network, name), strict=True):
            np.testing.assert_allclose(mine, other, rtol=rtol, atol=1e-4 * rtol)
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_"):
        if getattr(network, name) is not None:
            np.testing.assert_allclose(getattr(ensemble, name), getattr(network, name), rtol=rtol)


class Reference:
    """The shared parametrization in plain torch: signs, hidden layers, an output layer each."""

    def __init__(self, ensemble):
        members = ensemble.estimators_
        self.signs = torch.from_numpy(signs_of(ensemble))
        self.n_members = len(members)
        tensors = [
            *members[0].coefs_[:-1],
            np.stack([member.coefs_[-1] for member in members]),
            *members[0].intercepts_[:-1],
            np.stack([member.intercepts_[-1] for member in members])[:, None],
        ]
        self.parameters = [torch.from_numpy(a.copy()).requires_grad_() for a in tensors]

    def losses(self, X, y, weight, alpha):
        """Return the loss of each member, with the L2 term."""
        n = len(self.parameters) // 2
        coefs, intercepts = self.parameters[:n], self.parameters[n:]
        values = X * self.signs[:, None]
        for w, b in zip(coefs[:-1], intercepts[:-1], strict=True):
            values = torch.tanh(values @ w + b)
        raw = values @ coefs[-1] + intercepts[-1]
        if y.dtype == torch.int64:
            log_probabilities = raw.log_softmax(-1)
            index = y.expand(self.n_members, -1)[..., None]
            per_sample = -log_probabilities.gather(-1, index)[..., 0]
        else:
            per_sample = (raw[..., 0] - y).square() / 2
        norms = sum(w.square().sum() for w in coefs[:-1]) + coefs[-1].square().sum((1, 2))
        return per_sample @ weight / weight.sum() + alpha / 2 * norms / weight.sum()

    def step(self, X, y, weight, alpha, rate):
        losses = self.losses(X, y, weight, alpha)
        # The mean over the members for shared weights, the loss of its own member for the others.
        shared = torch.autograd.grad(losses.mean(), self.parameters, retain_graph=True)
        own = torch.autograd.grad(losses.sum(), self.parameters)
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters):
                is_output = i in (len(self.parameters) // 2 - 1, len(self.parameters) - 1)
                parameter -= rate * (own if is_output else shared)[i]
        return losses.mean().item()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_steps_are_those_of_the_shared_parametrization(task, weighted):
    alpha, rate, n_steps = 0.5, 0.1, 4
    sgd = {"solver": "sgd", "momentum": 0, "nesterovs_momentum": False, "batch_size": 250}
    parameters = {**sgd, "alpha": alpha}
    ensemble, X, y = ensemble_of(task, **parameters, learning_rate_init=1e-30, max_iter=1)
    weight = some_weights(len(X)) if weighted else np.ones(len(X))
    reference = Reference(fit_quietly(ensemble, X, y, weight))
    ensemble.estimator.set_params(learning_rate_init=rate, max_iter=n_steps)
    fit_quietly(ensemble, X, y, weight)
    tensors = [torch.from_numpy(a) for a in (X, y, weight)]
    losses = [reference.step(*tensors, alpha, rate) for _ in range(n_steps)]
    np.testing.assert_allclose(ensemble.loss_curve_, losses, rtol=1e-9)
    found = Reference(ensemble).parameters
    for mine, other in zip(found, reference.parameters, strict=True):
        np.testing.assert_allclose(mine.detach(), other.detach(), rtol=1e-9, atol=1e-12)


def test_clipping_limits_the_mean_norm():
    sgd = {"solver": "sgd", "momentum": 0, "nesterovs_momentum": False, "alpha": 0}
    fits = {}
    for name, parameters in {
        "initial": {"learning_rate_init": 1e-30},
        "clipped": {"learning_rate_init": 1.0, "max_grad_norm": 0.01},
    }.items():
        ensemble, X, y = ensemble_of("regression", **sgd, **parameters, batch_size=250, max_iter=1)
        fits[name] = Reference(fit_quietly(ensemble, X, y)).parameters
    pairs = zip(fits["initial"], fits["clipped"], strict=True)
    squares = [(b - a).square().sum().item() for a, b in pairs]
    last = len(squares) // 2 - 1
    squares[last] /= K
    squares[-1] /= K
    np.testing.assert_allclose(np.sqrt(sum(squares)), 0.01, rtol=1e-9)


def test_dropout_masks_differ_between_members():
    ensemble, X, y = ensemble_of("regression", hidden_layer_sizes=(50,), max_iter=1)
    without = fit_quietly(ensemble, X, y).loss_
    ensemble.estimator.set_params(dropout=0.5)
    assert fit_quietly(ensemble, X, y).loss_ != without
    again = fit_quietly(ensemble, X, y).loss_
    assert fit_quietly(ensemble, X, y).loss_ == again
