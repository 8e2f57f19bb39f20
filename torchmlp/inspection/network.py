"""NetworkDisplay: the layers, their units and the weights between them."""

from typing import Any

import numpy as np

from torchmlp.inspection.geometry import RADIUS, columns, edges
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.style import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    check_choice,
    limit_of,
    merged,
    one_axes,
    sign_colormap,
)


class NetworkDisplay:
    """Diagram of a network: a neuron per unit, and an edge per weight.

    Edges are blue for positive weights and orange for negative ones, wider and more opaque the
    larger the weight. Neurons have the colour of their bias, and those of the input are grey. It
    is recommended to use :meth:`~torchmlp.inspection.NetworkDisplay.from_estimator`. All
    parameters are stored as attributes.

    Parameters
    ----------
    coefs : list of ndarrays of shape (fan_in, fan_out)
        Weights of each layer.

    intercepts : list of ndarrays of shape (fan_out,), default=None
        Biases of each layer.

    feature_names : list of str, default=None
        Names of the inputs; "x0", "x1" and so on by default.

    output_names : list of str, default=None
        Names of the outputs; "y0", "y1" and so on by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the diagram.

    figure_ : matplotlib Figure
        Figure with the diagram.

    edges_ : list of matplotlib LineCollection
        Edges of each layer, weakest first; ``get_array()`` are their weights, and
        ``figure.colorbar`` takes them.

    neurons_ : list of matplotlib EllipseCollection
        Neurons of each layer, from input to output; ``get_array()`` are their biases.

    shown_units_ : list of ndarrays
        Which units of each layer are drawn.

    texts_ : list of matplotlib Text
        Names of the inputs, then of the outputs, then what is said of the units left out.

    legend_ : matplotlib Legend or None
        What the colours say.

    See Also
    --------
    HiddenFeaturesDisplay : What each hidden unit computes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.inspection import NetworkDisplay
    >>> iris = load_iris()
    >>> clf = TorchMLPClassifier((3, 2), solver="lbfgs", random_state=0)
    >>> clf = clf.fit(iris.data, iris.target_names[iris.target])
    >>> display = NetworkDisplay.from_estimator(clf, feature_names=iris.feature_names)
    >>> [len(edges.get_array()) for edges in display.edges_]
    [12, 6, 6]
    >>> plt.show()
    """

    def __init__(self, *, coefs, intercepts=None, feature_names=None, output_names=None):
        self.coefs = coefs
        self.intercepts = intercepts
        self.feature_names = feature_names
        self.output_names = output_names

    @classmethod
    def from_estimator(cls, estimator, *, feature_names=None, output_names=None, ax=None, **kwargs):
        """Draw the diagram of a fitted network.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP of torchmlp or scikit-learn, or a Pipeline, a search or a
            TransformedTargetRegressor with one in it.
        feature_names : list of str, default=None
            Names of the network's inputs: by default those of the columns it was fitted on, or
            "x0", "x1" and so on.
        output_names : list of str, default=None
            Names of the network's outputs: by default the classes (of two the second, as there is
            one output for both), or "y", or "transformed y".
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : NetworkDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no multilayer perceptron.
        ValueError
            If there are more or fewer names than inputs or outputs.
        """
        model = find_model(estimator)
        mlp = model.mlp
        return cls(
            coefs=mlp.coefs_,
            intercepts=mlp.intercepts_,
            feature_names=checked_names(
                "feature_names", feature_names, mlp.n_features_in_, model.input_names()
            ),
            output_names=checked_names(
                "output_names", output_names, mlp.n_outputs_, model.output_names()
            ),
        ).plot(ax, **kwargs)

    def plot(
        self,
        ax=None,
        *,
        orientation="horizontal",
        bias=True,
        max_units=16,
        scale="layer",
        legend=True,
        edge_kw=None,
        neuron_kw=None,
        text_kw=None,
    ):
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        orientation : {"horizontal", "vertical"}, default="horizontal"
            Whether the network runs from left to right, or from the bottom to the top.
        bias : bool, default=True
            Whether the colours of the neurons are their biases.
        max_units : int or None, default=16
            A layer with more units is drawn with its first and last, this many together. None
            draws all.
        scale : {"layer", "network"}, default="layer"
            Whether width and opacity of an edge, and the colour of a neuron, are relative to the
            largest of the same layer or of the whole network.
        legend : bool, default=True
            Whether to say what the colours mean.
        edge_kw : dict, default=None
            Style of the edges, as for :class:`matplotlib.collections.LineCollection`.
            ``cmap`` maps weights to colours, and ``color`` is one for all.
        neuron_kw : dict, default=None
            Style of the neurons, as for :class:`matplotlib.collections.EllipseCollection`.
            ``cmap`` maps biases to colours; ``facecolor`` is one for all, with ``bias=False``.
        text_kw : dict, default=None
            Style of the names, as for :class:`matplotlib.text.Text`.

        Returns
        -------
        display : NetworkDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `orientation`, `scale` or `max_units` is none of those.
        """
        check_choice("orientation", orientation, ("horizontal", "vertical"))
        check_choice("scale", scale, ("layer", "network"))
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        vertical = orientation == "vertical"
        box = self.ax_.get_window_extent()
        ratio = box.height / box.width if vertical else box.width / box.height
        layer_units = [len(self.coefs[0]), *(coefs.shape[1] for coefs in self.coefs)]
        laid_out = columns(layer_units, max_units, ratio, vertical)
        self.shown_units_ = [column.shown for column in laid_out]
        self._draw_edges(laid_out, scale, edge_kw)
        self._draw_neurons(laid_out, scale, bias and self.intercepts is not None, neuron_kw)
        self._set_limits(laid_out)
        self._draw_names(laid_out, vertical, text_kw)
        self._draw_counts(laid_out, vertical, text_kw)
        coloured = "weights and biases" if bias and self.intercepts is not None else "weights"
        self.legend_ = _draw_legend(self.ax_, vertical, coloured) if legend else None
        return self

    def _draw_edges(self, laid_out, scale, style):
        from matplotlib.collections import LineCollection

        self.edges_ = []
        for i, coefs in enumerate(self.coefs):
            segments, weights = edges(coefs, *laid_out[i : i + 2])
            limit = limit_of([coefs] if scale == "layer" else self.coefs)
            defaults = {
                "array": weights,
                "cmap": sign_colormap(faintest=0.25),
                "clim": (-limit, limit),
                "linewidth": 0.3 + 2.2 * np.abs(weights) / limit,
                "zorder": 1,
                "clip_on": False,
            }
            drawn = LineCollection(segments, **merged(LineCollection, defaults, style))
            self.edges_.append(self.ax_.add_collection(drawn))

    def _draw_neurons(self, laid_out, scale, bias, style):
        from matplotlib.collections import EllipseCollection

        self.neurons_ = []
        for i, column in enumerate(laid_out):
            colors: dict[str, Any] = {"facecolor": NEUTRAL}
            if bias and i > 0:
                own = self.intercepts[i - 1]
                limit = limit_of([own] if scale == "layer" else self.intercepts)
                colors = {
                    "array": own[column.shown],
                    "cmap": sign_colormap(through=NEUTRAL),
                    "clim": (-limit, limit),
                }
            size = np.full(len(column.shown), 2 * RADIUS)
            defaults = {"units": "xy", "linewidth": 0, "zorder": 2, "clip_on": False, **colors}
            drawn = EllipseCollection(
                size,
                size,
                np.zeros_like(size),
                offsets=column.centers,
                offset_transform=self.ax_.transData,
                **merged(EllipseCollection, defaults, style),
            )
            self.neurons_.append(self.ax_.add_collection(drawn))

    def _set_limits(self, laid_out):
        centers = np.concatenate([column.centers for column in laid_out])
        self.ax_.update_datalim([centers.min(axis=0) - RADIUS, centers.max(axis=0) + RADIUS])
        self.ax_.margins(0)
        self.ax_.autoscale_view()
        self.ax_.set_axis_off()
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.apply_aspect()

    def _draw_names(self, laid_out, vertical, style):
        """Write the names beside the first and last layer."""
        first, last = laid_out[0], laid_out[-1]
        inputs = checked_names("feature_names", self.feature_names, first.n_units)
        ys = [f"y{i}" for i in range(last.n_units)]
        outputs = checked_names("output_names", self.output_names, last.n_units, ys)
        room = self._points_per_unit()
        size = _font_size(0.85 * room)
        self.texts_ = []
        for column, names, side in ((first, inputs, -1), (last, outputs, 1)):
            shown = [names[unit] for unit in column.shown]
            rotated = vertical and 0.6 * size * (max(map(len, shown)) + 1) > room
            away = (0, side) if vertical else (side, 0)
            for name, center in zip(shown, column.centers, strict=True):
                self._write(name, center, away, size, style, rotated)

    def _draw_counts(self, laid_out, vertical, style):
        """Write how many units a layer has, if not all are drawn, where no edge passes."""
        step = np.abs(laid_out[1].centers[0] - laid_out[0].centers[0])[1 if vertical else 0]
        room = self._points_per_unit() * (1 if vertical else step / 7)  # of one character
        beyond = np.array([1, 0] if vertical else [0, -1])
        furthest = max((column.centers @ beyond).max() for column in laid_out)
        for i, column in enumerate(laid_out):
            if column.gap is None:
                continue
            dots = r"$\cdots$" if vertical else r"$\vdots$"
            self._write(dots, column.gap, (0, 0), _font_size(np.inf), style)
            kind = {0: "inputs", len(laid_out) - 1: "outputs"}.get(i, "units")
            place = column.gap + beyond * (furthest - column.gap @ beyond)
            text = f"{column.n_units} {kind}"
            self._write(text, place, beyond, _font_size(room), style)

    def _points_per_unit(self):
        """Return the distance between neighbouring neurons in points."""
        origin, unit = self.ax_.transData.transform([(0, 0), (1, 0)])
        return (unit - origin)[0] * 72 / self.figure_.dpi

    def _write(self, text, center, away, size, style, rotated=False):
        """Write beside a neuron, in a direction of (0, 0), (1, 0), (-1, 0), (0, 1) or (0, -1)."""
        from matplotlib.text import Text

        defaults = {
            "fontsize": size,
            "horizontalalignment": {-1: "right", 0: "center", 1: "left"}[away[0]],
            "verticalalignment": {-1: "top", 0: "center", 1: "bottom"}[away[1]],
            "rotation": 90 if rotated else 0,
        }
        written = self.ax_.annotate(
            text,
            center + RADIUS * np.asarray(away),
            3 * np.asarray(away),
            textcoords="offset points",
            **merged(Text, defaults, style),
        )
        self.texts_.append(written)


def _font_size(room):
    """Return the usual size of text in points, or what there is room for."""
    from matplotlib import rcParams

    return min(rcParams["font.size"], room)


def _draw_legend(ax, vertical, title):
    """Say what the colours mean, at the side where the diagram has no text."""
    from matplotlib.lines import Line2D

    meanings = {"negative": NEGATIVE, "positive": POSITIVE}
    handles = [Line2D([], [], color=c, lw=2, label=label) for label, c in meanings.items()]
    beside = {"loc": "upper right", "bbox_to_anchor": (0, 1), "borderaxespad": 0}
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 1.5, "ncols": 2}
    place = beside if vertical else below
    return ax.legend(handles=handles, title=title, frameon=False, **place)
