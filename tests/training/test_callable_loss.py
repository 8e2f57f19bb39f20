"""A callable loss that cannot train a network is an error in the first batch."""

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly, weights_of
from sklearn.base import clone

from torchmlp import TorchMLPRegressor

_, X, Y, _ = TASKS["regression"]
INDEPENDENT = {
    "no columns": lambda raw, y: ((raw[:, 1:] - y[:, 1:]) ** 2).sum(dim=1),
    "times zero": lambda raw, y: (raw * 0).sum(dim=1),
    "rounded": lambda raw, y: (raw.round() - y).abs().sum(dim=1),
    "sign": lambda raw, y: (torch.sign(raw) * y).sum(dim=1),
}
UNDIFFERENTIABLE = {
    "detached": lambda raw, y: ((raw.detach() - y) ** 2).sum(dim=1),
    "targets only": lambda raw, y: (y**2).sum(dim=1),
    "compared": lambda raw, y: ((raw > y) * 1.0).sum(dim=1),
    "another tensor": lambda raw, y: (y * torch.ones(1, requires_grad=True)).sum(dim=1),
}
NOT_FINITE = {
    "nan": (lambda raw, y: (raw - y).sum(dim=1) * torch.nan, "value", "nan"),
    "logarithm": (lambda raw, y: torch.log(-((raw - y) ** 2)).sum(dim=1), "value", "nan"),
    "overflow": (lambda raw, y: torch.exp(1e6 + raw - y).sum(dim=1), "value", "inf"),
    "root": (lambda raw, y: ((raw - raw) ** 2).sqrt().sum(dim=1), "gradient", "nan"),
}


def _fits(loss):
    mlp = TorchMLPRegressor(loss, random_state=0)
    yield lambda: mlp.fit(X, Y)
    yield lambda: mlp.partial_fit(X, Y)
    yield lambda: clone(mlp).set_params(early_stopping=True).fit(X, Y)
    yield lambda: clone(mlp).set_params(solver="lbfgs").fit(X, Y)
    yield lambda: mlp.fit(X, Y, sample_weight=np.linspace(0, 1, len(Y)))


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_losses_that_do_not_depend_on_the_outputs_raise(kind):
    message = (
        r"loss=<function .* does not depend on the raw outputs: its gradient is zero for all "
        r"samples of the first batch.*raw outputs of shape \(\d+, 1\).*Check which columns"
    )
    for fit in _fits(INDEPENDENT[kind]):
        with pytest.raises(ValueError, match=message):
            fit()


@pytest.mark.parametrize("kind", UNDIFFERENTIABLE)
def test_losses_without_a_derivative_raise(kind):
    message = r"loss=<function .* could not be differentiated with respect to the raw outputs: "
    for fit in _fits(UNDIFFERENTIABLE[kind]):
        with pytest.raises(ValueError, match=message + ".*without detach"):
            fit()


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_losses_that_are_not_finite_raise(kind):
    loss, what, value = NOT_FINITE[kind]
    message = (
        rf"The {what} of loss=<function .* is not finite for (\d+) of \1 samples of the first "
        rf"batch: \[{value}\] for raw outputs \[.*\] and targets \[.*\]\. Check the loss"
    )
    for fit in _fits(loss):
        with pytest.raises(ValueError, match=message):
            fit()


def test_losses_that_are_not_finite_for_one_sample_raise():
    targets = Y.copy()
    targets[7] = -3.0
    mlp = TorchMLPRegressor(
        lambda raw, y: (torch.log(y + 2.99) - raw).square().sum(1), shuffle=False
    )
    with pytest.raises(ValueError, match=r"for 1 of 200 samples.*\[nan\].*targets \[-3.0\]"):
        mlp.fit(X, targets)


@pytest.mark.parametrize("error", [IndexError, KeyError, TypeError, ZeroDivisionError])
def test_losses_that_fail_raise(error):
    def failing(raw, y):
        raise error("of the loss")

    with pytest.raises(ValueError, match=r"loss=<.*failing.* could not be computed: .*of the loss"):
        TorchMLPRegressor(failing).fit(X, Y)


def within(width):
    """The absolute error beyond a width, whose gradient is zero below it."""
    return lambda raw, y: ((raw - y).abs() - width).clamp_min(0).sum(dim=1)


@pytest.mark.parametrize("width", [1e-3, 1e3])
def test_batches_without_a_gradient_are_legitimate(width):
    mlp = TorchMLPRegressor(within(width), batch_size=1, alpha=0.0, max_iter=2, random_state=0)
    fitted = fit_quietly(clone(mlp), X[:20], Y[:20])
    start = fit_quietly(clone(mlp).set_params(learning_rate_init=1e-300), X[:20], Y[:20])
    same = all(map(np.array_equal, weights_of(fitted), weights_of(start)))
    assert same == (width == 1e3)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_warm_starts_may_begin_where_the_loss_is_zero(solver):
    mlp = TorchMLPRegressor(within(0.5), warm_start=True, alpha=0.0, max_iter=3000, random_state=0)
    fit_quietly(mlp.set_params(solver="lbfgs"), X[:40], Y[:40])
    assert mlp.loss_ == 0.0
    before = [w.copy() for w in weights_of(mlp)]
    fit_quietly(mlp.set_params(solver=solver), X[:40], Y[:40])
    assert mlp.loss_ == 0.0
    for now, then in zip(weights_of(mlp), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_loss_may_use_some_of_the_outputs():
    def first(raw, y):
        return (raw[:, 0] - y[:, 0]) ** 2

    mlp = TorchMLPRegressor(first, max_iter=2)
    assert fit_quietly(mlp, X, np.column_stack([Y, Y])).n_outputs_ == 2


def test_the_check_evaluates_a_loss_no_more_often():
    calls = []

    def squared(raw, y):
        calls.append(len(raw))
        return ((raw - y) ** 2).sum(dim=1)

    fit_quietly(TorchMLPRegressor(squared, batch_size=50, max_iter=3), X, Y)
    assert calls.count(50) == 3 * 5  # the gradient of each batch
    assert len(calls) == 3 * 6  # and the loss of each block, which here is an epoch
