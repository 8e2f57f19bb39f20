"""WeightsDisplay: whether every layer of a network learns."""

import numpy as np

from torchmlp.inspection.histograms import training_histograms
from torchmlp.inspection.models import find_model
from torchmlp.inspection.style import OKABE_ITO, fading_colormap, grid_of_axes, merged

_TITLES = {"weights": "weights", "gradients": "|gradient|", "activations": "activations"}
_COLORS = {"weights": OKABE_ITO[0], "gradients": OKABE_ITO[3], "activations": OKABE_ITO[2]}


class WeightsDisplay:
    """Histograms of the weights, gradients and activations of each layer, epoch by epoch.

    A row for each layer, input side first; each column of a picture is the histogram of an epoch,
    the stronger the colour the more values. Panels above each other have the same scale, so that
    it is seen where gradients vanish: from row to row they sink by decades. Where units of the
    hidden layers are dead, that is 0 for every sample, as happens to relu, their share in the last
    epoch is written.

    It is recommended to use :meth:`~torchmlp.inspection.WeightsDisplay.from_estimator`. All
    parameters are stored as attributes.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Of which epochs the histograms are. One alone is drawn as steps.

    weights : Histograms
        A pair of `edges`, of shape (n_bins + 1,), and `counts`, of shape (n_layers, n_epochs,
        n_bins), of the coefficients, without intercepts.

    activations : Histograms
        The same of the values of the hidden units, for a set of samples.

    dead_share : ndarray of shape (n_hidden_layers, n_epochs)
        Share of the units of each hidden layer that are 0 for all of the samples.

    gradients : Histograms, default=None
        The same of the absolute values of the gradient of the coefficients, in the last step of
        an epoch. The first bin takes all that are smaller too, and zeros.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (n_axes,)
        Row by row; the last layer has no activations.

    figure_ : matplotlib Figure
        Figure with the axes.

    images_ : list of matplotlib QuadMesh or StepPatch
        The histograms, in the order of `axes_`.

    texts_ : list of matplotlib Text
        Share of the dead units of each hidden layer.

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
    8
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
            `callbacks`, a Pipeline that ends in one, or a search over one. Without snapshots, and
            for scikit-learn's MLPs, the fitted weights and their activations are drawn; there are
            no gradients then.
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
            Style of the text about dead units, as for :class:`matplotlib.text.Text`.

        Returns
        -------
        display : WeightsDisplay
            The display itself.
        """
        found = {name: getattr(self, name) for name in _TITLES}
        found = {name: histograms for name, histograms in found.items() if histograms is not None}
        n_layers, n_columns = len(self.weights.counts), len(found)
        size = (3.1 * n_columns + 0.5, 1.35 * n_layers + 0.9)
        self.axes_ = grid_of_axes(ax, n_layers * n_columns - 1, n_columns, figsize=size)
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.images_, self.texts_ = [], []
        for i, each in enumerate(self.axes_):
            layer, column = divmod(i, n_columns)
            name = list(found)[column]
            self._draw(each, name, found[name], layer, image_kw)
            below = i + n_columns < len(self.axes_)
            self._label(each, name, layer, column, below)
            if name == "activations":
                self._write_share(each, layer, text_kw)
        return self

    def _draw(self, ax, name, histograms, layer, style):
        """Draw the histograms of one layer: side by side, or the only one as steps."""
        from matplotlib.collections import QuadMesh
        from matplotlib.patches import StepPatch

        counts, color = histograms.counts[layer], _COLORS[name]
        if name == "gradients":
            ax.set_yscale("log")
        if len(self.epochs) == 1:
            defaults = {"facecolor": color, "edgecolor": color, "fill": True}
            options = merged(StepPatch, defaults, style)
            drawn = ax.stairs(
                counts[0] / counts[0].sum(), histograms.edges, orientation="horizontal", **options
            )
        else:
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            defaults = {
                "cmap": fading_colormap(color, 0.12),
                "norm": "linear",
                "rasterized": True,
            }
            options = merged(QuadMesh, defaults, style)
            drawn = ax.pcolormesh(
                _borders(self.epochs),
                histograms.edges,
                np.ma.masked_equal(np.sqrt(shares.T), 0),
                **options,
            )
        self.images_.append(drawn)

    def _label(self, ax, name, layer, column, below):
        one = len(self.epochs) == 1
        if layer == 0:
            ax.set_title(_TITLES[name], fontsize="medium")
        if column == 0:
            ax.set_ylabel(f"layer {layer + 1}")
        ax.tick_params(labelbottom=not below)
        if not below:
            ax.set_xlabel("share" if one else "epoch")

    def _write_share(self, ax, layer, style):
        from matplotlib.text import Text

        share = self.dead_share[layer][-1]
        defaults = {"ha": "right", "va": "top", "fontsize": "small", "transform": ax.transAxes}
        options = merged(Text, defaults, style)
        self.texts_.append(ax.text(0.97, 0.94, f"{share:.0%} dead units", **options))


def _borders(epochs):
    """Return where the column of each epoch begins and ends: half-way to the next."""
    middles = (epochs[1:] + epochs[:-1]) / 2
    return np.array([epochs[0] - 0.5, *middles, epochs[-1] + 0.5])
