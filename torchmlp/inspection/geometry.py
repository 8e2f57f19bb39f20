"""Computation of NetworkDisplay: positions of the neurons and edges."""

from dataclasses import dataclass

import numpy as np

GAP = 2  # distance between the neurons before and after omitted units
RADIUS = 0.24  # of a neuron; adjacent neurons have distance 1


@dataclass(frozen=True)
class Layer:
    """Layout of a layer.

    Attributes
    ----------
    n_units : int
        Number of units of the layer.
    shown : ndarray of shape (n_shown,)
        Indices of the units that are drawn.
    centers : ndarray of shape (n_shown, 2)
        Coordinates of their centers.
    gap : ndarray of shape (2,) or None
        Center of the gap for omitted units. None if all units are drawn.
    """

    n_units: int
    shown: np.ndarray
    centers: np.ndarray
    gap: np.ndarray | None


def shown_units(n_units, max_units):
    """Return the indices of the units to draw: all, or the first and last ones if too many.

    Parameters
    ----------
    n_units : int
    max_units : int or None
        Maximum number of units. None for all.

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


def lay_out(layer_units, max_units, ratio, vertical):
    """Return the layout of all layers. Adjacent neurons have distance 1, and layers are centered.

    Parameters
    ----------
    layer_units : sequence of int
    max_units : int or None
    ratio : float
        Size of the diagram in the direction from input to output, relative to its size in the
        direction of a layer.
    vertical : bool
        Whether the network runs from bottom to top, with layers as rows, instead of from left to
        right.

    Returns
    -------
    list of Layer
    """
    shown = [shown_units(n, max_units) for n in layer_units]
    rows = [_rows(units) for units in shown]
    extent = max(*(row[-1] for row in rows), 2.0)
    step = max(ratio * extent / (len(layer_units) - 1), 1.5)
    layers = []
    for i, (n_units, units, row) in enumerate(zip(layer_units, shown, rows, strict=True)):
        across = row[-1] / 2 - row
        centers = np.column_stack([np.full(len(row), i * step), across])
        cut = np.flatnonzero(np.diff(row) > 1)
        gap = centers[cut[0] : cut[0] + 2].mean(axis=0) if len(cut) else None
        if vertical:  # the first unit on the left
            centers = centers[:, ::-1] * (-1, 1)
            gap = gap if gap is None else gap[::-1] * (-1, 1)
        layers.append(Layer(n_units, units, centers, gap))
    return layers


def _rows(units):
    """Return the position of each drawn unit along its layer, with a gap for omitted units."""
    return np.arange(len(units)) + (GAP - 1.0) * (units != np.arange(len(units)))


def edges(coefs, source, target):
    """Return the edges between two layers, from rim to rim, by increasing absolute weight.

    Parameters
    ----------
    coefs : ndarray of shape (fan_in, fan_out)
    source, target : Layer

    Returns
    -------
    segments : ndarray of shape (n_edges, 2, 2)
    weights : ndarray of shape (n_edges,)
    """
    weights = coefs[np.ix_(source.shown, target.shown)].ravel()
    starts = np.repeat(source.centers, len(target.shown), axis=0)
    ends = np.tile(target.centers, (len(source.shown), 1))
    offset = ends - starts
    offset *= RADIUS / np.linalg.norm(offset, axis=1, keepdims=True)
    order = np.argsort(np.abs(weights), kind="stable")
    return np.stack([starts + offset, ends - offset], axis=1)[order], weights[order]
