"""Tests for torchmlp.inspection.decision_region."""

import numpy as np
import pytest
from helpers import fit_quietly
from inspected import X2, classifier, y
from matplotlib.colors import to_rgba

from torchmlp.inspection import (
    DecisionRegionDisplay,
)


def test_regions_and_contours_follow_the_probabilities(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2, levels=(0.6, 0.8))
    assert (display.boundaries_, len(display.surface_)) == ({}, 3)
    assert display.contours_
    for name, contour in display.contours_.items():
        for level, path in zip(contour.levels, contour.get_paths(), strict=True):
            at = clf.predict_proba(path.vertices)[:, int(name)]
            np.testing.assert_allclose(at, level, atol=0.01)
    for k, (region, bands) in enumerate(zip(display.surface_, display.bands_, strict=True)):
        color = to_rgba(display.colors_[k])[:3]
        assert all(tuple(c[:3]) == color for c in (*region.get_facecolor(), *bands.get_facecolor()))
        assert bands.get_facecolor()[0, 3] < bands.get_facecolor()[-1, 3]
    xx0, xx1 = np.meshgrid(display.x0, display.x1)
    points = np.column_stack([xx0.ravel(), xx1.ravel()])[::37]
    inside = [[bool(s.get_paths()[0].contains_point(p)) for p in points] for s in display.surface_]
    assert (np.argmax(inside, axis=0) == clf.predict(points)).mean() > 0.98


def test_boundaries_are_where_a_unit_is_zero(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2, layer=0)
    assert display.boundaries_
    for unit, contour in display.boundaries_.items():
        vertices = contour.get_paths()[0].vertices
        assert len(vertices) > 1
        z = vertices @ clf.coefs_[0][:, unit] + clf.intercepts_[0][unit]
        np.testing.assert_allclose(z, 0, atol=1e-12)
    second = DecisionRegionDisplay.from_estimator(clf, X2, layer=1)
    unit, contour = next(iter(second.boundaries_.items()))
    below = clf.hidden_activations(contour.get_paths()[0].vertices)[0]
    z = below @ clf.coefs_[1][:, unit] + clf.intercepts_[1][unit]
    np.testing.assert_allclose(z, 0, atol=1e-3)


def test_boundaries_are_drawn_only_if_a_layer_is_given(clf):
    assert DecisionRegionDisplay.from_estimator(clf, X2).boundaries_ == {}
    display = DecisionRegionDisplay.from_estimator(clf, X2, layer=0, boundary_kw={"zorder": 7})
    assert {line.zorder for line in display.boundaries_.values()} == {7}


def test_samples_have_the_colors_of_their_classes(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2, y, data_kw={"s": 7})
    for k, (scatter, color) in enumerate(zip(display.scatters_, display.colors_, strict=True)):
        np.testing.assert_array_equal(scatter.get_offsets(), X2[y == k])
        assert tuple(scatter.get_facecolor()[0]) == to_rgba(color)
        assert tuple(scatter.get_edgecolor()[0]) != to_rgba(color)
        np.testing.assert_array_equal(scatter.get_sizes(), 7)
    assert display.legend_.legend_handles[0].get_label() == "0"
    assert [text.get_text() for text in display.legend_.get_texts()] == ["0", "1", "2"]
    assert [text.get_text() for text in display.plot(legend=True).legend_.get_texts()] == [*"012"]
    shapes = {scatter.get_paths()[0].vertices.tobytes() for scatter in display.scatters_}
    assert len(shapes) == 3


def test_samples_are_drawn_only_if_y_is_given(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2)
    assert (display.X, display.y, display.scatters_) == (None, None, [])
    assert len(display.legend_.get_patches()) == 3


def test_some_classes_without_samples(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2[y > 0], y[y > 0])
    assert [len(scatter.get_offsets()) for scatter in display.scatters_] == [0, 50, 50]


def test_invalid_y_raises(clf):
    with pytest.raises(ValueError, match=r"y has classes \[3\] that .* classes are \[0, 1, 2\]"):
        DecisionRegionDisplay.from_estimator(clf, X2, np.where(y == 2, 3, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DecisionRegionDisplay.from_estimator(clf, X2, y[:-1])


def test_estimators_without_regions_raise(clf, reg):
    with pytest.raises(TypeError, match=r"is not a classifier.*DecisionBoundaryDisplay"):
        DecisionRegionDisplay.from_estimator(reg, X2)
    hinge = fit_quietly(classifier(loss="hinge"), X2, y)
    with pytest.raises(ValueError, match="loss='hinge' has no predict_proba"):
        DecisionRegionDisplay.from_estimator(hinge, X2)
    labels = fit_quietly(classifier(), X2, np.column_stack([y > 0, y > 1]).astype(int))
    with pytest.raises(ValueError, match="multilabel classifier with 2 labels"):
        DecisionRegionDisplay.from_estimator(labels, X2)
    for levels in ((0.5, 0.6), (0.9, 0.8), (0.9, 1.0)):
        with pytest.raises(ValueError, match="must be increasing and between"):
            DecisionRegionDisplay.from_estimator(clf, X2, levels=levels)
    with pytest.raises(ValueError, match=r"colors=\['r'\] has length 1, but there are 3 classes"):
        DecisionRegionDisplay.from_estimator(clf, X2, colors=["r"])
