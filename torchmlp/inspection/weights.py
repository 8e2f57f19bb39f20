"""WeightsDisplay: whether every layer of a network learns."""

import numpy as np

from torchmlp.inspection.histograms import training_histograms
from torchmlp.inspection.models import find_model
from torchmlp.inspection.style import OKABE_ITO, fading_colormap, grid_of_axes, merged

_TITLES = {"weights": "weights", "gradients": "|gradient|", "activations": "activations"}
_COLORS = {"weights": OKABE_ITO[0], "gradients": OKABE_ITO[3], "activations": OKABE_ITO[2]}


class WeightsDisplay:
    """Histograms of the weights, gradients and activations of each layer, epoch by epoch.

    A row for each layer, input side first, the last for the output, whose activations are the
    predictions: probabilities, scores or values. Each column of a picture is the histogram of an
    epoch, the stronger the colour the more values. Panels above each other have the same scale,
    but for the predictions, so that it is seen where gradients vanish: upwards from row to row
    they sink by decades. Beside the activations is the share of units that are dead in the last
    epoch, that is 0 for every sample, as happens to relu.

    It is recommended to use :meth:`~torchmlp.inspection.WeightsDisplay.from_estimator`. All
    parameters are stored as attributes.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Of which epochs the histograms are. One alone is drawn as steps.

    weights : Histograms
        A pair of `edges`, of shape (n_layers, n_bins + 1), and `counts`, of shape (n_layers,
        n_epochs, n_bins), of the coefficients, without intercepts.

    activations : Histograms
        The same of the values of the hidden units, and of the predictions, for a set of samples.

    dead_share : ndarray of shape (n_hidden_layers, n_epochs)
        Share of the units of each hidden layer that are 0 for all of the samples.

    gradients : Histograms, default=None
        The same of the absolute values of the gradient of the coefficients, penalty included, in
        the last step of an epoch. The first bin takes all that are smaller too, and zeros.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (n_axes,)
        Row by row.

    figure_ : matplotlib Figure
        Figure with the axes.

    images_ : list of matplotlib QuadMesh or StepPatch
        The histograms, in the order of `axes_`.

    texts_ : list of matplotlib Text
        Share of the dead units of each hidden layer, and what the last row shows.

    See Also
    --------
    torchmlp.callbacks.Snapshots : The callback that records weights and gradients.
    TrainingAnimation : The predictions at the same snapshots.
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

    def __init__(self, *, epochs, weights, activations, dead_share, gradients=None):
        self.epochs = epochs
        self.weights = weights
        self.activations = activations
        self.dead_share = dead_share
        self.gradients = gradients

    @classmethod
    def from_estimator(cls, estimator, X, *, n_bins=60, ax=None, **kwargs):
        """Draw the histograms of a fitted network.

        Parameters
        ----------
        estimator : estimator
            An MLP of torchmlp fitted with a :class:`~torchmlp.callbacks.Snapshots` among its
            `callbacks`, or a Pipeline, a search or a TransformedTargetRegressor with one in it.
            Predictions are those of the network, before the inverse transformation of a
            TransformedTargetRegressor. Without snapshots, and for scikit-learn's MLPs, the fitted
            weights and their activations are drawn; there are no gradients then.
        X : array-like of shape (n_samples, n_features)
            Samples whose activations are drawn.
        n_bins : int, default=60
            Number of bins of each histogram.
        ax : matplotlib Axes, or array-like of Axes, default=None
            Where to draw, as in :meth:`plot`.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : WeightsDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no multilayer perceptron.
        ValueError
            If the snapshots are of another fit.
        """
        found = training_histograms(find_model(estimator), X, n_bins=n_bins)
        return cls(**found).plot(ax, **kwargs)

    def plot(self, ax=None, *, image_kw=None, text_kw=None):
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of Axes, default=None
            Where to draw. One axes is divided into as many as are needed, and titles are then for
            `axes_`; several are as many. None is a new figure.
        image_kw : dict, default=None
            Style of the histograms, as for :meth:`matplotlib.axes.Axes.pcolormesh` or, for a
            single epoch, :meth:`matplotlib.axes.Axes.stairs`.
        text_kw : dict, default=None
            Style of the text at the right, as for :class:`matplotlib.text.Text`.

        Returns
        -------
        display : WeightsDisplay
            The display itself.
        """
        columns = [name for name in _TITLES if getattr(self, name) is not None]
        n_layers, n_columns = len(self.weights.counts), len(columns)
        size = (3.1 * n_columns + 0.5, 1.35 * n_layers + 0.9)
        self.axes_ = grid_of_axes(ax, n_layers * n_columns, n_columns, figsize=size)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.images_, self.texts_ = [], []
        for row, panels in enumerate(self.axes_.reshape(n_layers, n_columns)):
            panels[0].set_ylabel(f"layer {row + 1}")
            for name, panel in zip(columns, panels, strict=True):
                self.images_.append(self._draw(panel, name, row, image_kw))
            hidden = row < len(self.dead_share)
            said = f"{self.dead_share[row][-1]:.0%} dead" if hidden else "predictions"
            self._write(panels[-1], said, text_kw)
        self._label(columns)
        return self

    def _draw(self, ax, name, layer, style):
        """Draw the histograms of one layer: side by side, or the only one as steps."""
        from matplotlib.collections import QuadMesh
        from matplotlib.patches import StepPatch

        edges, counts = (values[layer] for values in getattr(self, name))
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        if name == "gradients":
            ax.set_yscale("log")
        if len(self.epochs) == 1:
            defaults = {"color": _COLORS[name], "fill": True, "orientation": "horizontal"}
            return ax.stairs(shares[0], edges, **merged(StepPatch, defaults, style))
        defaults = {"cmap": fading_colormap(_COLORS[name], 0.35), "rasterized": True}
        options = merged(QuadMesh, defaults, style)
        seen = np.ma.masked_equal(np.sqrt(shares.T), 0)  # few values are to be seen beside many
        return ax.pcolormesh(_borders(self.epochs), edges, seen, **options)

    def _label(self, columns):
        grid = self.axes_.reshape(-1, len(columns))
        for panel, name in zip(grid[0], columns, strict=True):
            panel.set_title(_TITLES[name], fontsize="medium")
        for panel in grid[:-1].ravel():
            panel.tick_params(labelbottom=False)
        for panel in grid[-1]:
            panel.set_xlabel("share" if len(self.epochs) == 1 else "epoch")
        if len(self.epochs) == 1:  # each has its own scale: it is the shape that counts
            for panel in self.axes_:
                panel.set_xticks([])

    def _write(self, ax, text, style):
        """Write at the right of the axes, where nothing is drawn."""
        from matplotlib.text import Text

        defaults = {"rotation": 90, "va": "center", "fontsize": "small"}
        options = merged(Text, {**defaults, "transform": ax.transAxes}, style)
        self.texts_.append(ax.text(1.03, 0.5, text, **options))


def _borders(epochs):
    """Return where the column of each epoch begins and ends: half-way to the next."""
    middles = (epochs[1:] + epochs[:-1]) / 2
    return np.array([epochs[0] - 0.5, *middles, epochs[-1] + 0.5])
