"""Where the neurons and edges of a network diagram are: arrays, no drawing."""

from dataclasses import dataclass

import numpy as np

GAP = 2  # rows that stand for the units left out
RADIUS = 0.24  # of a neuron, where neurons are 1 apart


@dataclass(frozen=True)
class Column:
    """A layer of a diagram.

    Attributes
    ----------
    n_units : int
        Of the layer.
    shown : ndarray of shape (n_shown,)
        The units that are drawn.
    centers : ndarray of shape (n_shown, 2)
        Where.
    gap : ndarray of shape (2,) or None
        Where the units are left out.
    """

    n_units: int
    shown: np.ndarray
    centers: np.ndarray
    gap: np.ndarray | None


def shown_units(n_units, max_units):
    """Return the units to draw: all, or the first and last of too many.

    Parameters
    ----------
    n_units : int
    max_units : int or None
        None for all.

    Raises
    ------
    ValueError
        If max_units is less than 2.
    """
    if max_units is None:
        return np.arange(n_units)
    if max_units < 2:
        raise ValueError(f"max_units={max_units} must be at least 2, or None for all units.")
    if n_units <= max_units:
        return np.arange(n_units)
    first = (max_units + 1) // 2
    return np.r_[:first, n_units - (max_units - first) : n_units]


def columns(layer_units, max_units, ratio, vertical):
    """Lay out the neurons of all layers, 1 apart, each layer centred.

    Parameters
    ----------
    layer_units : sequence of int
    max_units : int or None
    ratio : float
        Of the diagram's extent along the layers to that across them.
    vertical : bool
        Whether layers are rows, the first at the bottom, rather than columns.

    Returns
    -------
    list of Column
    """
    shown = [shown_units(n, max_units) for n in layer_units]
    rows = [_rows(units) for units in shown]
    extent = max(*(row[-1] for row in rows), 2.0)
    step = max(ratio * extent / (len(layer_units) - 1), 1.5)
    made = []
    for i, (n_units, units, row) in enumerate(zip(layer_units, shown, rows, strict=True)):
        across = row[-1] / 2 - row
        centers = np.column_stack([np.full(len(row), i * step), across])
        cut = np.flatnonzero(np.diff(row) > 1)
        gap = centers[cut[0] : cut[0] + 2].mean(axis=0) if len(cut) else None
        if vertical:  # the first unit on the left
            centers = centers[:, ::-1] * (-1, 1)
            gap = gap if gap is None else gap[::-1] * (-1, 1)
        made.append(Column(n_units, units, centers, gap))
    return made


def _rows(units):
    """Return the position of each unit in its column, with room where some are left out."""
    return np.arange(len(units)) + (GAP - 1.0) * (units != np.arange(len(units)))


def edges(coefs, source, target):
    """Return the edges between two columns, from rim to rim, the weakest first.

    Parameters
    ----------
    coefs : ndarray of shape (fan_in, fan_out)
    source, target : Column

    Returns
    -------
    segments : ndarray of shape (n_edges, 2, 2)
    weights : ndarray of shape (n_edges,)
    """
    weights = coefs[np.ix_(source.shown, target.shown)].ravel()
    starts = np.repeat(source.centers, len(target.shown), axis=0)
    ends = np.tile(target.centers, (len(source.shown), 1))
    way = ends - starts
    way *= RADIUS / np.linalg.norm(way, axis=1, keepdims=True)
    order = np.argsort(np.abs(weights), kind="stable")
    return np.stack([starts + way, ends - way], axis=1)[order], weights[order]
