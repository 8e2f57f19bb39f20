"""A callable loss that cannot train a network is an error in the first batch."""

import numpy as np
import pytest
import torch
from helpers import TASKS, fit_quietly, weights_of
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

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


def test_a_multiclass_loss_for_two_classes_raises():
    def loss(raw, y):
        return torch.nn.functional.cross_entropy(raw, y, reduction="none")

    with pytest.raises(
        ValueError, match=r"does not depend .* use binary_cross_entropy_with_logits"
    ):
        TorchMLPClassifier(loss=loss).fit(X, np.sign(Y))


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


def poisson(log_rate, y):
    return log_rate.exp() - y * log_rate


def squared(prediction, y):
    return (prediction - y) ** 2


PAIRED = {
    "mean over the outputs": lambda raw, y: ((raw[:, 0] - y) ** 2).mean(dim=1),
    "mean over the targets": lambda raw, y: ((raw[:, 0] - y) ** 2).mean(dim=0),
    "sum over the outputs": lambda raw, y: (raw[:, 0] - y).abs().sum(dim=1),
    "targets without a column": lambda raw, y: ((raw - y[:, 0]) ** 2).mean(dim=1),
    "columns": lambda raw, y: ((raw[:, :1] - y[:, 0]) ** 2).mean(dim=1),
    "signed": lambda raw, y: poisson(raw[:, 0], y).mean(dim=1),
    "squeezed": lambda raw, y: torch.maximum(0.9 * (y - raw.squeeze()), raw.squeeze() - y).mean(1),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("init", ["glorot", "zeros"])
@pytest.mark.parametrize("kind", PAIRED)
def test_losses_that_pair_all_rows_by_broadcasting_raise(kind, init, dtype):
    message = (
        r"loss=<function .* compares the output of each sample with the targets of all samples of "
        r"the batch\. The raw outputs have shape \((\d+), 1\) and y has shape \(\1, 1\)\. A column "
        r"of shape \(\1, 1\) and a tensor of shape \(\1,\) broadcast to shape \(\1, \1\)\. Use the "
        r"same shape for both, for example raw_outputs\[:, 0\] and y\[:, 0\]\."
    )
    mlp = TorchMLPRegressor(PAIRED[kind], (), init=init, random_state=0)
    with pytest.raises(ValueError, match=message):
        mlp.fit(X.astype(dtype), Y)


def test_every_fit_checks_whether_a_loss_pairs_all_rows():
    for fit in _fits(PAIRED["mean over the outputs"]):
        with pytest.raises(ValueError, match="compares the output of each sample"):
            fit()


GENERATOR = torch.Generator().manual_seed(0)


def _noisy(raw, y):
    return squared(raw + torch.randn(raw.shape, generator=GENERATOR), y).sum(dim=1)


def _proportional_hazards(raw, y):
    """The partial likelihood of Cox, without censoring."""
    order = y[:, 0].argsort(descending=True)
    at_risk = torch.logcumsumexp(raw[order, 0], 0)
    return at_risk[order.argsort()] - raw[:, 0]


def _ranking(raw, y):
    sign = torch.sign(y[:, 0] - y[:, :1])
    return (1 - sign * (raw[:, 0] - raw[:, :1])).clamp_min(0).mean(dim=1)


def _correlation(raw, y):
    return 1 - torch.corrcoef(torch.cat([raw, y], dim=1).T)[0, -1].expand(len(y))


ROW_WEIGHTS = torch.linspace(0.5, 1.5, len(Y), dtype=torch.float64)
LEGITIMATE = {
    "squared": lambda raw, y: squared(raw, y).mean(dim=1),
    "columns": lambda raw, y: squared(raw[:, 0], y[:, 0]),
    "norm over the outputs": lambda raw, y: torch.linalg.vector_norm(raw - y, dim=1),
    "softmax over the outputs": lambda raw, y: squared(raw.softmax(dim=1) + raw, y).sum(dim=1),
    "poisson": lambda raw, y: poisson(raw, y.exp()).sum(dim=1),
    "cancellation": lambda raw, y: ((1e9 + raw) - (1e9 + y)).abs().sum(dim=1),
    "einsum": lambda raw, y: torch.einsum("ij,ij->i", raw - y, raw - y),
    "loop": lambda raw, y: torch.stack([squared(p, t).sum() for p, t in zip(raw, y, strict=True)]),
    "huber": lambda raw, y: torch.nn.functional.huber_loss(raw, y, reduction="none").sum(dim=1),
    "zero": within(1e3),
    "without targets": lambda raw, y: (raw**2).sum(dim=1),
    "in float32": lambda raw, y: (raw.float() ** 2).exp().sum(dim=1).double(),
    "random": _noisy,
    "one number of rows": lambda raw, y: ROW_WEIGHTS * squared(raw, y).sum(dim=1),
    "hazards": _proportional_hazards,
    "ranking": _ranking,
    "variance": lambda raw, y: squared(raw, y).sum(dim=1) / y.var(),
    "standardized outputs": lambda raw, y: squared((raw - raw.mean(0)) / raw.std(0), y).sum(dim=1),
    "correlation": _correlation,
    "log of a mean": lambda raw, y: raw.exp().mean().log() + squared(raw, y).sum(dim=1),
    "spread of the outputs": lambda raw, y: squared(raw, raw.mean(dim=0)).sum(dim=1),
    "mean over the batch": lambda raw, y: squared(raw, y).mean().expand(len(y)),
}


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("kind", LEGITIMATE)
def test_legitimate_losses_do_not_raise(kind, offset, n_outputs):
    targets = Y if n_outputs == 1 else np.column_stack([Y, Y[::-1]])
    targets = targets if kind == "poisson" else targets + offset
    mlp = TorchMLPRegressor(LEGITIMATE[kind], batch_size=len(Y), max_iter=1, random_state=0)
    assert fit_quietly(mlp, X, targets).n_iter_ == 1


def test_losses_of_small_batches_are_legitimate():
    for batch_size in range(1, 8):
        mlp = TorchMLPRegressor(LEGITIMATE["squared"], batch_size=batch_size, max_iter=1)
        assert fit_quietly(mlp, X[:7], Y[:7]).n_iter_ == 1


def test_the_checks_evaluate_a_loss_in_the_first_batch_only():
    calls = []

    def loss(raw, y):
        calls.append(len(raw))
        return squared(raw, y).sum(dim=1)

    fit_quietly(TorchMLPRegressor(loss, batch_size=50, max_iter=3), X, Y)
    assert calls[:3] == [50, 50, 25]  # the first gradient and the check
    # The gradient of each batch, and the loss of each block, which here is an epoch.
    assert calls[3:] == [50] * 4 + [250] + 2 * ([50] * 5 + [250])
