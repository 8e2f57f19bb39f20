"""Tests for torchmlp.inspection.piecewise_linear_encoding."""

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.preprocessing import KBinsDiscretizer

from torchmlp import tabular_pipeline
from torchmlp.inspection import PiecewiseLinearEncodingDisplay
from torchmlp.preprocessing import PiecewiseLinearEncoder

Display = PiecewiseLinearEncodingDisplay
RNG = np.random.RandomState(0)
X = RNG.randn(500, 3)
X[:, 1] *= 10
X[:50, 1] = np.nan
X[:, 2] = np.nan
FRAME = pd.DataFrame(X, columns=["age", "income", "empty"])


@pytest.fixture(scope="module")
def encoder():
    return PiecewiseLinearEncoder(5, min_samples_leaf=20).fit(FRAME, np.sin(X[:, 0]))


def test_display_shows_the_histogram_and_the_components(encoder):
    display = Display.from_estimator(encoder, FRAME, feature="income", n_bins=7)
    values = X[50:, 1]
    np.testing.assert_array_equal(display.counts, np.histogram(values, 7)[0])
    np.testing.assert_array_equal(display.histogram_edges, np.histogram(values, 7)[1])
    np.testing.assert_array_equal(display.bin_edges, encoder.bin_edges_[1])
    assert display.feature_name == "income"
    assert np.isin(display.bin_edges, display.grid).all()
    span = np.ptp(values)
    assert display.grid[0] == pytest.approx(values.min() - 0.05 * span)
    assert display.grid[-1] == pytest.approx(values.max() + 0.05 * span)

    table = pd.DataFrame({"age": 0.0, "income": display.grid, "empty": np.nan})
    encoded = pd.DataFrame(encoder.transform(table), columns=encoder.get_feature_names_out())
    columns = [name for name in encoded if name.startswith("income_bin_")]
    np.testing.assert_allclose(display.components, encoded[columns], rtol=1e-5, atol=1e-6)

    above, below = display.axes_
    assert (above.get_ylabel(), below.get_ylabel()) == ("samples", "component")
    assert below.get_xlabel() == "income"
    np.testing.assert_array_equal(display.histogram_.get_data().values, display.counts)
    for lines in display.edges_:
        np.testing.assert_array_equal([s[0, 0] for s in lines.get_segments()], display.bin_edges)
    assert len(display.lines_) == len(columns)
    for line, values in zip(display.lines_, display.components.T, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), display.grid)
        np.testing.assert_array_equal(line.get_ydata(), values)
    display.figure_.draw_without_rendering()


def test_display_follows_the_convention_of_scikit_learn(encoder):
    class Subclass(Display):
        pass

    display = Subclass.from_estimator(encoder, FRAME)
    assert type(display) is Subclass
    assert display.feature_name == "age"
    names = list(inspect.signature(Display).parameters)
    bare = Display(**{name: getattr(display, name) for name in names})
    assert list(vars(bare)) == names
    styles = {"histogram_kw": {"lw": 7}, "edge_kw": {"lw": 7}, "line_kw": {"lw": 7}}
    colors = ["red"] * len(display.lines_)
    assert bare.plot(colors=colors, **styles) is bare
    assert bare.histogram_.get_linewidth() == 7
    assert [lines.get_linewidth()[0] for lines in bare.edges_] == [7, 7]
    assert {(line.get_linewidth(), line.get_color()) for line in bare.lines_} == {(7, "red")}
    assert bare.figure_ is not display.figure_
    with pytest.raises(ValueError, match=r"colors=\['red'\] has length 1, but there are"):
        bare.plot(colors=["red"])


def test_display_draws_into_given_axes(encoder):
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    display = Display.from_estimator(encoder, FRAME, ax=right)
    assert display.figure_ is figure
    figure.draw_without_rendering()
    assert left.get_position().x1 < display.ax_.get_position().x0
    several = plt.figure().subplots(2, 1)
    assert list(display.plot(several).axes_) == list(several)


@pytest.mark.parametrize("feature", [0, -3, np.int64(0), "x0"])
def test_feature_is_an_index_or_a_name(feature):
    encoder = PiecewiseLinearEncoder(bins="quantile").fit(X)
    display = Display.from_estimator(encoder, X, feature=feature)
    np.testing.assert_array_equal(display.bin_edges, encoder.bin_edges_[0])
    assert display.feature_name == "x0"


def test_constant_feature_and_values_outside_of_the_bins():
    constant = PiecewiseLinearEncoder(bins="quantile").fit(np.ones((9, 1)))
    display = Display.from_estimator(constant, np.ones((9, 1)))
    assert (display.components == 0).all()
    display.figure_.draw_without_rendering()
    narrow = PiecewiseLinearEncoder(bins="quantile").fit(np.linspace(0, 1, 9)[:, None])
    display = Display.from_estimator(narrow, [[-1.0], [3.0]])
    assert display.histogram_edges[[0, -1]].tolist() == [-1, 3]
    assert display.counts.sum() == 2


@pytest.mark.parametrize("sign", [1, -1])
def test_outliers_do_not_widen_the_range(sign):
    values = np.r_[np.linspace(0, 1, 999), 100][:, None] * sign
    encoder = PiecewiseLinearEncoder(5, bins="quantile").fit(values)
    display = Display.from_estimator(encoder, values, margin=1e-9)
    low, high = np.sort([0, 0.995 * sign])
    np.testing.assert_allclose(display.histogram_edges[[0, -1]], [low, high], atol=2e-3)
    np.testing.assert_allclose(display.grid[[0, -1]], [low, high], atol=2e-3)
    assert np.isin(encoder.bin_edges_[0][1:-1], display.grid).all()
    assert len(display.lines_) == 5
    isolated = np.linspace(0, 1, 1000)[:, None]
    isolated[-2:, 0] = 50, 100
    encoder = PiecewiseLinearEncoder(min_samples_leaf=1).fit(isolated, isolated.ravel() > 60)
    display = Display.from_estimator(encoder, isolated)
    assert display.histogram_edges[[0, -1]].tolist() == [0, 50]  # the inner edge
    display.figure_.draw_without_rendering()


def test_many_edges_are_thin():
    for n_bins, width in ((5, 0.8), (40, 0.4)):
        encoder = PiecewiseLinearEncoder(n_bins, bins="quantile").fit(X)
        display = Display.from_estimator(encoder, X)
        assert display.edges_[0].get_linewidth() == [width]


def test_the_encoder_of_a_tabular_pipeline():
    model = tabular_pipeline(Ridge()).fit(FRAME, X[:, 0])
    with pytest.raises(TypeError, match=r"^Pass .*pipeline\[0\].named_transformers_\['numbers'\]"):
        Display.from_estimator(model, FRAME)
    encoder = model[0].named_transformers_["numbers"]
    assert Display.from_estimator(encoder, FRAME, feature="age").feature_name == "age"


def test_unsuitable_arguments_raise(encoder):
    with pytest.raises(NotFittedError):
        Display.from_estimator(PiecewiseLinearEncoder(), X)
    with pytest.raises(TypeError, match=r"^Pass a fitted Pi.* estimator=KBinsDiscretizer\(\)"):
        Display.from_estimator(KBinsDiscretizer(), X)
    for feature in ("height", 3, -4):
        with pytest.raises(ValueError, match=rf"feature={feature!r} is not a feature .*'age'"):
            Display.from_estimator(encoder, FRAME, feature=feature)
    with pytest.raises(ValueError, match="feature='empty' has only missing values"):
        Display.from_estimator(encoder, FRAME, feature="empty")
    with pytest.raises(ValueError, match="feature='income' has only missing values"):
        Display.from_estimator(encoder, FRAME[:50], feature="income")
