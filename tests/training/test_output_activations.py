"""Tests for torchmlp.training.output_activations."""

import numpy as np
import pytest
import torch

from torchmlp.training.output_activations import activate_outputs


@pytest.mark.parametrize("n_classes", [2, 3, 15, 16, 40])
def test_softmax_equals_torch(n_classes):
    raw = np.random.RandomState(0).randn(50, n_classes) * 30
    expected = torch.softmax(torch.from_numpy(raw), 1).numpy()
    np.testing.assert_allclose(activate_outputs(raw.copy(), "softmax"), expected, rtol=1e-12)
