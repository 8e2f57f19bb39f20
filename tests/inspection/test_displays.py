"""Tests for what all displays of torchmlp.inspection have in common."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import fit_quietly
from inspected import X2, X, classifier, recorded, y
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp.inspection import (
    DecisionRegionDisplay,
    HiddenFeaturesDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    TrainingAnimation,
    WeightsDisplay,
)

# display -> (what from_estimator takes after the estimator, a style, how to see it)
DISPLAYS = {
    LossCurveDisplay: ((), {"line_kw": {"lw": 7}}, lambda d: d.lines_["training"].get_linewidth()),
    NetworkDisplay: ((), {"edge_kw": {"lw": 7}}, lambda d: d.edges_[0].get_linewidth()[0]),
    HiddenFeaturesDisplay: ((X2,), {"image_kw": {"zorder": 7}}, lambda d: d.images_[0].zorder),
    DecisionRegionDisplay: ((X2, y), {"data_kw": {"zorder": 7}}, lambda d: d.scatters_[0].zorder),
    TrainingAnimation: ((X2, y), {"loss_kw": {"lw": 7}}, lambda d: d.past_line_.get_linewidth()),
    WeightsDisplay: ((X2,), {"image_kw": {"zorder": 7}}, lambda d: d.images_[0].zorder),
}

every_display = pytest.mark.parametrize("Display", DISPLAYS, ids=lambda cls: cls.__name__)


def _data(display):
    return {name: getattr(display, name) for name in inspect.signature(type(display)).parameters}


def assert_same_data(one, other):
    for name, value in _data(one).items():
        np.testing.assert_equal(_data(other)[name], value, err_msg=name)


@every_display
def test_display_follows_the_convention_of_scikit_learn(Display, clf):
    class Subclass(Display):
        pass

    arguments, style, seen = DISPLAYS[Display]
    display = Subclass.from_estimator(clf, *arguments)
    assert type(display) is Subclass
    parameters = inspect.signature(Display).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert list(inspect.signature(Display.plot).parameters)[:2] == ["self", "ax"]

    data = _data(display)
    bare = Display(**data)
    assert vars(bare).keys() == data.keys()
    assert all(vars(bare)[name] is value for name, value in data.items())
    drawn = set(vars(display)) - set(data)
    assert {"ax_", "figure_"} < drawn
    assert all(name.endswith("_") and not name.startswith("_") for name in drawn)
    assert bare.plot() is bare
    assert bare.figure_ is not display.figure_
    bare.figure_.draw_without_rendering()
    assert seen(bare) != 7
    assert seen(bare.plot(**style)) == 7  # the style overrides the defaults


@every_display
def test_display_draws_into_given_axes(Display, clf):
    arguments = DISPLAYS[Display][0]
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    display = Display.from_estimator(clf, *arguments, ax=right)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    n_needed = np.size(getattr(display, "axes_", display.ax_))
    assert (display.ax_ is right) == (n_needed == 1)
    figure.draw_without_rendering()
    assert left.get_position().x1 < display.ax_.get_position().x0  # the left side is unchanged
    if n_needed > 1:
        several = plt.figure().subplots(1, n_needed)
        display.plot(several)
        assert list(display.axes_) == list(several)
        with pytest.raises(ValueError, match=f"ax has {n_needed + 1} axes, but {n_needed} are"):
            display.plot(plt.figure().subplots(1, n_needed + 1))
        with pytest.raises(ValueError, match=f"Pass {n_needed} axes, or an axes created by plt"):
            display.plot(plt.figure().add_axes((0, 0, 1, 1)))


@every_display
def test_display_accepts_every_kind_of_estimator(Display, clf):
    arguments = DISPLAYS[Display][0]
    ours = Display.from_estimator(clf, *arguments)
    # scikit-learn's estimator has neither a validation loss nor snapshots
    if Display not in (LossCurveDisplay, TrainingAnimation, WeightsDisplay):
        assert_same_data(Display.from_estimator(clf.to_sklearn(), *arguments), ours)
    search = GridSearchCV(recorded(), {"alpha": [1e-4]}, cv=2)
    assert_same_data(Display.from_estimator(fit_quietly(search, X2, y), *arguments), ours)

    frame = pd.DataFrame(X2 * 3 + 1, columns=["length", "width"])
    pipeline = fit_quietly(make_pipeline(StandardScaler(), recorded()), frame, y)
    piped = Display.from_estimator(pipeline, *[frame, *arguments[1:]][: len(arguments)])
    if hasattr(piped, "feature_names"):
        assert piped.feature_names == ["length", "width"]
    if hasattr(piped, "probabilities"):  # in the units that the pipeline gets
        np.testing.assert_allclose(piped.x0, ours.x0 * 3 + 1)
        np.testing.assert_allclose(piped.probabilities, ours.probabilities, rtol=1e-6)


@every_display
def test_unsuitable_estimators_raise(Display, clf):
    arguments = DISPLAYS[Display][0]
    search = GridSearchCV(classifier(), {"alpha": [1e-4]}, cv=2)
    for unfitted in (classifier(), MLPClassifier(), make_pipeline(classifier()), search):
        with pytest.raises(NotFittedError):
            Display.from_estimator(unfitted, *arguments)
    not_refitted = fit_quietly(search.set_params(refit=False), X2, y)
    with pytest.raises(NotFittedError, match=r"no best_estimator_.*refit=True"):
        Display.from_estimator(not_refitted, *arguments)
    with pytest.raises(TypeError, match=r"estimator=LogisticRegression\(\) is not a multilayer"):
        Display.from_estimator(LogisticRegression().fit(X2, y), *arguments)
    if "feature_names" in inspect.signature(Display).parameters:
        with pytest.raises(ValueError, match=r"feature_names has 1 names, .*but 2 are required"):
            Display.from_estimator(clf, *arguments, feature_names=["a"])


@pytest.mark.parametrize("Display", [HiddenFeaturesDisplay, DecisionRegionDisplay])
def test_invalid_X_and_layer_raise(Display, clf):
    four = fit_quietly(classifier(), X, y)
    with pytest.raises(ValueError, match=r"X must have .*2 features to be drawn, got 4"):
        Display.from_estimator(four, X, grid_resolution=3)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 4"):
        Display.from_estimator(four, X2)
    with pytest.raises(ValueError, match="layer=2 is out of range: the network has 2 hidden"):
        Display.from_estimator(clf, X2, layer=2)


def test_legends_and_labels_are_optional(clf):
    losses = LossCurveDisplay.from_estimator(clf, legend=False)
    assert losses.legend_ is losses.ax_.get_legend() is None
    network = NetworkDisplay.from_estimator(clf, legend=False)
    assert network.legend_ is network.ax_.get_legend() is None
    regions = DecisionRegionDisplay.from_estimator(clf, X2, legend=False, contour_labels=False)
    assert regions.legend_ is regions.ax_.get_legend() is None
    assert not regions.ax_.texts
    samples = DecisionRegionDisplay.from_estimator(clf, X2, y, legend=False)
    assert samples.legend_ is samples.ax_.get_legend() is None
    assert DecisionRegionDisplay.from_estimator(clf, X2).ax_.texts


GRIDS = (HiddenFeaturesDisplay, DecisionRegionDisplay, TrainingAnimation)


@pytest.mark.parametrize("Display", GRIDS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid_resolution": 1}, "grid_resolution=1 must be an int from 2 to"),
        ({"grid_resolution": 2.5}, r"grid_resolution=2\.5 must be an int"),
        ({"grid_resolution": 2**63}, "grid_resolution=.* must be an int from 2 to"),
        ({"margin": -0.5}, r"margin=-0\.5 must be a number from 0 to"),
        ({"margin": np.nan}, "margin=nan must be a number from 0 to"),
        ({"margin": "wide"}, "margin='wide' must be a number"),
        ({"feature_names": 3}, "feature_names=3 must be a list of 2 names"),
    ],
)
def test_invalid_parameters_of_the_grid_raise(Display, parameters, message, clf):
    with pytest.raises((TypeError, ValueError), match=message):
        Display.from_estimator(clf, *DISPLAYS[Display][0], **parameters)


@pytest.mark.parametrize("Display", GRIDS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.full(X.shape, "red"),
        lambda X: X.astype("datetime64[s]"),
        lambda X: X[:, 0],
        lambda X: X * np.nan,
    ],
    ids=["text", "dates", "1d", "nan"],
)
def test_invalid_X_is_named(Display, change, clf):
    with pytest.raises((TypeError, ValueError), match=r"\bX\b"):
        Display.from_estimator(clf, change(X2), *DISPLAYS[Display][0][1:])


@pytest.mark.parametrize("Display", [DecisionRegionDisplay, TrainingAnimation])
@pytest.mark.parametrize("labels", [y[1:], np.c_[y, y], "text", [None] * 150], ids=str)
def test_invalid_y_is_named(Display, labels, clf):
    with pytest.raises((TypeError, ValueError), match=r"\by\b"):
        Display.from_estimator(clf, X2, labels)


def test_invalid_numbers_raise(clf):
    with pytest.raises(TypeError, match=r"layer=0\.5 must be an int"):
        HiddenFeaturesDisplay.from_estimator(clf, X2, layer=0.5)
    with pytest.raises(ValueError, match=r"image_shape=3 must be \(height, width\)"):
        HiddenFeaturesDisplay.from_estimator(clf, image_shape=3)
    with pytest.raises(ValueError, match="n_bins=-1 must be an int from 1 to"):
        WeightsDisplay.from_estimator(clf, X2, n_bins=-1)
