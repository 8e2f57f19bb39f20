"""WeightsDisplay: histograms of weights, gradients and activations during training."""

from typing import Any, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.histograms import Histograms, training_histograms
from torchmlp.inspection.models import find_model
from torchmlp.inspection.style import OKABE_ITO, fading_colormap, grid_of_axes, merge_style

_TITLES = {"weights": "weights", "gradients": "|gradient|", "activations": "activations"}
_COLORS = {"weights": OKABE_ITO[0], "gradients": OKABE_ITO[3], "activations": OKABE_ITO[2]}


class WeightsDisplay:
    """Histograms of the weights, gradients and activations of each layer for each epoch.

    Each row is a layer, from the first hidden layer to the output. The activations of the output
    are the predictions: probabilities, decision values or target values. In each image, a column
    is the histogram of one epoch, and the color is more opaque for bins with more values. The
    axes in a column have the same scale, except that of the predictions. Vanishing gradients appear
    as gradients that decrease by orders of magnitude from the last layer to the first. The share
    of dead units in the last epoch is given next to the activations of each hidden layer. A unit
    is dead if its activation is 0 for every sample, which can occur with relu.

    It is recommended to use :meth:`~torchmlp.inspection.WeightsDisplay.from_estimator` to create a
    :class:`WeightsDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Epochs of the histograms. A single epoch is drawn as a step histogram.

    weights : Histograms
        Histograms of the coefficients, without intercepts: a named tuple of `edges`, of shape
        (n_layers, n_bins + 1), and `counts`, of shape (n_layers, n_epochs, n_bins).

    activations : Histograms
        Histograms of the activations of the hidden units and of the predictions for a set of
        samples.

    dead_share : ndarray of shape (n_hidden_layers, n_epochs)
        Share of the units of each hidden layer whose activation is 0 for all samples.

    gradients : Histograms, default=None
        Histograms of the absolute gradient of the loss, including the penalty, with respect to
        the coefficients in the last step of each epoch. The first bin includes all smaller values
        and zeros.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (n_axes,)
        Axes in row-major order.

    figure_ : matplotlib Figure
        Figure containing the axes.

    images_ : list of matplotlib QuadMesh or StepPatch
        Histograms in the order of `axes_`.

    texts_ : list of matplotlib Text
        Share of dead units of each hidden layer, and the label of the last row.

    See Also
    --------
    torchmlp.callbacks.Snapshots : Callback that records weights and gradients.
    TrainingAnimation : Predictions at the same snapshots.
    LossCurveDisplay : Loss and validation score of each epoch.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import Snapshots
    >>> from torchmlp.inspection import WeightsDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier(
    ...     (30, 30), max_iter=600, callbacks=[Snapshots(every=5)], random_state=0
    ... ).fit(X, y)
    >>> display = WeightsDisplay.from_estimator(clf, X)
    >>> len(display.axes_)
    9
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        epochs: t.Array,
        weights: Histograms,
        activations: Histograms,
        dead_share: t.Array,
        gradients: Histograms | None = None,
    ) -> None:
        self.epochs = epochs
        self.weights = weights
        self.activations = activations
        self.dead_share = dead_share
        self.gradients = gradients

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: t.Matrix, *, n_bins: int = 60, ax: t.AxesLike = None, **kwargs: Any
    ) -> Self:
        """Create the display from a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : estimator
            A torchmlp MLP fitted with a :class:`~torchmlp.callbacks.Snapshots` in `callbacks`, or
            a Pipeline, search or TransformedTargetRegressor that contains one. Predictions are
            those of the network, before any inverse transformation by a
            TransformedTargetRegressor. For estimators without snapshots, including the MLPs of
            scikit-learn, only the fitted weights and their activations are drawn, and no
            gradients.
        X : array-like of shape (n_samples, n_features)
            Samples for which activations are computed.
        n_bins : int, default=60
            Number of bins of each histogram.
        ax : matplotlib Axes, or array-like of Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : WeightsDisplay
            The display.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a multilayer perceptron.
        ValueError
            If the snapshots are from a different fit.
        """
        data = training_histograms(find_model(estimator), X, n_bins=n_bins)
        return cls(**data).plot(ax, **kwargs)

    def plot(
        self, ax: t.AxesLike = None, *, image_kw: t.Style = None, text_kw: t.Style = None
    ) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of Axes, default=None
            Axes to plot on. A single axes is divided into the required number; set titles on
            `axes_` in that case. Several axes must be of the required number. If `None`, a new
            figure is created.
        image_kw : dict, default=None
            Keyword arguments for the histograms, passed to
            :meth:`matplotlib.axes.Axes.pcolormesh` or, for a single epoch, to
            :meth:`matplotlib.axes.Axes.stairs`.
        text_kw : dict, default=None
            Keyword arguments for the text at the right, passed to :class:`matplotlib.text.Text`.

        Returns
        -------
        display : WeightsDisplay
            The display.
        """
        columns = [name for name in _TITLES if getattr(self, name) is not None]
        n_layers, n_columns = len(self.weights.counts), len(columns)
        size = (3.1 * n_columns + 0.5, 1.35 * n_layers + 0.9)
        self.axes_ = grid_of_axes(ax, n_layers * n_columns, n_columns, figsize=size)
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        self.images_: list[Any] = []
        self.texts_: list[Any] = []
        for row, panels in enumerate(self.axes_.reshape(n_layers, n_columns)):
            panels[0].set_ylabel(f"layer {row + 1}")
            for name, panel in zip(columns, panels, strict=True):
                self.images_.append(self._draw_histogram(panel, name, row, image_kw))
            hidden = row < len(self.dead_share)
            text = f"{self.dead_share[row][-1]:.0%} dead" if hidden else "predictions"
            self._draw_text(panels[-1], text, text_kw)
        self._label_axes(columns)
        return self

    def _draw_histogram(self, ax, name, layer, style):
        """Draw the histograms of a layer as an image, or as steps if there is only one epoch."""
        from matplotlib.collections import QuadMesh
        from matplotlib.patches import StepPatch

        edges, counts = (values[layer] for values in getattr(self, name))
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        if name == "gradients":
            ax.set_yscale("log")
        if len(self.epochs) == 1:
            defaults = {"color": _COLORS[name], "fill": True, "orientation": "horizontal"}
            return ax.stairs(shares[0], edges, **merge_style(StepPatch, defaults, style))
        defaults = {"cmap": fading_colormap(_COLORS[name], 0.35), "rasterized": True}
        options = merge_style(QuadMesh, defaults, style)
        # The square root makes bins with few values visible next to bins with many.
        values = np.ma.masked_equal(np.sqrt(shares.T), 0)
        return ax.pcolormesh(_column_edges(self.epochs), edges, values, **options)

    def _label_axes(self, columns):
        grid = self.axes_.reshape(-1, len(columns))
        for panel, name in zip(grid[0], columns, strict=True):
            panel.set_title(_TITLES[name], fontsize="medium")
        for panel in grid[:-1].ravel():
            panel.tick_params(labelbottom=False)
        for panel in grid[-1]:
            panel.set_xlabel("share" if len(self.epochs) == 1 else "epoch")
        if len(self.epochs) == 1:  # the scales differ, only the shapes are comparable
            for panel in self.axes_:
                panel.set_xticks([])

    def _draw_text(self, ax, text, style):
        """Draw text to the right of the axes."""
        from matplotlib.text import Text

        defaults = {"rotation": 90, "va": "center", "fontsize": "small"}
        options = merge_style(Text, {**defaults, "transform": ax.transAxes}, style)
        self.texts_.append(ax.text(1.03, 0.5, text, **options))


def _column_edges(epochs):
    """Return the x coordinates of the edges of the columns, halfway between epochs."""
    middles = (epochs[1:] + epochs[:-1]) / 2
    return np.array([epochs[0] - 0.5, *middles, epochs[-1] + 0.5])
