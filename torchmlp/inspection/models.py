"""The network inside a fitted estimator, and what it computes: arrays, no drawing."""

import copy
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from torchmlp.classifier import TorchMLPClassifier
from torchmlp.nesting import unwrap
from torchmlp.regressor import TorchMLPRegressor

_OURS_FOR: dict[type, Any] = {MLPClassifier: TorchMLPClassifier, MLPRegressor: TorchMLPRegressor}


@dataclass(frozen=True)
class Model:
    """A network, and what X and y go through before it.

    Attributes
    ----------
    mlp : TorchMLPClassifier or TorchMLPRegressor
        Fitted; a copy, if the estimator was scikit-learn's.
    steps : list of transformers
        Of X.
    target_transformers : list of transformers
        Of y, those of each TransformedTargetRegressor around the network.
    """

    mlp: Any
    steps: list = field(default_factory=list)
    target_transformers: list = field(default_factory=list)

    def inputs(self, X):
        """Return what the network gets for X."""
        for step in self.steps:
            X = step.transform(X)
        return X

    def input_names(self):
        """Return the names of the network's inputs, or None if nobody named them."""
        names = getattr(self.mlp, "feature_names_in_", None)
        if names is None and self.steps:
            # not every transformer names its outputs
            with suppress(AttributeError, ValueError):
                names = self.steps[-1].get_feature_names_out()
        return names

    def in_units_of_y(self, predictions):
        """Return predictions of the network as values of y, with one column for each target.

        Parameters
        ----------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        ndarray of shape (n_samples, n_targets)
        """
        values = predictions.reshape(len(predictions), -1)
        for transformer in reversed(self.target_transformers):
            values = np.asarray(transformer.inverse_transform(values))
            values = values.reshape(len(predictions), -1)
        return values

    def output_names(self):
        """Return one name per output: the classes (for two, the second), or y."""
        n_outputs = self.mlp.n_outputs_
        if is_classifier(self.mlp):
            return [str(label) for label in self.mlp.classes_[-n_outputs:]]
        transformed = "transformed " if self.target_transformers else ""
        return [transformed + name for name in target_names(n_outputs)]

    def hidden_layer(self, layer):
        """Return the index of a hidden layer, which may be counted from the end.

        Raises
        ------
        ValueError
            If the network has no such layer.
        """
        n_hidden = len(self.mlp.coefs_) - 1
        if not -n_hidden <= layer < n_hidden:
            raise ValueError(
                f"layer={layer} is not there: the network has {n_hidden} hidden layers. Give an "
                "index as for a list, or fit a network with more of them."
            )
        return layer % n_hidden

    def at(self, snapshot):
        """Return the network with the weights of a `torchmlp.callbacks.Snapshot`."""
        mlp = copy.copy(self.mlp)
        mlp.coefs_, mlp.intercepts_ = snapshot.coefs, snapshot.intercepts
        return mlp

    def pre_activations(self, X, layer):
        """Return what the units of a hidden layer apply their activation function to.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        layer : int

        Returns
        -------
        ndarray of shape (n_samples, n_units)
        """
        layer, inputs = self.hidden_layer(layer), self.inputs(X)
        below = self.mlp.hidden_activations(inputs)[layer - 1] if layer else inputs
        below = check_array(below, accept_sparse=True)
        return below @ self.mlp.coefs_[layer] + self.mlp.intercepts_[layer]


def find_model(estimator):
    """Return the network of an estimator, and what is around it.

    Parameters
    ----------
    estimator : estimator
        An MLP of torchmlp or scikit-learn, fitted, or a Pipeline, a search or a
        TransformedTargetRegressor with one in it.

    Returns
    -------
    Model

    Raises
    ------
    NotFittedError
        If something of it is not fitted.
    TypeError
        If there is no multilayer perceptron in it.
    """
    nested = unwrap(estimator)
    mlp = nested.estimator
    if not isinstance(mlp, (TorchMLPClassifier, TorchMLPRegressor)):
        mlp = _as_ours(mlp)
    check_is_fitted(mlp)
    return Model(mlp, nested.steps, nested.target_transformers)


def _as_ours(estimator):
    for theirs, ours in _OURS_FOR.items():
        if isinstance(estimator, theirs):
            return ours.from_sklearn(estimator)
    raise TypeError(
        f"estimator={estimator!r} is no multilayer perceptron. Give a fitted TorchMLPClassifier or "
        "TorchMLPRegressor, scikit-learn's MLPClassifier or MLPRegressor, or a Pipeline, a search "
        "or a TransformedTargetRegressor with one of them in it."
    )


def target_names(n_targets):
    """Return the names of the targets of a regressor: "y", or "y0", "y1" and so on."""
    return ["y"] if n_targets == 1 else [f"y{i}" for i in range(n_targets)]


def checked_names(parameter, names, n, default=None):
    """Return n names as a list of str.

    Parameters
    ----------
    parameter : str
        What the user calls them.
    names : sequence of str or None
        The user's.
    n : int
    default : sequence of str or None
        What stands for None; "x0", "x1" and so on if that is None too.

    Raises
    ------
    ValueError
        If their number is another.
    """
    if names is None:
        names = [f"x{i}" for i in range(n)] if default is None else default
    if len(names) != n:
        raise ValueError(
            f"{parameter} has {len(names)} names, {list(names)}, where {n} are needed. Give one "
            "for each, or leave it out."
        )
    return [str(name) for name in names]


def feature_axes(X, allowed, resolution, margin):
    """Return evenly spaced values over the range of each feature.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    allowed : tuple of int
        The numbers of features that can be drawn.
    resolution : int
        How many values per feature.
    margin : float
        By which share of its length to widen the range at both ends.

    Returns
    -------
    ndarray of shape (n_features, resolution)

    Raises
    ------
    ValueError
        If X has another number of features.
    """
    X = check_array(X)
    if X.shape[1] not in allowed:
        raise ValueError(
            f"X must have {' or '.join(map(str, allowed))} features to be drawn, got "
            f"{X.shape[1]}. Fit the network on fewer features."
        )
    low, high = X.min(axis=0), X.max(axis=0)
    widening = np.where(high > low, margin * (high - low), 0.5)
    return np.linspace(low - widening, high + widening, resolution, axis=1)


def grid_points(axes, X):
    """Return all combinations of the values on the axes, the first varying fastest.

    Parameters
    ----------
    axes : sequence of ndarrays of shape (resolution,)
    X : array-like
        Names the columns, if it is a data frame.

    Returns
    -------
    ndarray, or data frame, of shape (resolution ** n_features, n_features)
    """
    points = np.stack([values.ravel() for values in np.meshgrid(*axes)], axis=1)
    if hasattr(X, "columns"):
        return type(X)(dict(zip(X.columns, points.T, strict=True)))
    return points


def on_grid(values, axes):
    """Return columns of values at `grid_points` as one curve or map each, the columns first."""
    return values.T.reshape(-1, *(len(axis) for axis in reversed(axes)))
