"""Displays keep scikit-learn's convention, and draw what the networks compute."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import fit_quietly, iris
from matplotlib.colors import to_rgba
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots
from torchmlp.inspection import (
    DecisionRegionDisplay,
    HiddenFeaturesDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    TrainingAnimation,
    WeightsDisplay,
)
from torchmlp.inspection.style import NEGATIVE, POSITIVE

X, y = iris()
X2 = X[:, 2:]
LINE = np.linspace(-3, 3, 50)[:, np.newaxis]


def _classifier(**parameters):
    settings = dict(max_iter=8, early_stopping=True, learning_rate_init=0.02, random_state=0)
    return TorchMLPClassifier((5, 4), "tanh", **{**settings, **parameters})


def _recorded():
    return _classifier(callbacks=[Snapshots(every=4)])


@pytest.fixture(scope="module")
def clf():
    return fit_quietly(_recorded(), X2, y)


@pytest.fixture(scope="module")
def reg():
    model = TorchMLPRegressor(hidden_layer_sizes=(6,), random_state=0, solver="lbfgs", max_iter=60)
    return fit_quietly(model, LINE, np.sin(LINE[:, 0]))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    model = TorchMLPClassifier((80, 20), max_iter=2, random_state=0)
    return fit_quietly(model, X[:300] / 16, y[:300])


def _a_line(display):
    return next(iter(display.boundaries_.values()))


# display -> (what from_estimator takes after the estimator, a style, how to see it)
DISPLAYS = {
    LossCurveDisplay: ((), {"line_kw": {"lw": 7}}, lambda d: d.lines_["training"].get_linewidth()),
    NetworkDisplay: ((), {"edge_kw": {"lw": 7}}, lambda d: d.edges_[0].get_linewidth()[0]),
    HiddenFeaturesDisplay: ((X2,), {"image_kw": {"zorder": 7}}, lambda d: d.images_[0].zorder),
    DecisionRegionDisplay: ((X2,), {"boundary_kw": {"zorder": 7}}, lambda d: _a_line(d).zorder),
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
def test_convention(Display, clf):
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
    assert seen(bare.plot(**style)) == 7  # the user's style goes over the defaults


@every_display
def test_given_axes(Display, clf):
    arguments = DISPLAYS[Display][0]
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    display = Display.from_estimator(clf, *arguments, ax=right)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    n_needed = np.size(getattr(display, "axes_", display.ax_))
    assert (display.ax_ is right) == (n_needed == 1)
    figure.draw_without_rendering()
    assert left.get_position().x1 < display.ax_.get_position().x0  # one side is left alone
    if n_needed > 1:
        several = plt.figure().subplots(1, n_needed)
        display.plot(several)
        assert list(display.axes_) == list(several)
        with pytest.raises(ValueError, match=f"ax has {n_needed + 1} axes, but {n_needed} are"):
            display.plot(plt.figure().subplots(1, n_needed + 1))
        with pytest.raises(ValueError, match=f"Pass {n_needed} axes, or an axes created by plt"):
            display.plot(plt.figure().add_axes((0, 0, 1, 1)))


@every_display
def test_every_kind_of_estimator(Display, clf):
    arguments = DISPLAYS[Display][0]
    ours = Display.from_estimator(clf, *arguments)
    # scikit-learn's has neither a validation loss nor snapshots
    if Display not in (LossCurveDisplay, TrainingAnimation, WeightsDisplay):
        assert_same_data(Display.from_estimator(clf.to_sklearn(), *arguments), ours)
    search = GridSearchCV(_recorded(), {"alpha": [1e-4]}, cv=2)
    assert_same_data(Display.from_estimator(fit_quietly(search, X2, y), *arguments), ours)

    frame = pd.DataFrame(X2 * 3 + 1, columns=["length", "width"])
    pipeline = fit_quietly(make_pipeline(StandardScaler(), _recorded()), frame, y)
    piped = Display.from_estimator(pipeline, *[frame, *arguments[1:]][: len(arguments)])
    if hasattr(piped, "feature_names"):
        assert piped.feature_names == ["length", "width"]
    if hasattr(piped, "probabilities"):  # in the units that the pipeline gets
        np.testing.assert_allclose(piped.x0, ours.x0 * 3 + 1)
        np.testing.assert_allclose(piped.probabilities, ours.probabilities, rtol=1e-6)


@every_display
def test_bad_estimators(Display, clf):
    arguments = DISPLAYS[Display][0]
    search = GridSearchCV(_classifier(), {"alpha": [1e-4]}, cv=2)
    for unfitted in (_classifier(), MLPClassifier(), make_pipeline(_classifier()), search):
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
def test_bad_X_and_layers(Display, clf):
    four = fit_quietly(_classifier(), X, y)
    with pytest.raises(ValueError, match=r"X must have .*2 features to be drawn, got 4"):
        Display.from_estimator(four, X, grid_resolution=3)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 4"):
        Display.from_estimator(four, X2)
    with pytest.raises(ValueError, match="layer=2 is out of range: the network has 2 hidden"):
        Display.from_estimator(clf, X2, layer=2)


def test_loss_curves(clf):
    lbfgs = fit_quietly(_classifier(solver="lbfgs", early_stopping=False), X2, y)
    theirs = fit_quietly(MLPClassifier(max_iter=4, random_state=0), X2, y)
    models = {"early": clf, "lbfgs": lbfgs, "theirs": theirs}
    display = LossCurveDisplay.from_estimator(models, yscale="log")
    for name, model in models.items():
        steps, losses = display.lines_[name].get_data()
        np.testing.assert_array_equal(losses, model.loss_curve_)
        np.testing.assert_array_equal(steps, np.arange(model.n_iter_) + 1)
    assert len({line.get_color() for line in display.lines_.values()}) == 3
    validation, score = display.validation_lines_["early"], display.score_lines_["early"]
    assert set(display.validation_lines_) == set(display.score_lines_) == {"early"}
    np.testing.assert_array_equal(validation.get_ydata(), clf.validation_loss_curve_)
    np.testing.assert_array_equal(score.get_ydata(), clf.validation_scores_)
    assert score.get_markevery() == [np.argmax(clf.validation_scores_)]
    assert score.axes is display.axes_[1]
    assert score.axes.get_ylabel() == "validation\naccuracy"
    assert (display.ax_.get_yscale(), display.axes_[1].get_yscale()) == ("log", "linear")
    assert display.axes_[1].get_xlabel() == "epoch or iteration"
    entries = [text.get_text() for text in display.legend_.get_texts()]
    assert entries == ["early", "lbfgs", "theirs", "validation"]
    alone = LossCurveDisplay.from_estimator(theirs)
    assert (len(alone.axes_), alone.legend_) == (1, None)


def test_validation_data_that_came_late():
    model = fit_quietly(_classifier(early_stopping=False, warm_start=True, max_iter=3), X2, y)
    fit_quietly(model, X2, y, X_val=X2, y_val=y)
    line = LossCurveDisplay.from_estimator(model).validation_lines_["training"]
    np.testing.assert_array_equal(line.get_xdata(), [4, 5, 6])


def test_no_loss_curve():
    theirs = fit_quietly(MLPClassifier(solver="lbfgs", max_iter=3), X2, y)
    with pytest.raises(ValueError, match=r"'lbfgs one' has no loss_curve_: .*solver='lbfgs'"):
        LossCurveDisplay.from_estimator({"lbfgs one": theirs})
    with pytest.raises(ValueError, match="Pass at least one"):
        LossCurveDisplay.from_estimator({})


@pytest.mark.parametrize("scale", ["layer", "network"])
@pytest.mark.parametrize("orientation", ["horizontal", "vertical"])
def test_edges_and_neurons(clf, orientation, scale):
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
            ends = [  # the neurons on whose rims the edge begins and ends
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


def test_curves_add_up_to_the_prediction(reg):
    display = HiddenFeaturesDisplay.from_estimator(reg, LINE, max_units=4)
    grid, total = display.output_line_.get_data()
    np.testing.assert_allclose(total, reg.predict(grid[:, np.newaxis]), rtol=1e-9, atol=1e-12)
    assert (grid[0], grid[-1]) == (-3, 3)
    hidden = reg.hidden_activations(grid[:, np.newaxis])[0]
    assert len(display.lines_) == len(display.contribution_lines_) == 4
    left_out = np.setdiff1d(np.arange(6), display.shown_units_)
    assert display.strength[left_out].max() <= display.strength[display.shown_units_].min()
    drawn = zip(display.shown_units_, display.lines_, display.contribution_lines_, strict=True)
    for unit, line, weighted in drawn:
        np.testing.assert_allclose(line.get_ydata(), hidden[:, unit])
        np.testing.assert_allclose(weighted.get_ydata(), hidden[:, unit] * reg.coefs_[1][unit, 0])
        assert line.get_color() == weighted.get_color()
    with pytest.raises(ValueError, match="max_units=0 must be at least 1"):
        display.plot(max_units=0)
    with pytest.raises(ValueError, match="output=1 is out of range: n_outputs_=1"):
        HiddenFeaturesDisplay.from_estimator(reg, LINE, output=1)


def test_only_the_last_hidden_layer_adds_up():
    model = fit_quietly(_classifier(), X2[:, :1], y)
    first = HiddenFeaturesDisplay.from_estimator(model, X2[:, :1], layer=0)
    assert (len(first.axes_), len(first.lines_)) == (1, 5)
    last = HiddenFeaturesDisplay.from_estimator(model, X2[:, :1], output=2)
    scores = model.predict_logits(last.grid.T)[:, 2]
    np.testing.assert_allclose(last.output_line_.get_ydata(), scores, rtol=1e-9)
    assert last.output_line_.get_label() == "raw output, 2"


def test_maps_are_the_hidden_activations(clf):
    display = HiddenFeaturesDisplay.from_estimator(clf, X2, grid_resolution=11, scale="unit")
    xx0, xx1 = np.meshgrid(*display.grid)
    hidden = clf.hidden_activations(np.column_stack([xx0.ravel(), xx1.ravel()]))[1]
    assert len(display.images_) == len(display.axes_) == 4
    for unit, image in enumerate(display.images_):
        np.testing.assert_allclose(image.get_array(), hidden[:, unit].reshape(11, 11))
        assert image.get_clim()[1] == np.abs(hidden[:, unit]).max()
        assert image.origin == "lower"
    half = np.ptp(X2[:, 0]) / 10 / 2  # of a pixel: the centres are on the grid
    edges = X2[:, 0].min() - half, X2[:, 0].max() + half
    np.testing.assert_allclose(image.get_extent()[:2], edges)


def test_images_are_the_first_weights(digits):
    display = HiddenFeaturesDisplay.from_estimator(digits, image_shape=(8, 8), max_units=5)
    assert len(display.shown_units_) == 5
    for unit, image in zip(display.shown_units_, display.images_, strict=True):
        np.testing.assert_array_equal(image.get_array(), digits.coefs_[0][:, unit].reshape(8, 8))
    assert display.colorbar_.ax.get_ylabel() == "weight (5 of 80 units)"
    with pytest.raises(ValueError, match=r"image_shape=\(4, 4\) must be .* inputs .*, 64"):
        HiddenFeaturesDisplay.from_estimator(digits, image_shape=(4, 4))
    with pytest.raises(ValueError, match="X=None requires image_shape"):
        HiddenFeaturesDisplay.from_estimator(digits)


def test_regions_and_contours(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2, levels=(0.6, 0.8), layer=None)
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


def test_boundaries_of_units_are_straight(clf):
    display = DecisionRegionDisplay.from_estimator(clf, X2)
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


def test_what_has_no_regions(clf, reg):
    with pytest.raises(TypeError, match=r"is not a classifier.*DecisionBoundaryDisplay"):
        DecisionRegionDisplay.from_estimator(reg, X2)
    hinge = fit_quietly(_classifier(loss="hinge"), X2, y)
    with pytest.raises(ValueError, match="loss='hinge' has no predict_proba"):
        DecisionRegionDisplay.from_estimator(hinge, X2)
    labels = fit_quietly(_classifier(), X2, np.column_stack([y > 0, y > 1]).astype(int))
    with pytest.raises(ValueError, match="multilabel classifier with 2 labels"):
        DecisionRegionDisplay.from_estimator(labels, X2)
    for levels in ((0.5, 0.6), (0.9, 0.8), (0.9, 1.0)):
        with pytest.raises(ValueError, match="must be increasing and between"):
            DecisionRegionDisplay.from_estimator(clf, X2, levels=levels)
    with pytest.raises(ValueError, match=r"colors=\['r'\] has length 1, but there are 3 classes"):
        DecisionRegionDisplay.from_estimator(clf, X2, colors=["r"])


def test_legends_and_labels_can_be_left_out(clf):
    losses = LossCurveDisplay.from_estimator(clf, legend=False)
    assert losses.legend_ is losses.ax_.get_legend() is None
    network = NetworkDisplay.from_estimator(clf, legend=False)
    assert network.legend_ is network.ax_.get_legend() is None
    regions = DecisionRegionDisplay.from_estimator(clf, X2, legend=False, contour_labels=False)
    assert regions.legend_ is regions.ax_.get_legend() is None
    assert not regions.ax_.texts
    assert DecisionRegionDisplay.from_estimator(clf, X2).ax_.texts
