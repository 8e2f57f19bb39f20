"""Tests for torchmlp.inspection.style."""

import numpy as np
from matplotlib.colors import to_rgba

from torchmlp.inspection.style import OKABE_ITO, class_image


def test_opacity_grows_with_the_probability():
    image = class_image(np.array([[[1.0, 0.5, 0.1]], [[0.0, 0.5, 0.9]]]))
    np.testing.assert_allclose(image[0, :, 3], [0.6, 0.1, 0.5])
    np.testing.assert_allclose(image[0, 2, :3], to_rgba(OKABE_ITO[1])[:3])
