"""Samples of each class, which the displays draw over their predictions."""

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from torchmlp.inspection.models import checked_samples
from torchmlp.inspection.style import merge_style
from torchmlp.validation import naming, to_numpy

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


def class_indices(mlp, y):
    """Return the index of the class of each sample.

    Parameters
    ----------
    mlp : TorchMLPClassifier
    y : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        If y contains classes that are not among those of the classifier.
    """
    with naming("y"):
        y = column_or_1d(y)
        unknown = np.setdiff1d(y, mlp.classes_)
    if len(unknown):
        raise ValueError(
            f"y has classes {unknown.tolist()} that were not seen during fit. Pass y with the "
            f"classes of the estimator: its classes are {mlp.classes_.tolist()}."
        )
    return np.searchsorted(mlp.classes_, y)


def labeled_samples(mlp, X, y):
    """Return the samples to draw and the indices of their classes, or None for both without y."""
    if y is None:
        return None, None
    y = checked_labels(X, y)
    return checked_samples(X), class_indices(mlp, y)


def checked_labels(X, y):
    """Return y as an array.

    Raises
    ------
    TypeError, ValueError
        If y does not have a value or a row for each row of X.
    """
    with naming("y"):
        y = check_array(*to_numpy(y=y), ensure_2d=False, dtype=None)
        check_consistent_length(X, y)
    return y


def scatter_groups(ax, groups, names, colors, style, **defaults):
    """Draw groups of points, each in its color and with its own marker.

    Parameters
    ----------
    ax : Axes
    groups : list of ndarrays of shape (n_points, 2)
    names : list of str
        Labels for the legend.
    colors : list of color
    style : dict or None
        Keyword arguments of the user for `Axes.scatter`.
    **defaults : dict
        Other defaults for `Axes.scatter`. By default, points are outlined in the text color.

    Returns
    -------
    list of PathCollection
    """
    from matplotlib import rcParams
    from matplotlib.collections import PathCollection

    outline = {"edgecolor": rcParams["text.color"], "linewidth": 0.5, "s": 20, **defaults}
    artists = []
    for k, (points, name, color) in enumerate(zip(groups, names, colors, strict=True)):
        own = {**outline, "facecolor": color, "marker": _MARKERS[k % len(_MARKERS)], "label": name}
        artists.append(ax.scatter(*points.T, **merge_style(PathCollection, own, style)))
    return artists
