"""Colors, styles and axes shared by the displays."""

import math

import numpy as np

# The color palette of Okabe and Ito, which is suitable for color-blind readers. Gray replaces its
# black, which is invisible on a dark background.
OKABE_ITO = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#999999",
)
# The colors of signs are not in the palette, so that they are not confused with those of classes.
# They differ in hue and lightness for color-blind readers, too.
NEGATIVE, POSITIVE = "#AA3399", "#5E8C00"
NEUTRAL = "#888888"
LINE_STYLES = ("-", "--", ":", "-.")


def distinct_colors(n):
    """Return n colors of the palette, or of a continuous colormap if n exceeds its size."""
    import matplotlib as mpl

    if n <= len(OKABE_ITO):
        return list(OKABE_ITO[:n])
    return [mpl.colors.to_hex(color) for color in mpl.colormaps["turbo"](np.linspace(0, 1, n))]


def checked_colors(colors, n, things):
    """Return n colors as a list: those of the user, or the default colors if None.

    Parameters
    ----------
    colors : list of color or None
    n : int
    things : str
        What has the colors, for the error message.

    Raises
    ------
    ValueError
        If the number of colors is not n.
    """
    if colors is None:
        return distinct_colors(n)
    if len(colors) != n:
        raise ValueError(
            f"colors={colors!r} has length {len(colors)}, but there are {n} {things}. Pass {n} "
            "colors, or None for the default colors."
        )
    return list(colors)


def unit_styles(n):
    """Return n line styles: all colors with the first dash pattern, then with the next ones."""
    n_colors = len(OKABE_ITO)
    return [
        {
            "color": OKABE_ITO[i % n_colors],
            "linestyle": LINE_STYLES[i // n_colors % len(LINE_STYLES)],
        }
        for i in range(n)
    ]


def sign_colormap(faintest=0.0, through=None):
    """Return a diverging colormap from purple for negative values to green for positive values.

    Colors become transparent towards 0, so that the colormap works on any background.

    Parameters
    ----------
    faintest : float
        Opacity at 0.
    through : color or None
        Opaque color at 0. If None, `faintest` applies.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    below, above = (to_rgba(through or color) for color in (NEGATIVE, POSITIVE))
    if through is None:
        below, above = (*below[:3], faintest), (*above[:3], faintest)
    stops = [(0.0, to_rgba(NEGATIVE)), (0.5, below), (0.5, above), (1.0, to_rgba(POSITIVE))]
    return LinearSegmentedColormap.from_list("sign", stops)


def fading_colormap(color, faintest=0.0):
    """Return a colormap from transparent (of opacity `faintest`) to opaque."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    stops = [to_rgba(color, faintest), to_rgba(color)]
    return LinearSegmentedColormap.from_list("fading", stops)


def max_abs(arrays):
    """Return the largest absolute value, or 1 if there are no values other than 0."""
    return max((float(np.abs(array).max()) for array in arrays if np.size(array)), default=0) or 1.0


def merge_style(artist, defaults, style):
    """Return the keyword arguments of an artist, where those of the user override the defaults.

    Parameters
    ----------
    artist : type
        Class of the artist, which resolves aliases such as "lw" for "linewidth".
    defaults : dict
    style : dict or None
        Keyword arguments of the user.
    """
    from matplotlib.cbook import normalize_kwargs

    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(style, artist)}


def axes_or_new_figure(ax):
    """Return the given axes, or the axes of a new figure if None."""
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def grid_of_axes(ax, n, n_columns, *, figsize=None, **ratios):
    """Return n axes in row-major order.

    Parameters
    ----------
    ax : Axes, array-like of Axes, or None
        As in scikit-learn's PartialDependenceDisplay: a single axes is divided into a grid, several
        axes are used as the grid, and None creates a new figure.
    n, n_columns : int
    figsize : tuple of float
        Size of a new figure.
    **ratios : dict
        `height_ratios` and `width_ratios` of the grid.

    Returns
    -------
    ndarray of Axes of shape (n,)

    Raises
    ------
    ValueError
        If several axes are given and their number is not n, or the axes cannot be divided.
    """
    import matplotlib.pyplot as plt

    if ax is not None and np.size(ax) == n:
        return np.array(ax, dtype=object).ravel()
    if np.size(ax) > 1:
        raise ValueError(
            f"ax has {np.size(ax)} axes, but {n} are required. Pass {n} axes, a single axes to be "
            "divided, or None for a new figure."
        )
    shape = math.ceil(n / n_columns), n_columns
    if ax is None:
        figure = plt.figure(layout="constrained", figsize=figsize)
        grid = figure.add_gridspec(*shape, **ratios)
    else:
        (ax,) = np.ravel(ax)
        figure, grid = ax.figure, _divide(ax, n, shape, ratios)
    return np.array([figure.add_subplot(grid[divmod(i, n_columns)]) for i in range(n)])


def _divide(ax, n, shape, ratios):
    """Divide the area of an axes into a grid, and hide the axes itself."""
    if ax.get_subplotspec() is None:
        raise ValueError(
            f"ax is not part of a subplot grid and cannot be divided. Pass {n} axes, or an axes "
            "created by plt.subplots."
        )
    ax.set_axis_off()
    return ax.get_subplotspec().subgridspec(*shape, **ratios)


def grid_columns(n, ax):
    """Return the number of columns of a grid of n axes.

    It is that of `ax` if it is a 2D array. Otherwise, among the numbers of columns from the number
    of rows to twice of it, it is the one with the fewest empty positions.
    """
    if np.ndim(ax) == 2:
        return np.shape(ax)[1]
    square = math.ceil(math.sqrt(n))
    return min(range(square, 2 * square), key=lambda n_columns: -n % n_columns)


def label_log_axis(axis):
    """Label a logarithmic axis with plain numbers: powers of ten, and 2 and 5 in a short range."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend_beside(ax, handles=None, **style):
    """Draw a legend to the right of the axes, where it covers neither data nor title."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    position = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
    return ax.legend(handles=handles, **{**position, **style})


def check_choice(parameter, value, choices):
    """Raise a ValueError if the value of a parameter is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{parameter}={value!r} must be one of {choices}.")


def image_extent(grid):
    """Return the extent of an image whose pixel centers are the grid points."""
    half = [(axis[1] - axis[0]) / 2 for axis in grid]
    return [
        edge for axis, h in zip(grid, half, strict=True) for edge in (axis[0] - h, axis[-1] + h)
    ]


def class_image(probabilities):
    """Return an RGBA image of the most probable class. Higher probabilities are more opaque.

    Parameters
    ----------
    probabilities : ndarray of shape (n_classes, height, width)

    Returns
    -------
    ndarray of shape (height, width, 4)
    """
    from matplotlib.colors import to_rgba_array

    n_classes = len(probabilities)
    image = to_rgba_array(distinct_colors(n_classes))[probabilities.argmax(axis=0)]
    certainty = (probabilities.max(axis=0) - 1 / n_classes) / (1 - 1 / n_classes)
    image[..., 3] = 0.1 + 0.5 * certainty
    return image
