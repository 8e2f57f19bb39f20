"""Histograms of weights, gradients and activations, epoch by epoch: arrays, no drawing."""

from typing import NamedTuple

import numpy as np

from torchmlp.callbacks import Snapshot, recorded_snapshots

DECADES = 12  # below the largest gradient; what is smaller counts as this small


class Histograms(NamedTuple):
    """Histograms of one quantity, in the same bins for all layers and epochs.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
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
    mlp, inputs = model.mlp, model.inputs(X)
    snapshots = recorded_snapshots(mlp) or [_of_last_weights(mlp)]
    activation_range, dead = _ranges_of_activations(model, snapshots, inputs)
    weights = [s.coefs for s in snapshots]
    largest = max((np.abs(w).max() for layers in weights for w in layers), default=0) or 1.0
    return {
        "epochs": np.array([s.epoch for s in snapshots]),
        "weights": _histograms(weights, np.linspace(-largest, largest, n_bins + 1)),
        "gradients": _gradients([s.coefs_gradient for s in snapshots], n_bins),
        "activations": _histograms(
            (model.at(s).hidden_activations(inputs) for s in snapshots),
            np.linspace(*activation_range, n_bins + 1),
        ),
        "dead_share": dead,
    }


def _of_last_weights(mlp):
    return Snapshot(mlp.n_iter_, mlp.loss_, mlp.coefs_, mlp.intercepts_)


def _ranges_of_activations(model, snapshots, inputs):
    """Return the range of all activations, and which share of the units of a layer is never on."""
    low, high, dead = [0.0], [1e-3], []
    for snapshot in snapshots:
        layers = model.at(snapshot).hidden_activations(inputs)
        low += [values.min() for values in layers]
        high += [values.max() for values in layers]
        dead.append([(values == 0).all(axis=0).mean() for values in layers])
    return (min(low), max(high)), np.array(dead).T


def _gradients(gradients, n_bins):
    """Return histograms of absolute values in bins of equal ratio, or None if there are none."""
    if gradients[-1] is None:
        return None
    sizes = [None if layers is None else [np.abs(g) for g in layers] for layers in gradients]
    positive = [g[g > 0] for layers in sizes if layers is not None for g in layers]
    positive = [g for g in positive if len(g)]
    high = max((g.max() for g in positive), default=1.0)
    low = min((np.quantile(g, 0.01) for g in positive), default=0.1)
    low = min(max(low, high * 10.0**-DECADES), high / 10)
    return _histograms(sizes, np.geomspace(low, high, n_bins + 1))


def _histograms(layers_of_epochs, edges):
    """Count arrays by epoch and layer; nothing for an epoch that is None."""
    counts = [
        None if layers is None else [_counts(values, edges) for values in layers]
        for layers in layers_of_epochs
    ]
    nothing = np.zeros_like(next(layers for layers in counts if layers is not None))
    stacked = np.array([nothing if layers is None else layers for layers in counts])
    return Histograms(edges, stacked.reshape(len(counts), -1, len(edges) - 1).swapaxes(0, 1))


def _counts(values, edges):
    values = np.asarray(values, dtype=float)
    return np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
