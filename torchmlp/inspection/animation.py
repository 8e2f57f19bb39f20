"""TrainingAnimation: a network while it learns, epoch by epoch."""

import numpy as np

from torchmlp.inspection.frames import training_frames
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.player import FIGSIZE, WIDTHS, PlayerMixin
from torchmlp.inspection.style import (
    NEUTRAL,
    OKABE_ITO,
    class_image,
    distinct_colors,
    grid_of_axes,
    image_extent,
    legend_beside,
    merged,
)

_NOW = OKABE_ITO[3]  # the colour of what moves


class TrainingAnimation(PlayerMixin):
    """The predictions of a network beside its loss curve, from untrained to trained.

    Of one feature the prediction is a curve: the value for a regressor, the probability for a
    classifier, of the second class if there are two, else of each. Of two features it is a map:
    the value for a regressor; for a classifier the region of each class in its colour, the
    stronger the more probable it is. A dot goes along the loss curve. Epoch 0 is the network
    before its first step, which has no loss yet.

    The weights come from a :class:`~torchmlp.callbacks.Snapshots` among the callbacks. It is
    recommended to use :meth:`~torchmlp.inspection.TrainingAnimation.from_estimator`. All
    parameters are stored as attributes.

    Parameters
    ----------
    grid : ndarray of shape (n_features, n_points)
        Values of the features.

    predictions : ndarray of shape (n_frames, n_outputs, n_points) or \
            (n_frames, n_outputs, n_points, n_points)
        Values of each output, or probabilities of each class, along one feature or, second
        feature first, on a grid of two.

    epochs : ndarray of shape (n_frames,)
        After how many epochs these were.

    loss : ndarray of shape (n_epochs,)
        Training loss of every epoch.

    X : ndarray of shape (n_samples, n_features)
        The data.

    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        For a classifier, the indices of their classes; for a regressor, their targets.

    class_names : list of str, default=None
        Names of the classes; None for a regressor.

    output_names : list of str, default=None
        Names of the outputs of a regressor; "y0", "y1" and so on by default.

    feature_names : list of str, default=None
        Names of the features; "x0" and "x1" by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the predictions, with the epoch as title.

    axes_ : ndarray of matplotlib Axes of shape (2,)
        `ax_`, and the axes with the loss.

    figure_ : matplotlib Figure
        Figure with both.

    scatters_ : list of matplotlib PathCollection
        The data, by class or output.

    lines_ : list of matplotlib Line2D
        Predictions along one feature.

    image_ : matplotlib AxesImage or None
        Predictions over two features.

    loss_line_ : matplotlib Line2D
        The whole loss curve.

    past_line_ : matplotlib Line2D
        Its part up to the epoch that is shown.

    dot_ : matplotlib Line2D
        The loss of that epoch.

    legend_ : matplotlib Legend or None
        The classes, or several outputs.

    colorbar_ : matplotlib Colorbar or None
        Scale of a regressor's map.

    See Also
    --------
    torchmlp.callbacks.Snapshots : The callback that records the training.
    WeightsDisplay : Weights, gradients and activations at the same snapshots.
    DecisionRegionDisplay : The regions of a fitted classifier, with more detail.

    Notes
    -----
    In a notebook, ``IPython.display.HTML(animation.to_jshtml())`` shows a player.

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
        grid,
        predictions,
        epochs,
        loss,
        X,
        y,
        class_names=None,
        output_names=None,
        feature_names=None,
    ):
        self.grid = grid
        self.predictions = predictions
        self.epochs = epochs
        self.loss = loss
        self.X = X
        self.y = y
        self.class_names = class_names
        self.output_names = output_names
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        grid_resolution=150,
        margin=0.1,
        feature_names=None,
        ax=None,
        **kwargs,
    ):
        """Draw the last epoch of a network that was fitted with snapshots.

        Parameters
        ----------
        estimator : estimator
            An MLP of torchmlp fitted with a :class:`~torchmlp.callbacks.Snapshots` among its
            `callbacks`, or a Pipeline, a search or a TransformedTargetRegressor with one in it.
            The features are those that the estimator gets, and predictions are values of y. The
            loss is that of the network, for transformed targets if they are.
        X : array-like of shape (n_samples, 1) or (n_samples, 2)
            Data to show, whose range is drawn.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        grid_resolution : int, default=150
            Number of points along each feature.
        margin : float, default=0.1
            By which share of its length to widen the range of X at both ends.
        feature_names : list of str, default=None
            Names of the features: by default those of the columns the estimator was fitted on, or
            "x0" and "x1".
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw, as in :meth:`plot`.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TrainingAnimation
            The animation, with one epoch drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no multilayer perceptron.
        ValueError
            If it has no snapshots, X has more than two features, y other samples or classes, or
            the predictions cannot be drawn: those of a classifier without probabilities or with
            several labels, and several outputs over two features.
        """
        found = training_frames(
            find_model(estimator), X, y, grid_resolution=grid_resolution, margin=margin
        )
        default = getattr(estimator, "feature_names_in_", None)
        names = checked_names("feature_names", feature_names, len(found["grid"]), default)
        return cls(**found, feature_names=names).plot(ax, **kwargs)

    def plot(
        self,
        ax=None,
        *,
        epoch=None,
        yscale="linear",
        data_kw=None,
        prediction_kw=None,
        loss_kw=None,
    ):
        """Draw one epoch.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw. One axes is divided into two, beside each other, and a title is then
            for `axes_`. None is a new figure.
        epoch : int, default=None
            One of those in `epochs`; None for the last.
        yscale : {"linear", "log"}, default="linear"
            Scale of the loss.
        data_kw : dict, default=None
            Style of the data, as for :meth:`matplotlib.axes.Axes.scatter`.
        prediction_kw : dict, default=None
            Style of the predictions, as for :class:`matplotlib.lines.Line2D` or, of two features,
            :meth:`matplotlib.axes.Axes.imshow`.
        loss_kw : dict, default=None
            Style of the loss curve, as for :class:`matplotlib.lines.Line2D`.

        Returns
        -------
        display : TrainingAnimation
            The animation itself.

        Raises
        ------
        ValueError
            If there is no snapshot of that epoch.
        """
        frame = len(self.epochs) - 1 if epoch is None else self._frame_of(epoch)
        self.axes_ = grid_of_axes(ax, 2, 2, figsize=FIGSIZE, width_ratios=WIDTHS)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.lines_, self.scatters_ = [], []
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

    def _frame_of(self, epoch):
        (frames,) = np.nonzero(np.asarray(self.epochs) == epoch)
        if not len(frames):
            raise ValueError(
                f"epoch={epoch!r} has no snapshot; there are some of epochs "
                f"{', '.join(map(str, self.epochs))}."
            )
        return frames[0]

    def _scatter(self, x0, x1, style, **defaults):
        from matplotlib import rcParams
        from matplotlib.collections import PathCollection

        edge = {"edgecolor": rcParams["axes.facecolor"], "linewidth": 0.5, "s": 22}
        options = merged(PathCollection, {**edge, **defaults}, style)
        self.scatters_.append(self.ax_.scatter(x0, x1, **options))

    def _draw_curves(self, data_style, style):
        from matplotlib.lines import Line2D

        n_curves = self.predictions.shape[1]
        (x,) = self.grid
        if self.class_names is None:
            n_shown, names = n_curves, self._names_of_outputs()
            targets = [(self.X[:, 0], self.y[:, k]) for k in range(n_curves)]
            self.ax_.set_ylim(*_widened(np.append(self.y, self.predictions[-1])))
        else:
            n_shown, names = (1 if n_curves == 2 else n_curves), self.class_names[-n_curves:]
            heights = _heights_of_classes(n_curves)
            rows = [self.X[self.y == k, 0] for k in range(n_curves)]
            targets = [(row, np.full(len(row), h)) for row, h in zip(rows, heights, strict=True)]
            self.ax_.set_ylim(min(*heights, 0) - 0.06, max(heights) + 0.06)
        colors = [_NOW] if n_curves == 1 else distinct_colors(n_curves)
        for (x0, x1), name, color in zip(targets, names, colors, strict=True):
            fill = NEUTRAL if n_curves == 1 else color
            self._scatter(x0, x1, data_style, facecolor=fill, label=name, alpha=0.8)
        for color in colors[-n_shown:]:
            defaults = {"color": color, "linewidth": 2.2}
            self.lines_ += self.ax_.plot(x, x, **merged(Line2D, defaults, style))
        (name,) = checked_names("feature_names", self.feature_names, 1)
        self.ax_.set(xlabel=name, ylabel=self._label_of_curves(), xlim=x[[0, -1]])
        if n_curves > 1:
            self.legend_ = legend_beside(self.ax_)

    def _names_of_outputs(self):
        n_outputs = self.predictions.shape[1]
        default = [f"y{i}" for i in range(n_outputs)]
        return checked_names("output_names", self.output_names, n_outputs, default)

    def _label_of_curves(self):
        if self.class_names is None:
            return "prediction"
        if len(self.class_names) == 2:
            return f"probability of {self.class_names[1]}"
        return "probability"

    def _draw_regions(self, data_style, style):
        colors = distinct_colors(len(self.class_names))
        self._draw_image(style)
        for k, (name, color) in enumerate(zip(self.class_names, colors, strict=True)):
            x0, x1 = self.X[self.y == k].T
            self._scatter(x0, x1, data_style, facecolor=color, edgecolor="white", label=name)
        self.legend_ = legend_beside(self.ax_)

    def _draw_map(self, data_style, style):
        image = self._draw_image({"vmin": self.y.min(), "vmax": self.y.max(), **(style or {})})
        x0, x1 = self.X.T
        scale = {"cmap": image.get_cmap(), "norm": image.norm}
        self._scatter(x0, x1, data_style, c=self.y[:, 0], edgecolor="white", **scale)
        (name,) = self._names_of_outputs()
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
        self.image_ = self.ax_.imshow(self._pixels(-1), **merged(AxesImage, defaults, style))
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
        options = merged(Line2D, defaults, style)
        (self.loss_line_,) = ax.plot(epochs, self.loss, **{**options, "alpha": 0.3})
        (self.past_line_,) = ax.plot([], [], **options)
        (self.dot_,) = ax.plot([], [], "o", color=_NOW, markersize=7, clip_on=False)
        self.dot_.set_in_layout(False)  # it is nowhere at epoch 0
        ax.set(yscale=yscale, xlabel="epoch", ylabel="loss", xlim=(0, len(self.loss)))

    def _show(self, frame):
        """Change what was drawn to another frame."""
        for line, values in zip(self.lines_, self._curves(frame), strict=True):
            line.set_ydata(values)
        if self.image_ is not None:
            self.image_.set_data(self._pixels(frame))
        epoch = self.epochs[frame]
        self.past_line_.set_data(np.arange(epoch) + 1, self.loss[:epoch])
        self.dot_.set_data(np.arange(epoch)[-1:] + 1, self.loss[:epoch][-1:])
        self.ax_.set_title(f"epoch {epoch}")

    def _curves(self, frame):
        return self.predictions[frame][-len(self.lines_) :] if self.lines_ else []


def _heights_of_classes(n_classes):
    """Return where to draw the data of each class: at the value of the curve that is right."""
    if n_classes == 2:
        return np.array([0.0, 1.0])
    return 1.06 + 0.05 * np.arange(n_classes)


def _widened(values):
    """Return the range of some values with a margin at both ends."""
    low, high = np.min(values), np.max(values)
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin
