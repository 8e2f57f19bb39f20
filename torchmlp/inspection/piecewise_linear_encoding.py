"""PiecewiseLinearEncodingDisplay: bins of an encoder over the data, and its components."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from torchmlp import _typing as t
from torchmlp._sklearn_compat import check_feature_names_in
from torchmlp.bin_components import components_of, encode
from torchmlp.inspection.models import check_margin, check_resolution
from torchmlp.inspection.style import (
    NEUTRAL,
    OKABE_ITO,
    checked_colors,
    grid_of_axes,
    merge_style,
)
from torchmlp.preprocessing import PiecewiseLinearEncoder
from torchmlp.validation import naming

# Quantiles between which the values are always drawn.
TAILS = (0.005, 0.995)
MANY_EDGES = 16  # more edges are drawn as thinner lines


def encoding_of_feature(encoder, X, *, feature, n_bins, grid_resolution, margin):
    """Return a histogram of a feature, the edges of its bins, and its components.

    Parameters
    ----------
    encoder : PiecewiseLinearEncoder
    X : array-like of shape (n_samples, n_features)
    feature : int or str
    n_bins, grid_resolution : int
    margin : float

    Returns
    -------
    dict
        The parameters of :class:`PiecewiseLinearEncodingDisplay`.

    Raises
    ------
    NotFittedError
        If the encoder is not fitted.
    TypeError
        If the estimator is not a PiecewiseLinearEncoder.
    ValueError
        If there is no such feature, or all of its values are missing.
    """
    if not isinstance(encoder, PiecewiseLinearEncoder):
        raise TypeError(
            "Pass a fitted PiecewiseLinearEncoder. That of a Pipeline is pipeline.named_steps"
            "['piecewiselinearencoder'], and that of a fitted tabular_pipeline is pipeline[0]"
            f".named_transformers_['numbers']. Got estimator={encoder!r}."
        )
    check_is_fitted(encoder)
    check_resolution("n_bins", n_bins)
    check_resolution("grid_resolution", grid_resolution)
    check_margin(margin)
    with naming("X"):
        X = validate_data(encoder, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
    index, name = _index_and_name(encoder, feature)
    values, edges = X[:, index], encoder.bin_edges_[index]
    values = values[~np.isnan(values)]
    if not len(edges) or not len(values):
        raise ValueError(
            f"feature={feature!r} has only missing values. Choose a feature with values in X."
        )
    low, high = _range(values, edges)
    counts, histogram_edges = np.histogram(values, n_bins, (low, high))
    extension = margin * (high - low) or 0.5
    grid = np.linspace(low - extension, high + extension, grid_resolution)
    # The components bend at the edges, which the grid must contain.
    grid = np.union1d(grid, edges[(edges >= low) & (edges <= high)])
    components = encode(grid[:, np.newaxis], components_of([edges], [False], {}), np.float64)
    return {
        "bin_edges": edges,
        "counts": counts,
        "histogram_edges": histogram_edges,
        "grid": grid,
        "components": components,
        "feature_name": name,
    }


def _range(values, edges):
    """Return the range of most values and of the edges, so that a few outliers do not widen it.

    It contains all inner edges, and an outer edge or outlier only if that widens the range by less
    than the range itself.
    """
    inner = edges[1:-1]
    low, high = np.quantile(values, TAILS)
    low, high = min([low, *inner[:1]]), max([high, *inner[-1:]])
    width = high - low
    lowest, highest = min(values.min(), edges[0]), max(values.max(), edges[-1])
    return (
        lowest if low - lowest <= width else low,
        highest if highest - high <= width else high,
    )


def _index_and_name(encoder, feature):
    names = list(check_feature_names_in(encoder, None))
    if isinstance(feature, str) and feature in names:
        return names.index(feature), feature
    if not isinstance(feature, (int, np.integer)) or not -len(names) <= feature < len(names):
        raise ValueError(
            f"feature={feature!r} is not a feature of the encoder. Use one of the names {names}, "
            f"or an index below {len(names)}."
        )
    return feature, names[feature]


class PiecewiseLinearEncodingDisplay:
    """Bins of a feature and the components of its piecewise linear encoding.

    The upper axes show the distribution of the feature and the edges of its bins. The lower axes
    show each component as a function of the feature. It increases within its bin, in the color of
    that bin.

    It is recommended to use
    :meth:`~torchmlp.inspection.PiecewiseLinearEncodingDisplay.from_estimator` to create a
    :class:`PiecewiseLinearEncodingDisplay`. All parameters are stored as attributes.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_components + 1,)
        Edges of the bins of the encoder.

    counts : ndarray of shape (n_bins,)
        Number of samples in each bin of the histogram. See `from_estimator` for its range.

    histogram_edges : ndarray of shape (n_bins + 1,)
        Edges of the bins of the histogram, which are evenly spaced.

    grid : ndarray of shape (n_points,)
        Values of the feature at which the components are computed, in increasing order.

    components : ndarray of shape (n_points, n_components)
        Components at the values of the grid.

    feature_name : str, default="x0"
        Name of the feature, the label of the x axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The first of `axes_`.

    axes_ : ndarray of matplotlib Axes of shape (2,)
        Axes with the histogram and axes with the components.

    figure_ : matplotlib Figure
        Figure containing the axes.

    histogram_ : matplotlib StepPatch
        The histogram.

    edges_ : list of matplotlib LineCollection
        The edges of the bins, in both axes.

    lines_ : list of matplotlib Line2D
        The components.

    See Also
    --------
    torchmlp.preprocessing.PiecewiseLinearEncoder : The encoder.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from torchmlp.inspection import PiecewiseLinearEncodingDisplay
    >>> from torchmlp.preprocessing import PiecewiseLinearEncoder
    >>> X = np.random.default_rng(0).normal(size=(1000, 1))
    >>> encoder = PiecewiseLinearEncoder(n_bins=6).fit(X, np.sin(2 * X))
    >>> display = PiecewiseLinearEncodingDisplay.from_estimator(encoder, X)
    >>> len(display.lines_)
    6
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        bin_edges: t.Array,
        counts: t.Array,
        histogram_edges: t.Array,
        grid: t.Array,
        components: t.Array,
        feature_name: str = "x0",
    ) -> None:
        self.bin_edges = bin_edges
        self.counts = counts
        self.histogram_edges = histogram_edges
        self.grid = grid
        self.components = components
        self.feature_name = feature_name

    @classmethod
    def from_estimator(
        cls,
        estimator: PiecewiseLinearEncoder,
        X: t.Matrix,
        *,
        feature: t.Int | str = 0,
        n_bins: int = 60,
        grid_resolution: int = 200,
        margin: float = 0.05,
        ax: t.AxesLike = None,
        **kwargs: Any,
    ) -> Self:
        """Create the display from a fitted encoder, and draw it.

        The x axis contains the inner edges and the range from the 0.5th to the 99.5th percentile of
        the values. It also contains the values and the outer edge beyond that on one side, unless
        they would more than double its width.

        Parameters
        ----------
        estimator : PiecewiseLinearEncoder
            A fitted encoder.
        X : array-like of shape (n_samples, n_features)
            Data for the histogram, with all features of the encoder. Missing values are left out.
        feature : int or str, default=0
            Index or name of the feature.
        n_bins : int, default=60
            Number of bins of the histogram.
        grid_resolution : int, default=200
            Number of evenly spaced values at which the components are computed, in addition to the
            edges of the bins.
        margin : float, default=0.05
            Fraction of the range of the histogram by which the grid is extended at both ends.
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        display : PiecewiseLinearEncodingDisplay
            The display.

        Raises
        ------
        NotFittedError
            If the encoder is not fitted.
        TypeError
            If the estimator is not a PiecewiseLinearEncoder.
        ValueError
            If there is no such feature, or all of its values are missing.
        """
        data = encoding_of_feature(
            estimator,
            X,
            feature=feature,
            n_bins=n_bins,
            grid_resolution=grid_resolution,
            margin=margin,
        )
        return cls(**data).plot(ax, **kwargs)

    def plot(
        self,
        ax: t.AxesLike = None,
        *,
        colors: Sequence[Any] | None = None,
        histogram_kw: t.Style = None,
        edge_kw: t.Style = None,
        line_kw: t.Style = None,
    ) -> Self:
        """Draw the histogram, the edges and the components.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on. A single axes is divided into two, one above the other; set the title
            on `ax_` in that case. If `None`, a new figure is created.
        colors : list of color, default=None
            Color of each component. If `None`, default colors are used.
        histogram_kw : dict, default=None
            Keyword arguments for the histogram, passed to :meth:`matplotlib.axes.Axes.stairs`.
        edge_kw : dict, default=None
            Keyword arguments for the edges, passed to :meth:`matplotlib.axes.Axes.vlines`.
        line_kw : dict, default=None
            Keyword arguments for the components, passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : PiecewiseLinearEncodingDisplay
            The display.

        Raises
        ------
        ValueError
            If the length of `colors` is not the number of components.
        """
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D
        from matplotlib.patches import StepPatch

        colors = checked_colors(colors, self.components.shape[1], "components")
        self.axes_ = grid_of_axes(ax, 2, 1)
        self.ax_, below = self.axes_
        self.figure_ = self.ax_.figure
        style = merge_style(StepPatch, {"facecolor": OKABE_ITO[5], "fill": True}, histogram_kw)
        self.histogram_ = self.ax_.stairs(self.counts, self.histogram_edges, **style)
        width = 0.8 if len(self.bin_edges) <= MANY_EDGES else 0.4
        defaults = {"color": NEUTRAL, "linewidth": width, "zorder": 1.5}
        style = merge_style(LineCollection, defaults, edge_kw)
        self.edges_ = [
            panel.vlines(self.bin_edges, 0, 1, transform=panel.get_xaxis_transform(), **style)
            for panel in self.axes_
        ]
        self.lines_ = []
        for values, color in zip(self.components.T, colors, strict=True):
            style = merge_style(Line2D, {"color": color}, line_kw)
            self.lines_ += below.plot(self.grid, values, **style)
        below.sharex(self.ax_)
        self.ax_.tick_params(labelbottom=False)
        self.ax_.set(xlim=self.grid[[0, -1]], ylabel="samples")
        # Outside of the bins, the lines of narrow ones are steep.
        below.set(ylim=(-0.4, 1.4), xlabel=self.feature_name, ylabel="component")
        return self
