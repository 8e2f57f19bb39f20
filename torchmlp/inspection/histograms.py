"""Computation of WeightsDisplay: histograms of weights, gradients and activations."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from torchmlp.callbacks import Snapshot, recorded_snapshots
from torchmlp.inspection.models import check_resolution
from torchmlp.inspection.style import max_abs

DECADES = 8  # maximum range of the gradient bins; smaller gradients go to the first bin


class Histograms(NamedTuple):
    """Histograms of one quantity for each layer and epoch.

    Attributes
    ----------
    edges : ndarray of shape (n_layers, n_bins + 1)
        Edges of the bins.
    counts : ndarray of shape (n_layers, n_epochs, n_bins)
        Number of values in each bin.
    """

    edges: np.ndarray
    counts: np.ndarray


def training_histograms(model, X, *, n_bins):
    """Return histograms for each snapshot of a network, or of the fitted weights if it has none.

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
        If the snapshots are from a different fit.
    """
    check_resolution("n_bins", n_bins)
    inputs = model.inputs(X)
    snapshots = recorded_snapshots(model.mlp) or [_fitted_snapshot(model.mlp)]
    networks = [model.with_weights(snapshot) for snapshot in snapshots]
    weights = [snapshot.coefs for snapshot in snapshots]
    largest = max_abs(w for layers in weights for w in layers)
    ranges, dead_share = _activation_summary(networks, inputs)
    return {
        "epochs": np.array([snapshot.epoch for snapshot in snapshots]),
        "weights": _histograms(weights, [np.linspace(-largest, largest, n_bins + 1)]),
        "gradients": _gradient_histograms([s.coefs_gradient for s in snapshots], n_bins),
        # Computed a second time: the activations of all epochs may not fit into memory.
        "activations": _histograms(
            (_activations(network, inputs) for network in networks),
            [np.linspace(low, high, n_bins + 1) for low, high in ranges],
        ),
        "dead_share": dead_share,
    }


def _fitted_snapshot(mlp):
    return Snapshot(mlp.n_iter_, mlp.loss_, mlp.coefs_, mlp.intercepts_)


def _activations(mlp, inputs):
    """Return the activations of the hidden layers and the predictions."""
    if not is_classifier(mlp):
        outputs = mlp.predict(inputs)
    elif hasattr(mlp, "predict_proba"):
        outputs = np.asarray(mlp.predict_proba(inputs))[:, -mlp.n_outputs_ :]
    else:
        outputs = mlp.decision_function(inputs)
    return [*mlp.hidden_activations(inputs), outputs]


def _activation_summary(networks, inputs):
    """Return the range of each layer, common to all hidden layers, and the share of dead units."""
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


def _gradient_histograms(gradients, n_bins):
    """Return histograms of absolute values in logarithmic bins, or None without gradients."""
    if all(layers is None for layers in gradients):
        return None
    magnitudes = [None if layers is None else [np.abs(g) for g in layers] for layers in gradients]
    positive = [g[g > 0] for layers in magnitudes for g in layers or ()]
    largest = max_abs(positive)
    # A few tiny values must not determine the range of the bins.
    smallest = min((np.quantile(g, 0.01) for g in positive if len(g)), default=0.0)
    lowest = np.clip(smallest, largest * 10.0**-DECADES, largest / 10)
    return _histograms(magnitudes, [np.geomspace(lowest, largest, n_bins + 1)])


def _histograms(epochs, edges):
    """Return histograms of the layers of each epoch. Counts are zero for an epoch that is None."""
    counts: list[Any] = []
    for layers in epochs:
        if layers is None:
            counts.append(None)
            continue
        edges = edges * len(layers) if len(edges) == 1 else edges
        counts.append([_counts(*pair) for pair in zip(layers, edges, strict=True)])
    zeros = np.zeros_like(next(layers for layers in counts if layers is not None))
    stacked = np.array([zeros if layers is None else layers for layers in counts])
    return Histograms(np.array(edges), stacked.swapaxes(0, 1))


def _counts(values, edges):
    return np.histogram(np.asarray(values, dtype=float).clip(edges[0], edges[-1]), edges)[0]
