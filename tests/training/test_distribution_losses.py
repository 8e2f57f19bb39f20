"""Tests for torchmlp.training.distribution_losses."""

import numpy as np
import pytest
import torch
from distribution_helpers import LEVELS, Y
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

from torchmlp.training.distribution_losses import gaussian_loss, quantile_loss
from torchmlp.training.losses import regressor_loss


def test_loss_is_the_mean_pinball_loss():
    raw = np.random.RandomState(0).randn(len(Y), 3)
    losses = regressor_loss("quantile", tuple(LEVELS)).per_sample(
        torch.from_numpy(raw), torch.from_numpy(Y[:, np.newaxis])
    )
    expected = [mean_pinball_loss(Y, raw[:, k], alpha=q) for k, q in enumerate(LEVELS)]
    assert float(losses.mean()) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_loss_is_the_negative_log_likelihood(n_targets):
    rng = np.random.RandomState(0)
    raw, y = rng.randn(50, 2 * n_targets), rng.randn(50, n_targets)
    raw_tensor, y_tensor = torch.from_numpy(raw), torch.from_numpy(y)
    losses = gaussian_loss(0.0).per_sample(raw_tensor, y_tensor)
    mean, log_variance = raw_tensor.split(n_targets, 1)
    of_torch = torch.nn.GaussianNLLLoss(full=True, reduction="none", eps=0.0)
    torch.testing.assert_close(losses, of_torch(mean, y_tensor, log_variance.exp()).sum(1))
    expected = -norm.logpdf(y, raw[:, :n_targets], np.exp(raw[:, n_targets:] / 2)).sum(1)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "n_targets"),
    [(quantile_loss((0.1, 0.5, 0.8, 0.9)), 1), (gaussian_loss((0.3, 0.7)), 2)],
    ids=["quantiles", "gaussian"],
)
def test_gradients_equal_finite_differences(loss, n_targets):
    rng = np.random.RandomState(0)
    raw, y = torch.from_numpy(rng.randn(30, 4)), torch.from_numpy(rng.randn(30, n_targets))
    gradient = torch.empty_like(raw)
    for call in loss.gradient(raw, y, gradient):
        call()
    for k in range(4):
        step = torch.zeros(4, dtype=raw.dtype)
        step[k] = 1e-6
        difference = loss.per_sample(raw + step, y) - loss.per_sample(raw - step, y)
        np.testing.assert_allclose(gradient[:, k], difference / 2e-6, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_optimal_variance_is_the_squared_error_plus_the_floor(error):
    y = torch.tensor([[2.0]], dtype=torch.float64)
    variance = torch.tensor(error**2 + 1e-4, dtype=torch.float64)
    raw = torch.stack([y[0, 0] + error, variance.log()])[None]
    gradient = torch.empty_like(raw)
    for call in gaussian_loss(1e-4).gradient(raw, y, gradient):
        call()
    assert float(gradient[0, 1]) == pytest.approx(0.0, abs=1e-12)


def test_equal_losses_are_one_object():
    assert regressor_loss("quantile", 0.3) is regressor_loss("quantile", 0.3)
    assert regressor_loss("quantile", (0.3, 0.4)) is regressor_loss("quantile", (0.3, 0.4))
    folds = [np.random.RandomState(0).permutation(Y)[:200, np.newaxis] for _ in range(5)]
    assert len({id(regressor_loss("gaussian").adapted(y, None)) for y in folds}) == 1
