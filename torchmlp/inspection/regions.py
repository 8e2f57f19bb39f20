"""Probabilities over two features, and where hidden units change sign: arrays, no drawing."""

import numpy as np
from sklearn.base import is_classifier

from torchmlp.inspection.models import feature_axes, grid_points, on_grid


def decision_regions(model, X, *, layer, grid_resolution, margin):
    """Return the probabilities of the classes over the range of two features.

    Parameters
    ----------
    model : Model
    X : array-like of shape (n_samples, 2)
    layer : int or None
    grid_resolution : int
    margin : float

    Returns
    -------
    dict
        The parameters of :class:`DecisionRegionDisplay`.

    Raises
    ------
    TypeError
        If the network is no classifier.
    ValueError
        If it has no probabilities of classes that exclude each other, X has not two features, or
        there is no such layer.
    """
    _check_classes_exclude_each_other(model.mlp)
    axes = feature_axes(X, (2,), grid_resolution, margin)
    points = grid_points(axes, X)
    probabilities = model.mlp.predict_proba(model.inputs(points))
    units = None if layer is None else on_grid(model.pre_activations(points, layer), axes)
    return {
        "x0": axes[0],
        "x1": axes[1],
        "probabilities": on_grid(probabilities, axes),
        "class_names": [str(label) for label in model.mlp.classes_],
        "pre_activations": units,
    }


def _check_classes_exclude_each_other(mlp):
    if not is_classifier(mlp):
        raise TypeError(
            f"estimator={mlp!r} has no classes. Give a classifier; for a regressor there is "
            "sklearn.inspection.DecisionBoundaryDisplay."
        )
    check_one_class_per_point(mlp)


def check_one_class_per_point(mlp):
    """Raise a ValueError if a classifier has no probabilities of classes, one of which is true."""
    if not hasattr(mlp, "predict_proba"):
        raise ValueError(
            f"estimator with loss={mlp.loss!r} gives no probabilities. Use loss='log_loss', or "
            "sklearn.inspection.DecisionBoundaryDisplay."
        )
    if mlp.out_activation_ == "logistic" and mlp.n_outputs_ > 1:
        raise ValueError(
            f"estimator has {mlp.n_outputs_} labels that do not exclude each other, so a point has "
            "no most probable one. Fit one classifier per label."
        )


def leads(probabilities):
    """Return by how much each class leads the best of the others: positive where it wins.

    Parameters
    ----------
    probabilities : ndarray of shape (n_classes, n_points, n_points)

    Returns
    -------
    ndarray of the same shape
    """
    others = [np.delete(probabilities, k, axis=0).max(axis=0) for k in range(len(probabilities))]
    return probabilities - np.stack(others)
