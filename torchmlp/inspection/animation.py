"""TrainingAnimation: the predictions of a network during training."""

from typing import Any, Literal, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.frames import class_samples, target_samples, training_frames
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.player import FIGSIZE, WIDTHS, PlayerMixin
from torchmlp.inspection.samples import scatter_groups
from torchmlp.inspection.style import (
    NEUTRAL,
    OKABE_ITO,
    class_image,
    distinct_colors,
    grid_of_axes,
    image_extent,
    label_log_axis,
    legend_beside,
    merge_style,
)

_CURRENT_COLOR = OKABE_ITO[3]  # of the artists that change between frames


class TrainingAnimation(PlayerMixin):
    """Animation of the predictions and the loss curve of a network during training.

    With one feature, predictions are drawn as curves: the predicted values of a regressor, or the
    class probabilities of a classifier (for binary classification, only that of the second
    class). With two features, predictions are drawn as an image: the predicted values of a
    regressor, or the most probable class of a classifier, whose color is more opaque for higher
    probabilities. With ``loss="gaussian"`` and one feature, the band of 1.96 standard deviations
    around the mean is drawn. A dot marks the current epoch on the loss curve. Epoch 0 is the
    untrained network, which has no loss.

    The weights of each frame are recorded by the callback
    :class:`~torchmlp.callbacks.Snapshots`. It is recommended to use
    :meth:`~torchmlp.inspection.TrainingAnimation.from_estimator` to create a
    :class:`TrainingAnimation`. All parameters are stored as attributes.

    Parameters
    ----------
    grid : ndarray of shape (n_features, n_points)
        Values of each feature at which predictions are computed.

    predictions : ndarray of shape (n_frames, n_outputs, n_points) or \
            (n_frames, n_outputs, n_points, n_points)
        Predicted values of each output, or probabilities of each class, on the grid. With two
        features, the last axis is the first feature.

    epochs : ndarray of shape (n_frames,)
        Number of epochs completed at each frame.

    loss : ndarray of shape (n_epochs,)
        Training loss of each epoch.

    X : ndarray of shape (n_samples, n_features)
        Samples to draw.

    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Class indices for a classifier, target values for a regressor.

    class_names : list of str, default=None
        Names of the classes. None for a regressor.

    output_names : list of str, default=None
        Names of the outputs of a regressor. By default, "y0", "y1" and so on.

    feature_names : list of str, default=None
        Names of the features. By default, "x0" and "x1".

    lower, upper : ndarray of shape (n_frames, n_outputs, n_points), default=None
        Limits of a band around each curve. If `None`, no bands are drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the predictions. Its title is the epoch.

    axes_ : ndarray of matplotlib Axes of shape (2,)
        `ax_` and the axes with the loss curve.

    figure_ : matplotlib Figure
        Figure containing the axes.

    scatters_ : list of matplotlib PathCollection
        Samples of each class or output.

    lines_ : list of matplotlib Line2D
        Prediction curves. Empty with two features.

    bands_ : list of matplotlib Polygon
        Band around each curve. Empty without `lower` and `upper`.

    image_ : matplotlib AxesImage or None
        Image of the predictions. None with one feature.

    loss_line_ : matplotlib Line2D
        The whole loss curve.

    past_line_ : matplotlib Line2D
        The loss curve up to the current epoch.

    dot_ : matplotlib Line2D
        The loss of the current epoch.

    legend_ : matplotlib Legend or None
        Legend of the classes or outputs.

    colorbar_ : matplotlib Colorbar or None
        Color bar of the predicted values. Only for a regressor with two features.

    See Also
    --------
    torchmlp.callbacks.Snapshots : Callback that records the weights.
    WeightsDisplay : Histograms of weights, gradients and activations.
    DecisionRegionDisplay : Decision regions of a fitted classifier.

    Notes
    -----
    In a notebook, the animation is displayed as a player with at most 50 frames.
    ``IPython.display.HTML(animation.to_jshtml())`` displays one with other settings.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from torchmlp import TorchMLPRegressor
    >>> from torchmlp.callbacks import Snapshots
    >>> from torchmlp.inspection import TrainingAnimation
    >>> X = np.linspace(-3, 3, 200)[:, np.newaxis]
    >>> y = np.sin(X.ravel())
    >>> reg = TorchMLPRegressor(
    ...     hidden_layer_sizes=(30,),
    ...     learning_rate_init=0.02,
    ...     max_iter=200,
    ...     callbacks=[Snapshots(every=5)],
    ...     random_state=0,
    ... ).fit(X, y)
    >>> animation = TrainingAnimation.from_estimator(reg, X, y)
    >>> animation.save("sine.gif", fps=8)  # doctest: +SKIP
    >>> animation.plot(epoch=10).ax_.get_title()
    'epoch 10'
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        grid: t.Array,
        predictions: t.Array,
        epochs: t.Array,
        loss: t.Array,
        X: t.Array,
        y: t.Array,
        class_names: t.Names | None = None,
        output_names: t.Names | None = None,
        feature_names: t.Names | None = None,
        lower: t.Array | None = None,
        upper: t.Array | None = None,
    ) -> None:
        self.grid = grid
        self.predictions = predictions
        self.epochs = epochs
        self.loss = loss
        self.X = X
        self.y = y
        self.class_names: Any = class_names  # None for a regressor
        self.output_names = output_names
        self.feature_names = feature_names
        self.lower = lower
        self.upper = upper

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: t.Matrix,
        y: t.Matrix,
        *,
        grid_resolution: int = 150,
        margin: float = 0.1,
        feature_names: t.Names | None = None,
        ax: t.AxesLike = None,
        **kwargs: Any,
    ) -> Self:
        """Create the animation from an estimator fitted with snapshots, and draw one epoch.

        Parameters
        ----------
        estimator : estimator
            A torchmlp MLP fitted with a :class:`~torchmlp.callbacks.Snapshots` in `callbacks`, or
            a Pipeline, search or TransformedTargetRegressor that contains one. Features and
            predictions are the inputs and outputs of `estimator` as a whole. The loss is that of
            the network, computed on the transformed targets if there is a target transformer.
        X : array-like of shape (n_samples, 1) or (n_samples, 2)
            Samples to draw. Their range determines the grid.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        grid_resolution : int, default=150
            Number of grid points along each feature.
        margin : float, default=0.1
            Fraction of the range of X by which the grid extends beyond it at both ends.
        feature_names : list of str, default=None
            Names of the features. By default, `feature_names_in_` of the estimator if defined,
            else "x0" and "x1".
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : TrainingAnimation
            The animation, with one epoch drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a multilayer perceptron.
        ValueError
            If the estimator has no snapshots, X has more than two features, y does not match X or
            contains unknown classes, or the predictions cannot be drawn (a classifier without
            `predict_proba`, a multilabel classifier, or several outputs with two features).
        """
        found = training_frames(
            find_model(estimator), X, y, grid_resolution=grid_resolution, margin=margin
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, len(found["grid"]), default)
        return cls(**found, feature_names=names).plot(ax, **kwargs)

    def plot(
        self,
        ax: t.AxesLike = None,
        *,
        epoch: int | None = None,
        yscale: Literal["linear", "log"] = "linear",
        data_kw: t.Style = None,
        prediction_kw: t.Style = None,
        loss_kw: t.Style = None,
    ) -> Self:
        """Draw one epoch.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on. A single axes is divided into two, side by side; set titles on `axes_`
            in that case. If `None`, a new figure is created.
        epoch : int, default=None
            Epoch to draw, one of `epochs`. If `None`, the last one.
        yscale : {"linear", "log"}, default="linear"
            Scale of the loss axis.
        data_kw : dict, default=None
            Keyword arguments for the samples, passed to :meth:`matplotlib.axes.Axes.scatter`.
        prediction_kw : dict, default=None
            Keyword arguments for the predictions, passed to :meth:`matplotlib.axes.Axes.plot`
            with one feature and to :meth:`matplotlib.axes.Axes.imshow` with two.
        loss_kw : dict, default=None
            Keyword arguments for the loss curve, passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : TrainingAnimation
            The animation.

        Raises
        ------
        ValueError
            If there is no snapshot of `epoch`.
        """
        frame = len(self.epochs) - 1 if epoch is None else self._frame_of(epoch)
        self.axes_ = grid_of_axes(ax, 2, 2, figsize=FIGSIZE, width_ratios=WIDTHS)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        self.lines_: list[Any] = []
        self.bands_: list[Any] = []
        self.scatters_: list[Any] = []
        self.image_ = self.colorbar_ = self.legend_ = None
        if len(self.grid) == 1:
            self._draw_curves(data_kw, prediction_kw)
        elif self.class_names is None:
            self._draw_map(data_kw, prediction_kw)
        else:
            self._draw_regions(data_kw, prediction_kw)
        self._draw_loss(yscale, loss_kw)
        self._show(frame)
        return self

    def _draw_curves(self, data_style, style):
        from matplotlib import rcParams
        from matplotlib.lines import Line2D

        is_regression = self.class_names is None
        names = self._checked_output_names() if is_regression else self.class_names
        n_curves = len(names)
        if is_regression:
            limits = [values for values in (self.lower, self.upper) if values is not None]
            drawn = np.concatenate([self.predictions, *limits], axis=1)
            points, ylim = target_samples(self.X[:, 0], self.y, drawn)
        else:
            points, ylim = class_samples(self.X[:, 0], self.y, self.predictions)
        colors = [_CURRENT_COLOR] if n_curves == 1 else distinct_colors(n_curves)
        # The samples have the colors of the curves, except for several quantiles of one target.
        several_quantiles = len(points) < n_curves
        labels = ["y"] if several_quantiles else names
        fills = [NEUTRAL] if len(points) == 1 else colors
        outline = {"edgecolor": rcParams["axes.facecolor"], "alpha": 0.8}
        self.scatters_ = scatter_groups(self.ax_, points, labels, fills, data_style, **outline)
        (x,) = self.grid
        is_binary = not is_regression and n_curves == 2
        for color, curve in list(zip(colors, names, strict=True))[1 if is_binary else 0 :]:
            label = {"label": curve} if several_quantiles else {}
            defaults = {"color": color, "linewidth": 2.2, **label}
            self.lines_ += self.ax_.plot(x, x, **merge_style(Line2D, defaults, style))
            if self.lower is not None:
                self.bands_ += self.ax_.fill(x, x, color=color, alpha=0.2, linewidth=0, zorder=1)
        (name,) = checked_names("feature_names", self.feature_names, 1)
        self.ax_.set(xlabel=name, ylabel=self._curve_label(), xlim=x[[0, -1]], ylim=ylim)
        if n_curves > 1:
            self.legend_ = legend_beside(self.ax_)

    def _checked_output_names(self):
        n_outputs = self.predictions.shape[1]
        default = [f"y{i}" for i in range(n_outputs)]
        return checked_names("output_names", self.output_names, n_outputs, default)

    def _curve_label(self):
        if self.class_names is None:
            return "target and prediction"
        if len(self.class_names) == 2:
            return f"probability of {self.class_names[1]}"
        return "probability"

    def _draw_regions(self, data_style, style):
        names, colors = self.class_names, distinct_colors(len(self.class_names))
        self._draw_image(style)
        groups = [self.X[self.y == k] for k in range(len(names))]
        self.scatters_ = scatter_groups(self.ax_, groups, names, colors, data_style)
        self.legend_ = legend_beside(self.ax_)

    def _draw_map(self, data_style, style):
        from matplotlib.collections import PathCollection

        image = self._draw_image({"vmin": self.y.min(), "vmax": self.y.max(), **(style or {})})
        scale = {"c": self.y[:, 0], "cmap": image.get_cmap(), "norm": image.norm}
        defaults = {"edgecolor": "white", "linewidth": 0.5, "s": 20, **scale}
        options = merge_style(PathCollection, defaults, data_style)
        self.scatters_ = [self.ax_.scatter(*self.X.T, **options)]
        (name,) = self._checked_output_names()
        self.colorbar_ = self.figure_.colorbar(image, ax=self.ax_, label=name)

    def _draw_image(self, style):
        from matplotlib.image import AxesImage

        defaults = {
            "origin": "lower",
            "extent": image_extent(self.grid),
            "aspect": "auto",
            "interpolation": "bilinear",
            "cmap": "cividis",
        }
        self.image_ = self.ax_.imshow(self._pixels(-1), **merge_style(AxesImage, defaults, style))
        names = checked_names("feature_names", self.feature_names, 2)
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        return self.image_

    def _pixels(self, frame):
        values = self.predictions[frame]
        return values[0] if self.class_names is None else class_image(values)

    def _draw_loss(self, yscale, style):
        from matplotlib import rcParams
        from matplotlib.lines import Line2D

        ax, epochs = self.axes_[1], np.arange(len(self.loss)) + 1
        defaults = {"color": rcParams["text.color"], "linewidth": 1.5}
        options = merge_style(Line2D, defaults, style)
        (self.loss_line_,) = ax.plot(epochs, self.loss, **{**options, "alpha": 0.3})
        (self.past_line_,) = ax.plot([], [], **options)
        (self.dot_,) = ax.plot([], [], "o", color=_CURRENT_COLOR, markersize=7, clip_on=False)
        self.dot_.set_in_layout(False)  # has no position at epoch 0
        ax.set(yscale=yscale, xlabel="epoch", ylabel="loss", xlim=(0, len(self.loss)))
        if yscale == "log":
            label_log_axis(ax.yaxis)

    def _show(self, frame):
        """Update the artists to show another frame."""
        for line, values in zip(self.lines_, self._curves(frame), strict=True):
            line.set_ydata(values)
        for k, band in enumerate(self.bands_):
            limits: Any = self.lower[frame, k], self.upper[frame, k]  # type: ignore[index]
            band.set_xy(_outline(self.grid[0], *limits))
        if self.image_ is not None:
            self.image_.set_data(self._pixels(frame))
        epoch = self.epochs[frame]
        self.past_line_.set_data(np.arange(epoch) + 1, self.loss[:epoch])
        self.dot_.set_data(np.arange(epoch)[-1:] + 1, self.loss[:epoch][-1:])
        self.ax_.set_title(f"epoch {epoch}")

    def _own_axes(self):
        return {*self.axes_, *([self.colorbar_.ax] if self.colorbar_ else [])}

    def _curves(self, frame):
        return self.predictions[frame][-len(self.lines_) :] if self.lines_ else []


def _outline(x, lower, upper):
    """Return the vertices of the region between two curves."""
    return np.column_stack([np.append(x, x[::-1]), np.append(lower, upper[::-1])])
