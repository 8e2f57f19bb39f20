"""Computation of TrainingAnimation: predictions at each snapshot."""

import numpy as np
from sklearn.base import is_classifier

from torchmlp.callbacks import find_snapshots
from torchmlp.inspection.models import checked_samples, feature_axes, grid_points, on_grid
from torchmlp.inspection.regions import check_class_probabilities
from torchmlp.inspection.samples import checked_labels, class_indices

BAND_DEVIATIONS = 1.96  # half the width of a band that contains 95 % of a normal distribution


def training_frames(model, X, y, *, grid_resolution, margin):
    """Return the predictions of each snapshot on a grid over one or two features.

    Parameters
    ----------
    model : Model
        A network fitted with a `torchmlp.callbacks.Snapshots`.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    grid_resolution : int
    margin : float

    Returns
    -------
    dict
        The parameters of :class:`TrainingAnimation`.

    Raises
    ------
    ValueError
        If there are no snapshots, X has more than two features, X and y are inconsistent, or the
        predictions cannot be drawn.
    """
    mlp, snapshots = model.mlp, find_snapshots(model.mlp)
    axes = feature_axes(X, (1, 2), grid_resolution, margin)
    y = checked_labels(X, y)
    inputs = model.inputs(grid_points(axes, X))
    networks = [model.with_weights(snapshot) for snapshot in snapshots]
    frames_of = _class_frames if is_classifier(mlp) else _target_frames
    computed = frames_of(model, networks, inputs, len(axes))
    stacked = {
        name: np.stack([on_grid(values, axes) for values in frames])
        for name, frames in computed.items()
    }
    return {
        "grid": axes,
        **stacked,
        **(_classes(mlp, y) if is_classifier(mlp) else _targets(mlp, y, stacked, len(axes))),
        "epochs": np.array([snapshot.epoch for snapshot in snapshots]),
        "loss": np.array(mlp.loss_curve_),
        "X": checked_samples(X),
    }


def _class_frames(model, networks, inputs, n_features):
    """Return the probabilities of each network."""
    check_class_probabilities(model.mlp)
    return {"predictions": [network.predict_proba(inputs) for network in networks]}


def _target_frames(model, networks, inputs, n_features):
    """Return the predictions of each network and, if it can be drawn, a band around them."""
    if n_features > 1 or not model.mlp._encoder.has_deviations:
        predicted = [network.predict(inputs) for network in networks]
        return {"predictions": [_in_units_of_y(model, values) for values in predicted]}
    predicted = [network.predict(inputs, return_std=True) for network in networks]

    def shifted(factor):
        return [_in_units_of_y(model, mean + factor * std) for mean, std in predicted]

    return {
        "predictions": shifted(0),
        "lower": shifted(-BAND_DEVIATIONS),
        "upper": shifted(BAND_DEVIATIONS),
    }


def _in_units_of_y(model, predictions):
    """Return predictions in the units of y. The quantiles are transformed one by one."""
    step = model.mlp._encoder.columns_per_target
    columns = predictions.reshape(len(predictions), -1)
    return np.hstack([model.inverse_transform_targets(columns[:, k::step]) for k in range(step)])


def _classes(mlp, y):
    return {"y": class_indices(mlp, y), "class_names": list(map(str, mlp.classes_))}


def _targets(mlp, y, stacked, n_features):
    n_columns = stacked["predictions"].shape[1]
    if n_features == 2 and n_columns > 1:
        raise ValueError(
            f"estimator has {n_columns} outputs, but with two features only one output can be "
            "drawn. Fit one regressor per output, or fit on one feature."
        )
    y = y.reshape(len(y), -1)
    n_targets = n_columns // mlp._encoder.columns_per_target
    if y.shape[1] != n_targets:
        raise ValueError(
            f"y has {y.shape[1]} columns, but the estimator predicts {n_targets}. Pass one column "
            "per target."
        )
    return {"y": y, "output_names": mlp._encoder.column_names(n_columns)}


def target_samples(x, y, predictions):
    """Return the samples of each target as points, and the limits of the y axis.

    Parameters
    ----------
    x : ndarray of shape (n_samples,)
        Values of the only feature.
    y : ndarray of shape (n_samples, n_targets)
    predictions : ndarray of shape (n_frames, n_curves, n_points)

    Returns
    -------
    points : list of ndarrays of shape (n_samples, 2)
    limits : tuple of float
        Range of the targets and the last predictions, with a margin.
    """
    values = np.append(y, predictions[-1])
    low, high = values.min(), values.max()
    margin = 0.08 * (high - low) or 0.5
    return [np.column_stack([x, column]) for column in y.T], (low - margin, high + margin)


def class_samples(x, y, predictions):
    """Return the samples of each class as points, and the limits of the axis of probabilities.

    Two classes are drawn at the probabilities 0 and 1, more classes in rows above 1.

    Parameters
    ----------
    x : ndarray of shape (n_samples,)
        Values of the only feature.
    y : ndarray of int of shape (n_samples,)
        Class indices.
    predictions : ndarray of shape (n_frames, n_classes, n_points)

    Returns
    -------
    points : list of ndarrays of shape (n_samples_of_class, 2)
    limits : tuple of float
    """
    n_classes = predictions.shape[1]
    heights = [0.0, 1.0] if n_classes == 2 else list(1.06 + 0.05 * np.arange(n_classes))
    rows = [x[y == k] for k in range(n_classes)]
    points = [
        np.column_stack([row, np.full(len(row), height)])
        for row, height in zip(rows, heights, strict=True)
    ]
    return points, (-0.06, heights[-1] + 0.06)
