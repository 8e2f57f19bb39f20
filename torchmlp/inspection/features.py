"""Computation of HiddenFeaturesDisplay: activations and weights of hidden units."""

from numbers import Integral

import numpy as np

from torchmlp.inspection.models import check_integer, feature_axes, grid_points, on_grid


def features_of_inputs(model, X, *, layer, output, grid_resolution, margin):
    """Return the activations of a hidden layer on a grid over the range of one or two features.

    Parameters
    ----------
    model : Model
    X : array-like of shape (n_samples, n_features)
    layer, output : int
    grid_resolution : int
    margin : float

    Returns
    -------
    dict
        The parameters of :class:`HiddenFeaturesDisplay`.

    Raises
    ------
    ValueError
        If X has more than two features, or `layer` or `output` is out of range.
    """
    layer = model.hidden_layer(layer)
    axes = feature_axes(X, (1, 2), grid_resolution, margin)
    hidden = model.mlp.hidden_activations(model.inputs(grid_points(axes, X)))[layer]
    values = on_grid(hidden, axes)
    outgoing = model.mlp.coefs_[layer + 1]
    data = {"values": values, "grid": axes, "strength": _strength(values, outgoing)}
    if len(axes) == 1 and layer == len(model.mlp.coefs_) - 2:
        output = _checked_output(output, model.mlp.n_outputs_)
        data["contributions"] = values * outgoing[:, [output]]
        data["intercept"] = model.mlp.intercepts_[-1][output]
        data["output_name"] = _output_name(model, output)
    return data


def features_of_images(model, image_shape):
    """Return the weights of each unit of the first hidden layer as an image.

    Parameters
    ----------
    model : Model
    image_shape : tuple of int
        Height and width.

    Returns
    -------
    dict
        The parameters of :class:`HiddenFeaturesDisplay`.

    Raises
    ------
    ValueError
        If the number of pixels is not the number of inputs, or there is no hidden layer.
    """
    model.hidden_layer(0)
    coefs = model.mlp.coefs_[0]
    is_pair = isinstance(image_shape, (tuple, list)) and len(image_shape) == 2
    is_shape = is_pair and all(isinstance(size, Integral) for size in image_shape)
    if not is_shape or min(image_shape) < 1 or np.prod(image_shape) != len(coefs):
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width) with height * width equal to the "
            f"number of inputs of the network, {len(coefs)}."
        )
    images = coefs.T.reshape(-1, *image_shape)
    return {"values": images, "strength": _strength(images, model.mlp.coefs_[1])}


def strongest_units(strength, max_units):
    """Return the indices of the units with the largest strength, in increasing order.

    Parameters
    ----------
    strength : ndarray of shape (n_units,)
    max_units : int or None
        Maximum number of units. None for all.

    Raises
    ------
    ValueError
        If max_units is less than 1.
    """
    if max_units is None:
        return np.arange(len(strength))
    if max_units < 1:
        raise ValueError(f"max_units={max_units} must be at least 1, or None for all units.")
    return np.sort(np.argsort(-np.asarray(strength), kind="stable")[:max_units])


def _strength(values, outgoing):
    """Return the standard deviation of each unit times the norm of its outgoing weights."""
    return values.reshape(len(values), -1).std(axis=1) * np.linalg.norm(outgoing, axis=1)


def _checked_output(output, n_outputs):
    check_integer("output", output)
    if not -n_outputs <= output < n_outputs:
        raise ValueError(
            f"output={output} is out of range: n_outputs_={n_outputs}. Use an index between "
            f"{-n_outputs} and {n_outputs - 1}."
        )
    return output


def _output_name(model, output):
    name = model.output_names()[output]
    if not model.mlp._encoder.predicts_raw_outputs:
        return f"raw output, {name}"
    return "prediction" if name == "y" else f"prediction, {name}"
