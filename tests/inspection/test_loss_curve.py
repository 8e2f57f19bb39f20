"""Tests for torchmlp.inspection.loss_curve."""

import numpy as np
import pytest
from helpers import fit_quietly
from inspected import X2, classifier, y
from sklearn.neural_network import MLPClassifier

from torchmlp import TorchMLPRegressor
from torchmlp.inspection import (
    LossCurveDisplay,
)


def test_lines_are_the_curves_of_the_estimators(clf):
    lbfgs = fit_quietly(classifier(solver="lbfgs", early_stopping=False), X2, y)
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


def test_validation_curve_starts_at_the_fit_with_validation_data():
    model = fit_quietly(classifier(early_stopping=False, warm_start=True, max_iter=3), X2, y)
    fit_quietly(model, X2, y, X_val=X2, y_val=y)
    line = LossCurveDisplay.from_estimator(model).validation_lines_["training"]
    np.testing.assert_array_equal(line.get_xdata(), [4, 5, 6])


def test_empty_loss_curve_raises():
    mlp = fit_quietly(classifier(early_stopping=False, solver="lbfgs", time_limit=1e-9), X2, y)
    with pytest.raises(ValueError, match=r"'stopped' has an empty loss_curve_: .*time_limit"):
        LossCurveDisplay.from_estimator({"stopped": mlp})


def test_missing_loss_curve_raises():
    theirs = fit_quietly(MLPClassifier(solver="lbfgs", max_iter=3), X2, y)
    with pytest.raises(ValueError, match=r"'lbfgs one' has no loss_curve_: .*solver='lbfgs'"):
        LossCurveDisplay.from_estimator({"lbfgs one": theirs})
    with pytest.raises(ValueError, match="Pass at least one"):
        LossCurveDisplay.from_estimator({})


@pytest.mark.parametrize(("high", "labels"), [(0.9, "0.1 0.2 0.5 1"), (900.0, "0.1 1 10 100 1000")])
def test_logarithmic_axis_has_plain_numbers(high, labels):
    curve = np.geomspace(high, 0.08, 20)
    display = LossCurveDisplay(loss={"training": curve}).plot(yscale="log")
    display.figure_.draw_without_rendering()
    axis, (low, high) = display.ax_.yaxis, display.ax_.get_ylim()
    shown = [t.get_text() for t in axis.get_ticklabels(which="both") if low <= t._y <= high]
    assert " ".join(filter(None, shown)) == labels


def test_colors_of_the_networks(clf):
    display = LossCurveDisplay.from_estimator({"a": clf, "b": clf}, colors=["k", "r"])
    for lines in (display.lines_, display.validation_lines_, display.score_lines_):
        assert [line.get_color() for line in lines.values()] == ["k", "r"]
    with pytest.raises(ValueError, match=r"colors=\['k'\] has length 1, but there are 2 networks"):
        display.plot(colors=["k"])


def test_name_of_the_score_of_several_quantiles():
    model = TorchMLPRegressor(
        "quantile", quantile=[0.1, 0.9], early_stopping=True, max_iter=3, random_state=0
    )
    display = LossCurveDisplay.from_estimator(fit_quietly(model, X2, y))
    assert display.axes_[1].get_ylabel() == "validation\nD²"
