"""Converter of PiecewiseLinearEncoder for skl2onnx."""

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from torchmlp.bin_components import limits
from torchmlp.export.onnx_converters import Graph, rows_of


def register_encoders(encoders):
    """Register converters for encoders with skl2onnx.

    Parameters
    ----------
    encoders : iterable of classes
    """
    for encoder in encoders:
        update_registered_converter(encoder, "TorchMLPPiecewiseLinearEncoder", _shapes, _convert)


def _shapes(operator):
    shape = [
        operator.inputs[0].get_first_dimension(),
        operator.raw_operator._components.shape[1],
    ]
    in_double = operator.raw_operator.dtype == np.float64
    operator.outputs[0].set_type((DoubleTensorType if in_double else FloatTensorType)(shape))


def _convert(scope, operator, container):
    encoder = operator.raw_operator
    feature, lower, scale, _, _, missing = encoder._components
    smallest, largest = limits(encoder._components, encoder.dtype)
    g = Graph(scope, container, np.float64)
    X = rows_of(g, operator)
    if encoder.handle_missing == "median":
        fill = np.where(encoder.has_missing_, np.nan, encoder.median_)
        X = g("Where", g("IsNaN", X), fill, X)
    x = g("Gather", X, feature.astype(np.int64), axis=1)
    position = g("Mul", g("Sub", g("Mul", x, 0.5), lower), scale)
    clipped = g("Min", g("Max", position, smallest), largest)
    encoded = g("Where", g("IsNaN", x), missing, clipped)
    g("Identity", g.cast(encoded, encoder.dtype), output=operator.outputs[0].full_name)
