"""Tests for torchmlp.inspection.network."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from torchmlp.inspection import (
    NetworkDisplay,
)
from torchmlp.inspection.style import NEGATIVE, POSITIVE


@pytest.mark.parametrize("scale", ["layer", "network"])
@pytest.mark.parametrize("orientation", ["horizontal", "vertical"])
def test_edges_and_neurons_show_the_weights(clf, orientation, scale):
    display = NetworkDisplay.from_estimator(clf, orientation=orientation, scale=scale)
    display.figure_.draw_without_rendering()
    largest = max(np.abs(coefs).max() for coefs in clf.coefs_)
    for i, (coefs, edges) in enumerate(zip(clf.coefs_, display.edges_, strict=True)):
        sources, targets = (display.neurons_[i + k].get_offsets() for k in (0, 1))
        weights = np.asarray(edges.get_array())
        assert len(weights) == coefs.size
        assert (np.diff(np.abs(weights)) >= 0).all()  # the largest on top
        limit = np.abs(coefs).max() if scale == "layer" else largest
        np.testing.assert_allclose(edges.get_linewidth(), 0.3 + 2.2 * np.abs(weights) / limit)
        drawn = zip(weights, edges.get_segments(), edges.get_edgecolor(), strict=True)
        for weight, segment, color in drawn:
            ends = [  # the neurons at the ends of the edge
                np.argmin(np.linalg.norm(centers - end, axis=1))
                for centers, end in zip((sources, targets), segment, strict=True)
            ]
            assert coefs[tuple(ends)] == weight
            expected = POSITIVE if weight > 0 else NEGATIVE
            np.testing.assert_allclose(color[:3], to_rgba(expected)[:3])
        np.testing.assert_array_equal(display.neurons_[i + 1].get_array(), clf.intercepts_[i])
    along = 0 if orientation == "horizontal" else 1
    places = [neurons.get_offsets()[:, along] for neurons in display.neurons_]
    assert all(np.ptp(place) == 0 for place in places)
    assert (np.diff([place[0] for place in places]) > 0).all()


def test_wide_layers_are_abbreviated(digits):
    display = NetworkDisplay.from_estimator(digits, max_units=7, bias=False)
    assert [list(units) for units in display.shown_units_] == [
        [0, 1, 2, 3, n - 3, n - 2, n - 1] for n in (64, 80, 20, 10)
    ]
    assert [len(edges.get_array()) for edges in display.edges_] == [49, 49, 49]
    shown = digits.coefs_[1][np.ix_(*display.shown_units_[1:3])]
    np.testing.assert_array_equal(np.sort(display.edges_[1].get_array()), np.sort(shown.ravel()))
    texts = [text.get_text() for text in display.texts_]
    assert texts[:14] == [*(f"x{i}" for i in display.shown_units_[0]), *"0123789"]
    assert texts[15::2] == ["64 inputs", "80 units", "20 units", "10 outputs"]
    assert all(neurons.get_array() is None for neurons in display.neurons_)
    display.plot(max_units=None)
    assert len(display.edges_[0].get_array()) == 64 * 80
    for parameter, value in (("max_units", 1), ("orientation", "up"), ("scale", "x")):
        with pytest.raises(ValueError, match=f"{parameter}=.* must be"):
            display.plot(**{parameter: value})
    with pytest.raises(ValueError, match=r"output_names has 2 names, .* but 10 are required"):
        NetworkDisplay.from_estimator(digits, output_names=["a", "b"])
