"""NetworkDisplay: diagram of the units and weights of a network."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.geometry import RADIUS, edges, lay_out
from torchmlp.inspection.models import checked_names, find_model
from torchmlp.inspection.style import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    axes_or_new_figure,
    check_choice,
    max_abs,
    merge_style,
    sign_colormap,
)


class NetworkDisplay:
    """Diagram of a network with one neuron per unit and one edge per weight.

    Positive weights are drawn as green edges, negative weights as purple edges. Edges are wider and
    more opaque for larger absolute weights. The color of a neuron shows its bias in the same
    way. Input neurons are gray.

    It is recommended to use :meth:`~torchmlp.inspection.NetworkDisplay.from_estimator` to create a
    :class:`NetworkDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    coefs : list of ndarrays of shape (fan_in, fan_out)
        Weights of each layer.

    intercepts : list of ndarrays of shape (fan_out,), default=None
        Biases of each layer.

    feature_names : list of str, default=None
        Names of the inputs. By default, "x0", "x1" and so on.

    output_names : list of str, default=None
        Names of the outputs. By default, "y0", "y1" and so on.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the diagram.

    figure_ : matplotlib Figure
        Figure containing the axes.

    edges_ : list of matplotlib LineCollection
        Edges of each layer, by increasing absolute weight. ``get_array()`` returns their weights.
        They can be passed to ``figure.colorbar``.

    neurons_ : list of matplotlib EllipseCollection
        Neurons of each layer, from input to output. ``get_array()`` returns their biases.

    shown_units_ : list of ndarrays
        Indices of the units of each layer that are drawn.

    texts_ : list of matplotlib Text
        Names of the inputs, names of the outputs, and the marks and labels of omitted units.

    legend_ : matplotlib Legend or None
        Legend of the colors.

    See Also
    --------
    HiddenFeaturesDisplay : Functions computed by hidden units.

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

    def __init__(
        self,
        *,
        coefs: Sequence[t.Array],
        intercepts: Sequence[t.Array] | None = None,
        feature_names: t.Names | None = None,
        output_names: t.Names | None = None,
    ) -> None:
        self.coefs = coefs
        self.intercepts: Any = intercepts  # None: no biases to draw
        self.feature_names = feature_names
        self.output_names = output_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: t.Names | None = None,
        output_names: t.Names | None = None,
        ax: t.Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create the display from a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted MLP of torchmlp or scikit-learn, or a Pipeline, search or
            TransformedTargetRegressor that contains one.
        feature_names : list of str, default=None
            Names of the inputs of the network. By default, its feature names if defined, else
            "x0", "x1" and so on.
        output_names : list of str, default=None
            Names of the outputs of the network. By default, the class names for a classifier (for
            binary classification, that of the second class, since there is a single output), and
            "y" or "transformed y" for a regressor.
        ax : matplotlib Axes, default=None
            Axes to plot on. If `None`, a new figure is created.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : NetworkDisplay
            The display.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not a multilayer perceptron.
        ValueError
            If the number of names is not the number of inputs or outputs.
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
        ax: t.Axes | None = None,
        *,
        orientation: Literal["horizontal", "vertical"] = "horizontal",
        bias: bool = True,
        max_units: int | None = 16,
        scale: Literal["layer", "network"] = "layer",
        legend: bool = True,
        edge_kw: t.Style = None,
        neuron_kw: t.Style = None,
        text_kw: t.Style = None,
    ) -> Self:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If `None`, a new figure is created.
        orientation : {"horizontal", "vertical"}, default="horizontal"
            Direction from input to output: from left to right, or from bottom to top.
        bias : bool, default=True
            Whether to show biases as colors of the neurons.
        max_units : int or None, default=16
            Maximum number of units drawn per layer. If a layer has more units, its first and last
            ones are drawn. If `None`, all units are drawn.
        scale : {"layer", "network"}, default="layer"
            Whether the width and opacity of edges and the colors of neurons are relative to the
            largest absolute value of the same layer or of the whole network.
        legend : bool, default=True
            Whether to draw a legend of the colors.
        edge_kw : dict, default=None
            Keyword arguments for the edges, passed to
            :class:`matplotlib.collections.LineCollection`. ``cmap`` maps weights to colors;
            ``color`` sets the same color for all edges.
        neuron_kw : dict, default=None
            Keyword arguments for the neurons, passed to
            :class:`matplotlib.collections.EllipseCollection`. ``cmap`` maps biases to colors;
            with ``bias=False``, ``facecolor`` sets the same color for all neurons.
        text_kw : dict, default=None
            Keyword arguments for the names, passed to :class:`matplotlib.text.Text`.

        Returns
        -------
        display : NetworkDisplay
            The display.

        Raises
        ------
        ValueError
            If `orientation`, `scale` or `max_units` is invalid.
        """
        check_choice("orientation", orientation, ("horizontal", "vertical"))
        check_choice("scale", scale, ("layer", "network"))
        self.ax_ = axes_or_new_figure(ax)
        self.figure_ = self.ax_.figure
        vertical = orientation == "vertical"
        box = self.ax_.get_window_extent()
        ratio = box.height / box.width if vertical else box.width / box.height
        layer_units = [len(self.coefs[0]), *(coefs.shape[1] for coefs in self.coefs)]
        layers = lay_out(layer_units, max_units, ratio, vertical)
        self.shown_units_ = [layer.shown for layer in layers]
        self._draw_edges(layers, scale, edge_kw)
        self._draw_neurons(layers, scale, bias and self.intercepts is not None, neuron_kw)
        self._set_limits(layers)
        self._draw_names(layers, vertical, text_kw)
        self._draw_counts(layers, vertical, text_kw)
        legend_title = "weights and biases" if bias and self.intercepts is not None else "weights"
        self.legend_ = _draw_legend(self.ax_, vertical, legend_title) if legend else None
        return self

    def _draw_edges(self, layers, scale, style):
        from matplotlib.collections import LineCollection

        self.edges_ = []
        for i, coefs in enumerate(self.coefs):
            segments, weights = edges(coefs, *layers[i : i + 2])
            limit = max_abs([coefs] if scale == "layer" else self.coefs)
            defaults = {
                "array": weights,
                "cmap": sign_colormap(faintest=0.25),
                "clim": (-limit, limit),
                "linewidth": 0.3 + 2.2 * np.abs(weights) / limit,
                "zorder": 1,
                "clip_on": False,
            }
            collection = LineCollection(segments, **merge_style(LineCollection, defaults, style))
            self.edges_.append(self.ax_.add_collection(collection))

    def _draw_neurons(self, layers, scale, bias, style):
        from matplotlib.collections import EllipseCollection

        self.neurons_ = []
        for i, layer in enumerate(layers):
            colors: dict[str, Any] = {"facecolor": NEUTRAL}
            if bias and i > 0:
                biases = self.intercepts[i - 1]
                limit = max_abs([biases] if scale == "layer" else self.intercepts)
                colors = {
                    "array": biases[layer.shown],
                    "cmap": sign_colormap(through=NEUTRAL),
                    "clim": (-limit, limit),
                }
            size = np.full(len(layer.shown), 2 * RADIUS)
            defaults = {"units": "xy", "linewidth": 0, "zorder": 2, "clip_on": False, **colors}
            collection = EllipseCollection(
                size,
                size,
                np.zeros_like(size),
                offsets=layer.centers,
                offset_transform=self.ax_.transData,
                **merge_style(EllipseCollection, defaults, style),
            )
            self.neurons_.append(self.ax_.add_collection(collection))

    def _set_limits(self, layers):
        centers = np.concatenate([layer.centers for layer in layers])
        self.ax_.update_datalim([centers.min(axis=0) - RADIUS, centers.max(axis=0) + RADIUS])
        self.ax_.margins(0)
        self.ax_.autoscale_view()
        self.ax_.set_axis_off()
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.apply_aspect()

    def _draw_names(self, layers, vertical, style):
        """Draw the names of the inputs and outputs."""
        first, last = layers[0], layers[-1]
        inputs = checked_names("feature_names", self.feature_names, first.n_units)
        default = [f"y{i}" for i in range(last.n_units)]
        outputs = checked_names("output_names", self.output_names, last.n_units, default)
        spacing = self._points_per_unit()
        size = _font_size(0.85 * spacing)
        self.texts_ = []
        for layer, names, side in ((first, inputs, -1), (last, outputs, 1)):
            shown = [names[unit] for unit in layer.shown]
            rotated = vertical and 0.6 * size * (max(map(len, shown)) + 1) > spacing
            direction = (0, side) if vertical else (side, 0)
            for name, center in zip(shown, layer.centers, strict=True):
                self._annotate(name, center, direction, size, style, rotated)

    def _draw_counts(self, layers, vertical, style):
        """Draw the number of units of each layer that is not drawn completely."""
        step = np.abs(layers[1].centers[0] - layers[0].centers[0])[1 if vertical else 0]
        size = _font_size(self._points_per_unit() * (1 if vertical else step / 7))
        direction = np.array([1, 0] if vertical else [0, -1])  # where the diagram has no edges
        furthest = max((layer.centers @ direction).max() for layer in layers)
        for i, layer in enumerate(layers):
            if layer.gap is None:
                continue
            dots = r"$\cdots$" if vertical else r"$\vdots$"
            self._annotate(dots, layer.gap, (0, 0), _font_size(np.inf), style)
            kind = {0: "inputs", len(layers) - 1: "outputs"}.get(i, "units")
            place = layer.gap + direction * (furthest - layer.gap @ direction)
            text = f"{layer.n_units} {kind}"
            self._annotate(text, place, direction, size, style)

    def _points_per_unit(self):
        """Return the distance between adjacent neurons of a layer in points."""
        origin, unit = self.ax_.transData.transform([(0, 0), (1, 0)])
        return (unit - origin)[0] * 72 / self.figure_.dpi

    def _annotate(self, text, center, direction, size, style, rotated=False):
        """Draw text next to a neuron, in direction (0, 0), (1, 0), (-1, 0), (0, 1) or (0, -1)."""
        from matplotlib.text import Text

        defaults = {
            "fontsize": size,
            "horizontalalignment": {-1: "right", 0: "center", 1: "left"}[direction[0]],
            "verticalalignment": {-1: "top", 0: "center", 1: "bottom"}[direction[1]],
            "rotation": 90 if rotated else 0,
        }
        annotation = self.ax_.annotate(
            text,
            center + RADIUS * np.asarray(direction),
            3 * np.asarray(direction),
            textcoords="offset points",
            **merge_style(Text, defaults, style),
        )
        self.texts_.append(annotation)


def _font_size(limit):
    """Return the default font size in points, or the limit if it is smaller."""
    from matplotlib import rcParams

    return min(rcParams["font.size"], limit)


def _draw_legend(ax, vertical, title):
    """Draw the legend of the colors at a side where the diagram has no text."""
    from matplotlib.lines import Line2D

    signs = {"negative": NEGATIVE, "positive": POSITIVE}
    handles = [Line2D([], [], color=c, lw=2, label=label) for label, c in signs.items()]
    left = {"loc": "upper right", "bbox_to_anchor": (0, 1), "borderaxespad": 0}
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 1.5, "ncols": 2}
    position = left if vertical else below
    return ax.legend(handles=handles, title=title, frameon=False, **position)
