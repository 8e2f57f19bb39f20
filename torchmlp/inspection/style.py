"""What the displays share: colours, styles and axes."""

import math

import numpy as np

# Okabe and Ito's colours, which colour-blind readers can tell apart; grey stands in for their
# black, which would be lost on a dark background.
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
NEGATIVE, POSITIVE = "#E8710A", "#1C86D6"
NEUTRAL = "#888888"
LINE_STYLES = ("-", "--", ":", "-.")


def distinct_colors(n):
    """Return n colours: the first of Okabe and Ito's, or of a colour map if there are more."""
    import matplotlib as mpl

    if n <= len(OKABE_ITO):
        return list(OKABE_ITO[:n])
    return [mpl.colors.to_hex(color) for color in mpl.colormaps["turbo"](np.linspace(0, 1, n))]


def unit_styles(n):
    """Return n styles of lines: each colour with the first line style, then with the next."""
    n_colors = len(OKABE_ITO)
    return [
        {
            "color": OKABE_ITO[i % n_colors],
            "linestyle": LINE_STYLES[i // n_colors % len(LINE_STYLES)],
        }
        for i in range(n)
    ]


def sign_colormap(faintest=0.0, through=None):
    """Return a colour map from orange, for negative values, to blue.

    It fades towards 0 instead of going through white, so that it is right on any background.

    Parameters
    ----------
    faintest : float
        Opacity next to 0.
    through : color or None
        An opaque colour for 0 instead.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    below, above = (to_rgba(through or color) for color in (NEGATIVE, POSITIVE))
    if through is None:
        below, above = (*below[:3], faintest), (*above[:3], faintest)
    stops = [(0.0, to_rgba(NEGATIVE)), (0.5, below), (0.5, above), (1.0, to_rgba(POSITIVE))]
    return LinearSegmentedColormap.from_list("sign", stops)


def fading_colormap(color, faintest=0.0):
    """Return a colour map from a transparent colour to the colour."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    stops = [to_rgba(color, faintest), to_rgba(color)]
    return LinearSegmentedColormap.from_list("fading", stops)


def limit_of(arrays):
    """Return the largest absolute value, or 1 if there is none but 0."""
    return max((float(np.abs(array).max()) for array in arrays if np.size(array)), default=0) or 1.0


def merged(artist, defaults, style):
    """Return the default style of an artist with the user's, or None, over it.

    Parameters
    ----------
    artist : type
        Knows that "lw" is "linewidth".
    defaults : dict
    style : dict or None
    """
    from matplotlib.cbook import normalize_kwargs

    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(style, artist)}


def one_axes(ax):
    """Return the given axes, or those of a new figure."""
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def grid_of_axes(ax, n, n_columns, *, figsize=None, **ratios):
    """Return n axes, row by row.

    Parameters
    ----------
    ax : Axes, array-like of Axes, or None
        As in scikit-learn's PartialDependenceDisplay: one is divided into a grid, several are the
        grid, and None is a new figure.
    n, n_columns : int
    figsize : tuple of float
        Of a new figure.
    **ratios : dict
        `height_ratios` and `width_ratios`.

    Returns
    -------
    ndarray of Axes of shape (n,)

    Raises
    ------
    ValueError
        If several were given, and their number is another.
    """
    import matplotlib.pyplot as plt

    if ax is not None and np.size(ax) == n:
        return np.array(ax, dtype=object).ravel()
    if np.size(ax) > 1:
        raise ValueError(
            f"ax has {np.size(ax)} axes where {n} are needed. Give as many, one to be divided, or "
            "None for a new figure."
        )
    shape = math.ceil(n / n_columns), n_columns
    if ax is None:
        figure = plt.figure(layout="constrained", figsize=figsize)
        place = figure.add_gridspec(*shape, **ratios)
    else:
        (ax,) = np.ravel(ax)
        figure, place = ax.figure, _divided(ax, n, shape, ratios)
    return np.array([figure.add_subplot(place[divmod(i, n_columns)]) for i in range(n)])


def _divided(ax, n, shape, ratios):
    """Return the place of an axes as a grid; the axes itself is seen no more."""
    if ax.get_subplotspec() is None:
        raise ValueError(
            f"ax is not in a grid of subplots, and cannot be divided. Give {n} axes, or one made "
            "by plt.subplots."
        )
    ax.set_axis_off()
    return ax.get_subplotspec().subgridspec(*shape, **ratios)


def columns_for(n, ax):
    """Return how many columns a grid of n panels has: the user's, or what leaves few places empty.

    As many as rows, or up to twice as many.
    """
    if np.ndim(ax) == 2:
        return np.shape(ax)[1]
    square = math.ceil(math.sqrt(n))
    return min(range(square, 2 * square), key=lambda n_columns: -n % n_columns)


def legend_beside(ax, handles=None, **style):
    """Put a legend to the right of the axes, where it covers neither data nor a title."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    placed = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
    return ax.legend(handles=handles, **{**placed, **style})


def check_choice(parameter, value, choices):
    """Raise a ValueError if the value of a parameter is none of the choices."""
    if value not in choices:
        raise ValueError(f"{parameter}={value!r} must be one of {choices}.")


def image_extent(grid):
    """Return the edges of an image whose pixels have their centres on a grid."""
    half = [(axis[1] - axis[0]) / 2 for axis in grid]
    return [
        edge for axis, h in zip(grid, half, strict=True) for edge in (axis[0] - h, axis[-1] + h)
    ]


def class_image(probabilities):
    """Return an image of the colour of the likeliest class, the stronger the likelier it is.

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
