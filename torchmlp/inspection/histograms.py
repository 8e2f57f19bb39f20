"""Histograms of weights, gradients and activations, epoch by epoch: arrays, no drawing."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from torchmlp.callbacks import Snapshot, recorded_snapshots
from torchmlp.inspection.style import limit_of

DECADES = 8  # below the largest gradient; what is smaller counts as this small


class Histograms(NamedTuple):
    """Histograms of one quantity, layer by layer and epoch by epoch.

    Attributes
    ----------
    edges : ndarray of shape (n_layers, n_bins + 1)
        Edges of the bins.
    counts : ndarray of shape (n_layers, n_epochs, n_bins)
        How many values are in each.
    """

    edges: np.ndarray
    counts: np.ndarray


def training_histograms(model, X, *, n_bins):
    """Return histograms over the snapshots of a network, or of its last weights without any.

    Parameters
    ----------
    model : Model
    X : array-like of shape (n_samples, n_features)
    n_bins : int

    Returns
    -------
    dict
        The parameters of :class:`WeightsDisplay`.

    Raises
    ------
    ValueError
        If the snapshots are of another fit.
    """
    inputs = model.inputs(X)
    snapshots = recorded_snapshots(model.mlp) or [_of_last_weights(model.mlp)]
    networks = [model.at(snapshot) for snapshot in snapshots]
    weights = [snapshot.coefs for snapshot in snapshots]
    largest = limit_of(w for layers in weights for w in layers)
    ranges, dead_share = _activations_in_short(networks, inputs)
    return {
        "epochs": np.array([snapshot.epoch for snapshot in snapshots]),
        "weights": _histograms(weights, [np.linspace(-largest, largest, n_bins + 1)]),
        "gradients": _gradients([snapshot.coefs_gradient for snapshot in snapshots], n_bins),
        # once more: those of all epochs may not fit into the memory
        "activations": _histograms(
            (_activations(network, inputs) for network in networks),
            [np.linspace(low, high, n_bins + 1) for low, high in ranges],
        ),
        "dead_share": dead_share,
    }


def _of_last_weights(mlp):
    return Snapshot(mlp.n_iter_, mlp.loss_, mlp.coefs_, mlp.intercepts_)


def _activations(mlp, inputs):
    """Return the values of the hidden layers and of the output."""
    if not is_classifier(mlp):
        outputs = mlp.predict(inputs)
    elif hasattr(mlp, "predict_proba"):
        outputs = np.asarray(mlp.predict_proba(inputs))[:, -mlp.n_outputs_ :]
    else:
        outputs = mlp.decision_function(inputs)
    return [*mlp.hidden_activations(inputs), outputs]


def _activations_in_short(networks, inputs):
    """Return the range of each layer, one for all that are hidden, and shares of dead units."""
    lows, highs, dead_share = [], [], []
    for network in networks:
        layers = _activations(network, inputs)
        lows.append([values.min() for values in layers])
        highs.append([values.max() for values in layers])
        dead_share.append([(values == 0).all(axis=0).mean() for values in layers[:-1]])
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    low[:-1], high[:-1] = low[:-1].min(initial=0), high[:-1].max(initial=0)
    high = np.where(high > low, high, low + 1)
    return np.column_stack([low, high]), np.array(dead_share).T


def _gradients(gradients, n_bins):
    """Return histograms of absolute values in bins of equal ratio, or None if there are none."""
    if all(layers is None for layers in gradients):
        return None
    sizes = [None if layers is None else [np.abs(g) for g in layers] for layers in gradients]
    positive = [g[g > 0] for layers in sizes for g in layers or ()]
    largest = limit_of(positive)
    # the few that are much smaller than the rest shall not take the room
    smallest = min((np.quantile(g, 0.01) for g in positive if len(g)), default=0.0)
    lowest = np.clip(smallest, largest * 10.0**-DECADES, largest / 10)
    return _histograms(sizes, [np.geomspace(lowest, largest, n_bins + 1)])


def _histograms(layers_of_epochs, edges):
    """Count arrays by epoch and layer, in bins of each layer or in one; none where it is None."""
    counts: list[Any] = []
    for layers in layers_of_epochs:
        if layers is None:
            counts.append(None)
            continue
        edges = edges * len(layers) if len(edges) == 1 else edges
        counts.append([_counts(*pair) for pair in zip(layers, edges, strict=True)])
    nothing = np.zeros_like(next(layers for layers in counts if layers is not None))
    stacked = np.array([nothing if layers is None else layers for layers in counts])
    return Histograms(np.array(edges), stacked.swapaxes(0, 1))


def _counts(values, edges):
    return np.histogram(np.asarray(values, dtype=float).clip(edges[0], edges[-1]), edges)[0]
