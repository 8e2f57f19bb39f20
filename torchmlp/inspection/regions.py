"""Computation of DecisionRegionDisplay: probabilities and pre-activations on a grid."""

import numpy as np
from sklearn.base import is_classifier

from torchmlp.inspection.models import feature_axes, grid_points, on_grid
from torchmlp.inspection.samples import labeled_samples


def decision_regions(model, X, y=None, *, layer, grid_resolution, margin):
    """Return class probabilities and pre-activations on a grid over the range of two features.

    Parameters
    ----------
    model : Model
    X : array-like of shape (n_samples, 2)
    y : array-like of shape (n_samples,) or None
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
        If the network is not a classifier.
    ValueError
        If the network is a multilabel classifier or has no `predict_proba`, X does not have two
        features, y does not match X or contains unknown classes, or `layer` is out of range.
    """
    if not is_classifier(model.mlp):
        raise TypeError(
            f"estimator={model.mlp!r} is not a classifier. Pass a classifier, or use "
            "sklearn.inspection.DecisionBoundaryDisplay, which supports regressors."
        )
    check_class_probabilities(model.mlp)
    axes = feature_axes(X, (2,), grid_resolution, margin)
    samples, classes = labeled_samples(model.mlp, X, y)
    points = grid_points(axes, X)
    probabilities = model.mlp.predict_proba(model.inputs(points))
    units = None if layer is None else on_grid(model.pre_activations(points, layer), axes)
    return {
        "x0": axes[0],
        "x1": axes[1],
        "probabilities": on_grid(probabilities, axes),
        "class_names": [str(label) for label in model.mlp.classes_],
        "pre_activations": units,
        "X": samples,
        "y": classes,
    }


def check_class_probabilities(mlp):
    """Raise a ValueError if a classifier does not predict probabilities of exclusive classes."""
    if not hasattr(mlp, "predict_proba"):
        raise ValueError(
            f"An estimator with loss={mlp.loss!r} has no predict_proba. Use loss='log_loss', or "
            "sklearn.inspection.DecisionBoundaryDisplay."
        )
    if mlp.out_activation_ == "logistic" and mlp.n_outputs_ > 1:
        raise ValueError(
            f"estimator is a multilabel classifier with {mlp.n_outputs_} labels, which are not "
            "mutually exclusive classes. Fit one classifier per label."
        )


def class_margins(probabilities):
    """Return the margin of each class: its probability minus the largest of the other classes.

    Parameters
    ----------
    probabilities : ndarray of shape (n_classes, n_points, n_points)

    Returns
    -------
    ndarray of the same shape
    """
    others = [np.delete(probabilities, k, axis=0).max(axis=0) for k in range(len(probabilities))]
    return probabilities - np.stack(others)
