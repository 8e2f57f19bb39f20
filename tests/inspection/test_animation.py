"""Tests for torchmlp.inspection.animation."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import around_target, fit_quietly, iris
from matplotlib.animation import FuncAnimation, writers
from matplotlib.colors import to_rgba
from PIL import Image
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots, find_snapshots
from torchmlp.inspection import (
    TrainingAnimation,
)
from torchmlp.inspection.style import OKABE_ITO

X, y = iris()
X2 = X[:, 2:]
LINE = np.linspace(-3, 3, 40)[:, np.newaxis]
WAVES = np.column_stack([np.sin(LINE[:, 0]), np.cos(LINE[:, 0])])

SMALL = {"max_iter": 4, "random_state": 0, "batch_size": 20, "learning_rate_init": 0.02}


def classifier(X=X2, y=y, callbacks=True, **parameters):
    settings = {**SMALL, "callbacks": [Snapshots()] if callbacks else None, **parameters}
    return fit_quietly(TorchMLPClassifier((8,), **settings), X, y)


def regressor(X=LINE, y=WAVES[:, 0], callbacks=True, **parameters):
    settings = {**SMALL, "callbacks": [Snapshots()] if callbacks else None, **parameters}
    return fit_quietly(TorchMLPRegressor(hidden_layer_sizes=(30,), **settings), X, y)


@pytest.fixture(scope="module")
def sine():
    return regressor()


def show_every(display):
    """Yield the number of each frame and the display that the animation drew it with."""
    animation = display.animation()
    animation._draw_was_started = True
    assert len(list(animation.new_frame_seq())) == len(display.epochs)
    drawn = animation._func.__self__
    for frame in animation.new_frame_seq():
        animation._func(frame)
        yield frame, drawn


def test_frames_are_predictions_after_each_epoch(sine):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    grid = display.grid[0]
    assert (grid[0], grid[-1]) == pytest.approx((-3.6, 3.6))
    for frame, drawn in show_every(display):
        (line,) = drawn.lines_
        x, shown = line.get_data()
        np.testing.assert_array_equal(x, grid)
        if frame:
            after = regressor(callbacks=False, max_iter=frame)
        else:
            after = regressor(callbacks=False, max_iter=1, learning_rate_init=1e-300)
        np.testing.assert_array_equal(shown, after.predict(grid[:, np.newaxis]))
    assert frame == 4


def test_dot_follows_the_loss_curve(sine):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0], yscale="log")
    for frame, drawn in show_every(display):
        assert drawn.ax_.get_title() == f"epoch {frame}"
        assert drawn.axes_[1].get_yscale() == "linear"
        np.testing.assert_array_equal(drawn.loss_line_.get_ydata(), sine.loss_curve_)
        np.testing.assert_array_equal(drawn.past_line_.get_ydata(), sine.loss_curve_[:frame])
        expected = [[frame], [sine.loss_curve_[frame - 1]]] if frame else [[], []]
        np.testing.assert_array_equal(drawn.dot_.get_data(), expected)
    assert display.ax_.get_title() == "epoch 4"  # the display itself is unchanged
    assert display.axes_[1].get_yscale() == "log"


def test_plot_draws_one_epoch(sine):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0], epoch=2)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), display.predictions[2, 0])
    np.testing.assert_array_equal(display.dot_.get_data(), [[2], [sine.loss_curve_[1]]])
    assert display.plot().ax_.get_title() == "epoch 4"
    sparse = regressor(callbacks=True, max_iter=7)
    sparse = fit_quietly(sparse.set_params(callbacks=[Snapshots(every=3)]), LINE, WAVES[:, 0])
    display = TrainingAnimation.from_estimator(sparse, LINE, WAVES[:, 0], epoch=6)
    assert display.dot_.get_ydata()[0] == sparse.loss_curve_[5]
    with pytest.raises(ValueError, match=r"epoch=5 has no snapshot.*epochs 0, 3, 6, 7"):
        display.plot(epoch=5)


@pytest.mark.parametrize("epoch", [0, None])
def test_layout_gives_both_axes_room(sine, epoch):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0], epoch=epoch)
    display.figure_.draw_without_rendering()
    left, right = (ax.get_position() for ax in display.axes_)
    assert left.width > 0.4
    assert right.width > 0.25
    assert left.x1 < right.x0


def test_several_outputs_are_drawn_with_their_data():
    display = TrainingAnimation.from_estimator(regressor(y=WAVES), LINE, WAVES)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["y0", "y1"]
    for k, (line, scatter) in enumerate(zip(display.lines_, display.scatters_, strict=True)):
        np.testing.assert_array_equal(line.get_ydata(), display.predictions[-1, k])
        np.testing.assert_array_equal(scatter.get_offsets(), np.column_stack([LINE, WAVES[:, k]]))
        assert to_rgba(line.get_color())[:3] == tuple(scatter.get_facecolor()[0, :3])


def test_several_quantiles_of_one_target():
    levels = [0.9, 0.1, 0.5]
    model = regressor(loss="quantile", quantile=levels)
    display = TrainingAnimation.from_estimator(model, LINE, WAVES[:, 0])
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == ["y", "quantile 0.9", "quantile 0.1", "quantile 0.5"]
    (scatter,) = display.scatters_
    np.testing.assert_array_equal(scatter.get_offsets(), np.column_stack([LINE, WAVES[:, 0]]))
    assert len({line.get_color() for line in display.lines_}) == 3
    predicted = model.predict(display.grid.T)
    for _, drawn in show_every(display):
        low, high = (drawn.lines_[k].get_ydata() for k in (1, 0))
        assert (low <= high).all()
    for line, column in zip(drawn.lines_, predicted.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), column)
    with pytest.raises(ValueError, match="y has 2 columns, but the estimator predicts 1"):
        TrainingAnimation.from_estimator(model, LINE, WAVES)
    two = fit_quietly(model, X2, y)
    with pytest.raises(ValueError, match="estimator has 3 outputs, but with two features only one"):
        TrainingAnimation.from_estimator(two, X2, y)


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_bands_of_normal_distributions(n_targets, transformed):
    model = regressor(loss="gaussian")
    targets = WAVES[:, :n_targets] if n_targets > 1 else WAVES[:, 0]
    estimator = around_target(model, transformer=StandardScaler()) if transformed else model
    fitted = fit_quietly(estimator, LINE, targets)
    display = TrainingAnimation.from_estimator(fitted, LINE, targets)
    inner = fitted.regressor_ if transformed else fitted
    mean, std = (v.reshape(150, -1) for v in inner.predict(display.grid.T, return_std=True))
    center, scale = 0.0, 1.0
    if transformed:
        center, scale = fitted.transformer_.mean_, fitted.transformer_.scale_
    assert len(display.bands_) == len(display.lines_) == n_targets
    *_, (_, drawn) = show_every(display)
    for k, band in enumerate(drawn.bands_):
        below, above = np.split(band.get_xy()[:300, 1], 2)
        unscaled = [center + scale * (mean + sign * 1.96 * std) for sign in (-1, 1)]
        np.testing.assert_allclose(below, unscaled[0][:, k], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(above[::-1], unscaled[1][:, k], rtol=1e-9, atol=1e-12)
        low, high = drawn.ax_.get_ylim()
        assert low < below.min()
        assert above.max() < high


def test_mean_of_a_normal_distribution_of_two_features():
    model = fit_quietly(regressor(loss="gaussian"), X2, y)
    display = TrainingAnimation.from_estimator(model, X2, y, grid_resolution=20)
    assert display.bands_ == []
    assert display.lower is None
    assert display.predictions.shape == (5, 1, 20, 20)


def test_probabilities_of_one_feature():
    binary = classifier(X2[:, :1], np.array(["no", "yes"])[(y > 0).astype(int)])
    display = TrainingAnimation.from_estimator(binary, X2[:, :1], np.where(y > 0, "yes", "no"))
    for frame, drawn in show_every(display):
        (line,) = drawn.lines_
        snapshot = find_snapshots(binary)[frame]
        binary.coefs_, binary.intercepts_ = snapshot.coefs, snapshot.intercepts
        expected = binary.predict_proba(display.grid.T)[:, 1]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert display.ax_.get_ylabel() == "probability of yes"
    assert [set(s.get_offsets()[:, 1]) for s in display.scatters_] == [{0}, {1}]
    three = TrainingAnimation.from_estimator(classifier(X2[:, :1]), X2[:, :1], y)
    np.testing.assert_allclose(sum(line.get_ydata() for line in three.lines_), 1)
    assert [len(scatter.get_offsets()) for scatter in three.scatters_] == [50, 50, 50]


def test_regions_of_two_features():
    clf = classifier(y=np.array(["a", "b", "c"])[y])
    display = TrainingAnimation.from_estimator(
        clf, X2, np.array(["a", "b", "c"])[y], grid_resolution=9
    )
    xx0, xx1 = np.meshgrid(*display.grid)
    points = np.column_stack([xx0.ravel(), xx1.ravel()])
    for frame, drawn in show_every(display):
        snapshot = find_snapshots(clf)[frame]
        clf.coefs_, clf.intercepts_ = snapshot.coefs, snapshot.intercepts
        probabilities = clf.predict_proba(points)
        shown = np.asarray(drawn.image_.get_array()).reshape(-1, 4)
        expected = [to_rgba(OKABE_ITO[k])[:3] for k in probabilities.argmax(axis=1)]
        np.testing.assert_array_equal(shown[:, :3], expected)
        order = np.argsort(probabilities.max(axis=1))
        assert (np.diff(shown[order, 3]) >= 0).all()
    assert [text.get_text() for text in display.legend_.get_texts()] == ["a", "b", "c"]
    for k, scatter in enumerate(display.scatters_):
        np.testing.assert_array_equal(scatter.get_offsets(), X2[y == k])
        assert tuple(scatter.get_facecolor()[0]) == to_rgba(OKABE_ITO[k])


def test_map_of_two_features():
    reg = regressor(X2, X[:, 0])
    display = TrainingAnimation.from_estimator(reg, X2, X[:, 0], grid_resolution=9)
    xx0, xx1 = np.meshgrid(*display.grid)
    expected = reg.predict(np.column_stack([xx0.ravel(), xx1.ravel()])).reshape(9, 9)
    np.testing.assert_array_equal(display.image_.get_array(), expected)
    assert display.image_.get_clim() == (X[:, 0].min(), X[:, 0].max())
    np.testing.assert_array_equal(display.scatters_[0].get_array(), X[:, 0])
    for frame, drawn in show_every(display):
        np.testing.assert_array_equal(drawn.image_.get_array(), display.predictions[frame, 0])


def test_gif_has_every_frame(sine, tmp_path):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    open_before = plt.get_fignums()
    display.save(tmp_path / "sine.gif", fps=5, dpi=40)
    with Image.open(tmp_path / "sine.gif") as gif:
        assert gif.n_frames == len(find_snapshots(sine)) == 5
        assert gif.info["duration"] == 200
        assert gif.size == (360, 152)
        gif.seek(4)
        assert gif.info["duration"] == 1500  # a pause at the end
    display.save(str(tmp_path / "again.GIF"), dpi=20, loss_kw={"color": "k"})
    assert plt.get_fignums() == open_before


def test_gif_keeps_the_colors_of_classes_and_background(tmp_path):
    display = TrainingAnimation.from_estimator(classifier(max_iter=2), X2, y)
    display.save(tmp_path / "iris.gif", dpi=100)
    with Image.open(tmp_path / "iris.gif") as gif:
        gif.seek(2)
        pixels = np.asarray(gif.convert("RGB")).reshape(-1, 3) / 255
    assert (pixels[0] == 1).all()
    for color in OKABE_ITO[:4]:  # three classes and the dot
        assert np.abs(pixels - to_rgba(color)[:3]).max(axis=1).min() < 0.03


def test_gif_has_the_chosen_epochs(sine, tmp_path):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    display.save(tmp_path / "sine.gif", dpi=20, epochs=[0, 2, 4])
    with Image.open(tmp_path / "sine.gif") as gif:
        assert gif.n_frames == 3


def images_of(html, image_format="webp"):
    """Return the images in an HTML player, in the order of the frames."""
    urls = re.findall(rf"data:image/{image_format};base64,([A-Za-z0-9+/=]+)", html)
    last, *frames = (Image.open(io.BytesIO(base64.b64decode(url))) for url in urls)
    return [*frames, last]  # the last frame is shown if there is no JavaScript


@pytest.mark.parametrize("image_format", ["webp", "jpeg", "png"])
def test_player_has_every_frame(sine, image_format):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    open_before = plt.get_fignums()
    html = display.to_jshtml(fps=4, dpi=30, image_format=image_format)
    images = images_of(html, image_format)
    assert [image.size for image in images] == [(270, 114)] * 5
    assert "interval = 250.0, endPause = 1500" in html  # milliseconds
    assert plt.get_fignums() == open_before
    with pytest.raises(ValueError, match=r"image_format='bmp' must be one of \('webp', 'jpeg'"):
        display.to_jshtml(image_format="bmp")


def test_player_has_the_chosen_epochs(sine):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    every = images_of(display.to_jshtml(dpi=30, image_format="png"), "png")
    some = images_of(display.to_jshtml(dpi=30, image_format="png", epochs=[1, 4]), "png")
    assert [image.tobytes() for image in some] == [every[1].tobytes(), every[4].tobytes()]
    with pytest.raises(ValueError, match="epoch=5 has no snapshot"):
        display.to_jshtml(epochs=[1, 5])
    with pytest.raises(ValueError, match=r"epochs=\[\] is empty. Pass at least one epoch"):
        display.to_jshtml(epochs=[])


def test_player_needs_no_network(sine):
    html = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0]).to_jshtml(dpi=20)
    without_images = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"https?:|//[a-z]|<link|@import|url\(", without_images.replace("// A", ""))
    assert re.findall(r"<button[^>]*>(\w+)</button>", html) == ["Play", "Back", "Next"]


def test_files_are_small(tmp_path):
    display = TrainingAnimation.from_estimator(classifier(), X2, y)
    assert len(display.to_jshtml()) < 40_000 * len(display.epochs)
    display.save(tmp_path / "iris.gif")
    assert (tmp_path / "iris.gif").stat().st_size < 40_000 * len(display.epochs)


def test_notebook_shows_the_player_instead_of_the_figure(sine, monkeypatch):
    monkeypatch.setattr("torchmlp.inspection.player._MAX_NOTEBOOK_FRAMES", 3)
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    html = display._repr_html_()
    assert html.startswith('<div class="torchmlp-player"')
    assert len(images_of(html)) == 3
    assert plt.get_fignums() == []
    figure, axes = plt.subplots(1, 3)
    display.plot(axes[:2])._repr_html_()
    assert plt.get_fignums() == [figure.number]  # it has other axes


def test_failed_save_closes_its_figure(sine, tmp_path):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    open_before = plt.get_fignums()
    with pytest.raises(AttributeError, match="no_such"):
        display.save(tmp_path / "sine.gif", loss_kw={"no_such": 1})
    assert plt.get_fignums() == open_before


def test_unsupported_formats_raise(sine, tmp_path, monkeypatch):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    with pytest.raises(ValueError, match=r"sine\.avi' must end in \.gif or \.mp4"):
        display.save(tmp_path / "sine.avi")
    monkeypatch.setattr(type(writers), "is_available", lambda self, name: name != "ffmpeg")
    with pytest.raises(RuntimeError, match=r"needs ffmpeg.*Install it, or save a \.gif"):
        display.save(tmp_path / "sine.mp4")
    assert list(tmp_path.iterdir()) == []


def test_animation_in_given_axes(sine):
    display = TrainingAnimation.from_estimator(sine, LINE, WAVES[:, 0])
    axes = plt.figure().subplots(1, 2)
    animation = display.animation(axes, fps=20, prediction_kw={"color": "red"})
    assert isinstance(animation, FuncAnimation)
    assert animation._interval == 50
    assert axes[0].lines[0].get_color() == "red"
    animation._draw_was_started = True


def test_unsuitable_data_raise(sine):
    with pytest.raises(ValueError, match=r"no snapshots. Set callbacks="):
        TrainingAnimation.from_estimator(regressor(callbacks=False), LINE, WAVES[:, 0])
    with pytest.raises(ValueError, match="X must have 1 or 2 features to be drawn, got 4"):
        TrainingAnimation.from_estimator(classifier(X), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TrainingAnimation.from_estimator(sine, LINE, WAVES[:-1, 0])
    with pytest.raises(ValueError, match="y has 2 columns, but the estimator predicts 1"):
        TrainingAnimation.from_estimator(sine, LINE, WAVES)
    with pytest.raises(
        ValueError, match=r"y has classes \[3\] that .* its classes are \[0, 1, 2\]"
    ):
        TrainingAnimation.from_estimator(classifier(), X2, np.where(y == 2, 3, y))
    with pytest.raises(ValueError, match="with two features only one output can be drawn"):
        TrainingAnimation.from_estimator(regressor(X2, X[:, :2]), X2, X[:, :2])
    with pytest.raises(ValueError, match="loss='hinge' has no predict_proba"):
        TrainingAnimation.from_estimator(classifier(loss="hinge"), X2, y)
    labels = np.column_stack([y > 0, y > 1]).astype(int)
    with pytest.raises(ValueError, match="multilabel classifier with 2 labels"):
        TrainingAnimation.from_estimator(classifier(y=labels), X2, labels)
