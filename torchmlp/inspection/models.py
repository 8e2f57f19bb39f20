"""The network inside a fitted estimator, and grids on which it is evaluated."""

import copy
import math
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from torchmlp.classifier import TorchMLPClassifier
from torchmlp.meta_estimators import unwrap
from torchmlp.regressor import TorchMLPRegressor
from torchmlp.validation import check_values, naming, to_numpy

# The largest values of `grid_resolution` and `n_bins`, and of `margin`.
_MAX_RESOLUTION = 100_000
_MAX_MARGIN = 1000
_TORCHMLP_CLASSES: dict[type, Any] = {
    MLPClassifier: TorchMLPClassifier,
    MLPRegressor: TorchMLPRegressor,
}


@dataclass(frozen=True)
class Model:
    """A fitted network with its transformers of X and y.

    Attributes
    ----------
    mlp : TorchMLPClassifier or TorchMLPRegressor
        Fitted network, converted from scikit-learn if necessary.
    steps : list of transformers
        Transformers of X, in the order of their application.
    target_transformers : list of transformers
        Transformers of y, in the order of their application.
    """

    mlp: Any
    steps: list = field(default_factory=list)
    target_transformers: list = field(default_factory=list)

    def inputs(self, X):
        """Transform X into the input of the network."""
        for step in self.steps:
            X = step.transform(X)
        return X

    def input_names(self):
        """Return the feature names of the input of the network, or None if they are not defined."""
        names = getattr(self.mlp, "feature_names_in_", None)
        if names is None and self.steps:
            # not every transformer supports it
            with suppress(AttributeError, ValueError):
                names = self.steps[-1].get_feature_names_out()
        return names

    def inverse_transform_targets(self, predictions):
        """Transform predictions of the network to the units of y.

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
        """Return one name per output: the classes (if binary, the second), or the targets."""
        transformed = "transformed " if self.target_transformers else ""
        return [transformed + name for name in self.mlp._encoder.output_names(self.mlp.n_outputs_)]

    def hidden_layer(self, layer):
        """Return the index of a hidden layer as a non-negative number.

        Raises
        ------
        TypeError
            If `layer` is not an integer.
        ValueError
            If `layer` is out of range.
        """
        check_integer("layer", layer)
        n_hidden = len(self.mlp.coefs_) - 1
        if not -n_hidden <= layer < n_hidden:
            raise ValueError(
                f"layer={layer} is out of range: the network has {n_hidden} hidden layers. Use "
                "another index, or fit a network with more hidden layers."
            )
        return layer % n_hidden

    def with_weights(self, snapshot):
        """Return a copy of the network with the weights of a `torchmlp.callbacks.Snapshot`."""
        mlp = copy.copy(self.mlp)
        mlp.coefs_, mlp.intercepts_ = snapshot.coefs, snapshot.intercepts
        return mlp

    def pre_activations(self, X, layer):
        """Return the pre-activations of a hidden layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        layer : int

        Returns
        -------
        ndarray of shape (n_samples, n_units)
        """
        layer, inputs = self.hidden_layer(layer), self.inputs(X)
        previous = self.mlp.hidden_activations(inputs)[layer - 1] if layer else inputs
        previous = check_array(previous, accept_sparse=True)
        return previous @ self.mlp.coefs_[layer] + self.mlp.intercepts_[layer]


def find_model(estimator):
    """Return the network inside a fitted estimator, with its transformers.

    Parameters
    ----------
    estimator : estimator
        A fitted MLP of torchmlp or scikit-learn, or a Pipeline, search or
        TransformedTargetRegressor that contains one.

    Returns
    -------
    Model

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is not a multilayer perceptron.
    """
    nested = unwrap(estimator)
    mlp = nested.estimator
    if not isinstance(mlp, (TorchMLPClassifier, TorchMLPRegressor)):
        mlp = _from_sklearn(mlp)
    check_is_fitted(mlp)
    return Model(mlp, nested.steps, nested.target_transformers)


def _from_sklearn(estimator):
    for sklearn_class, torchmlp_class in _TORCHMLP_CLASSES.items():
        if isinstance(estimator, sklearn_class):
            return torchmlp_class.from_sklearn(estimator)
    raise TypeError(
        f"estimator={estimator!r} is not a multilayer perceptron. Pass a fitted "
        "TorchMLPClassifier or TorchMLPRegressor, scikit-learn's MLPClassifier or MLPRegressor, or "
        "a Pipeline, search or TransformedTargetRegressor that contains one of them."
    )


def checked_names(parameter, names, n, default=None):
    """Return n names as a list of str.

    Parameters
    ----------
    parameter : str
        Name of the parameter, for the error message.
    names : sequence of str or None
        Names given by the user.
    n : int
    default : sequence of str or None
        Names to use if `names` is None. If both are None, "x0", "x1" and so on.

    Raises
    ------
    TypeError
        If `names` is not a sequence.
    ValueError
        If the number of names is not n.
    """
    if names is None:
        names = [f"x{i}" for i in range(n)] if default is None else default
    if np.ndim(names) != 1:
        raise TypeError(f"{parameter}={names!r} must be a list of {n} names, or None.")
    if len(names) != n:
        raise ValueError(
            f"{parameter} has {len(names)} names, {list(names)}, but {n} are required. Pass {n} "
            "names, or None for the default names."
        )
    return [str(name) for name in names]


def check_integer(parameter, value, least=-math.inf, most=math.inf):
    """Raise an error unless the value of a parameter is an integer between two limits."""
    _check_number(parameter, value, Integral, "an int", least, most)


def check_resolution(parameter, value, least=1):
    """Raise an error unless the value of a parameter can be a number of points or bins."""
    check_integer(parameter, value, least, _MAX_RESOLUTION)


def check_margin(margin):
    """Raise an error unless a margin is a number from 0 to 1000."""
    _check_number("margin", margin, Real, "a number", 0, _MAX_MARGIN)


def _check_number(parameter, value, kind, kind_name, least, most):
    limits = "" if least == -math.inf else f" from {least} to {most}"
    message = f"{parameter}={value!r} must be {kind_name}{limits}."
    if not isinstance(value, kind):
        raise TypeError(message)
    if not least <= value <= most:  # or NaN
        raise ValueError(message)


def checked_samples(X):
    """Return X as a float array, after checking that its values are finite numbers."""
    with naming("X"):
        check_values(X, numeric=True)
        return check_array(*to_numpy(X=X), dtype=(np.float64, np.float32))


def feature_axes(X, allowed, resolution, margin):
    """Return evenly spaced values over the range of each feature.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    allowed : tuple of int
        Numbers of features that are supported.
    resolution : int
        Number of values per feature.
    margin : float
        Fraction of the range by which it is extended at both ends.

    Returns
    -------
    ndarray of shape (n_features, resolution)

    Raises
    ------
    TypeError
        If `resolution` or `margin` is not a number.
    ValueError
        If `resolution` or `margin` is out of range, or if X is not valid or has a number of
        features that is not supported.
    """
    check_resolution("grid_resolution", resolution, least=2)
    check_margin(margin)
    X = checked_samples(X)
    if X.shape[1] not in allowed:
        raise ValueError(
            f"X must have {' or '.join(map(str, allowed))} features to be drawn, got "
            f"{X.shape[1]}. Fit the network on fewer features."
        )
    low, high = X.min(axis=0), X.max(axis=0)
    extension = np.where(high > low, margin * (high - low), 0.5)
    return np.linspace(low - extension, high + extension, resolution, axis=1)


def grid_points(axes, X):
    """Return all combinations of the values on the axes, the first varying fastest.

    Parameters
    ----------
    axes : sequence of ndarrays of shape (resolution,)
    X : array-like
        If it is a data frame, the points are returned as one with the same column names.

    Returns
    -------
    ndarray or data frame of shape (resolution ** n_features, n_features)
    """
    points = np.stack([values.ravel() for values in np.meshgrid(*axes)], axis=1)
    if hasattr(X, "columns"):
        return type(X)(dict(zip(X.columns, points.T, strict=True)))
    return points


def on_grid(values, axes):
    """Reshape values at `grid_points` to shape (n_columns, resolution[, resolution])."""
    return values.T.reshape(-1, *(len(axis) for axis in reversed(axes)))
