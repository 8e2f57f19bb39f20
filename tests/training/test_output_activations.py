"""Tests for torchmlp.training.output_activations."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit, softmax

from torchmlp.training.output_activations import OUTPUT_ACTIVATIONS, activate_outputs, mean_outputs


@pytest.mark.parametrize("n_classes", [2, 3, 15, 16, 40])
def test_softmax_equals_torch(n_classes):
    raw = np.random.RandomState(0).randn(50, n_classes) * 30
    expected = torch.softmax(torch.from_numpy(raw), 1).numpy()
    np.testing.assert_allclose(activate_outputs(raw.copy(), "softmax"), expected, rtol=1e-12)


@pytest.mark.parametrize("out_activation", OUTPUT_ACTIVATIONS)
def test_mean_outputs_give_the_mean_prediction(out_activation):
    raw = np.random.RandomState(0).randn(4, 20, 3) * 5
    expected = np.mean([activate_outputs(r.copy(), out_activation) for r in raw], axis=0)
    mean = mean_outputs(list(raw), out_activation)
    np.testing.assert_allclose(activate_outputs(mean, out_activation), expected, rtol=1e-12)


def test_mean_outputs_are_exact_for_probabilities_close_to_0_and_1():
    z = np.full((1, 1), 1000.0)
    np.testing.assert_allclose(mean_outputs([z, z], "logistic"), z)
    np.testing.assert_allclose(mean_outputs([-z, z], "logistic"), 0, atol=1e-12)
    np.testing.assert_allclose(mean_outputs([z, z + 1], "exp"), z + np.log((1 + np.e) / 2))
    rows = np.array([[1000.0, 0.0]])
    np.testing.assert_allclose(softmax(mean_outputs([rows, -rows], "softmax")), [[0.5, 0.5]])
    small = np.full((1, 1), -40.0)
    expected = logit((expit(-40.0) + expit(-30.0)) / 2)
    np.testing.assert_allclose(mean_outputs([small, small + 10], "logistic"), expected)
