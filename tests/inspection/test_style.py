"""Tests for torchmlp.inspection.style."""

import numpy as np
from matplotlib.colors import to_rgba

from torchmlp.inspection.style import (
    NEGATIVE,
    OKABE_ITO,
    POSITIVE,
    class_image,
    sign_colormap,
)


def test_signs_have_colors_of_their_own():
    assert not {NEGATIVE, POSITIVE} & set(OKABE_ITO)
    assert sign_colormap()([0.0, 1.0]).tolist() == [
        list(to_rgba(NEGATIVE)),
        list(to_rgba(POSITIVE)),
    ]


def test_opacity_grows_with_the_probability():
    image = class_image(np.array([[[1.0, 0.5, 0.1]], [[0.0, 0.5, 0.9]]]))
    np.testing.assert_allclose(image[0, :, 3], [0.6, 0.1, 0.5])
    np.testing.assert_allclose(image[0, 2, :3], to_rgba(OKABE_ITO[1])[:3])
