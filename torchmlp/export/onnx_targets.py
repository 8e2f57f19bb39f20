"""Converter of TransformedTargetRegressor for skl2onnx."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit
from skl2onnx import get_model_alias, update_registered_converter
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from torchmlp.export.onnx_converters import Graph, graph_of, values_type


def _sinh(g, y):  # onnxruntime has Sinh for float32 only
    return g("Mul", g("Sub", g("Exp", y), g("Exp", g("Neg", y))), 0.5)


FUNCTIONS: dict[Callable, Callable[[Graph, str], str]] = {
    np.exp: lambda g, y: g("Exp", y),
    np.expm1: lambda g, y: g("Sub", g("Exp", y), 1.0),
    np.log: lambda g, y: g("Log", y),
    np.log1p: lambda g, y: g("Log", g("Add", y, 1.0)),
    np.sqrt: lambda g, y: g("Sqrt", y),
    np.square: lambda g, y: g("Mul", y, y),
    np.sinh: _sinh,
    expit: lambda g, y: g("Sigmoid", y),
}


def _standard_scaler(g, y, scaler):
    y = g("Mul", y, scaler.scale_) if scaler.with_std else y
    return g("Add", y, scaler.mean_) if scaler.with_mean else y


def _robust_scaler(g, y, scaler):
    y = g("Mul", y, scaler.scale_) if scaler.with_scaling else y
    return g("Add", y, scaler.center_) if scaler.with_centering else y


def _min_max_scaler(g, y, scaler):
    return g("Div", g("Sub", y, scaler.min_), scaler.scale_)


def _max_abs_scaler(g, y, scaler):
    return g("Mul", y, scaler.scale_)


def _function_transformer(g, y, transformer):
    inverse, arguments = transformer.inverse_func, transformer.inv_kw_args
    if inverse is None:
        return y
    if arguments:
        raise _no_counterpart(f"inv_kw_args={arguments!r}", "a function without arguments")
    if inverse not in FUNCTIONS:
        names = ", ".join(function.__name__ for function in FUNCTIONS)
        raise _no_counterpart(f"inverse_func={inverse!r}", f"one of NumPy's and SciPy's {names}")
    return FUNCTIONS[inverse](g, y)


def _pipeline(g, y, pipeline):
    for _, step in reversed(pipeline.steps):
        y = y if step in (None, "passthrough") else _inverse(g, y, step)
    return y


TRANSFORMERS: dict[type, Callable] = {
    StandardScaler: _standard_scaler,
    MinMaxScaler: _min_max_scaler,
    MaxAbsScaler: _max_abs_scaler,
    RobustScaler: _robust_scaler,
    FunctionTransformer: _function_transformer,
    Pipeline: _pipeline,
}


def _inverse(g, y, transformer):
    """Add the nodes of `transformer.inverse_transform(y)`. Return the name of the output."""
    # The class must be exactly one of these, because a subclass may have another inverse.
    if type(transformer) not in TRANSFORMERS:
        names = ", ".join(known.__name__ for known in TRANSFORMERS)
        raise _no_counterpart(f"transformer {transformer!r}", f"one of {names}")
    return TRANSFORMERS[type(transformer)](g, y, transformer)


def _no_counterpart(got, known):
    return ValueError(
        f"A TransformedTargetRegressor with {got} cannot be converted to ONNX. Use {known}. Or "
        "convert its regressor_ and apply transformer_.inverse_transform to the output."
    )


def register_transformed_target():
    """Register the converter of TransformedTargetRegressor, unless there is one already."""
    try:
        get_model_alias(TransformedTargetRegressor)
    except RuntimeError:
        update_registered_converter(
            TransformedTargetRegressor, "TorchMLPTransformedTarget", _shapes, _convert
        )


def _shapes(operator):
    n_targets = operator.raw_operator.transformer_.n_features_in_
    shape = [operator.inputs[0].get_first_dimension(), n_targets]
    operator.outputs[0].set_type(values_type(operator, shape))


def _convert(scope, operator, container):
    model = operator.raw_operator
    output = operator.outputs[0]
    regressor = scope.declare_local_operator(
        get_model_alias(type(model.regressor_)), model.regressor_
    )
    regressor.inputs = operator.inputs
    predicted = scope.declare_local_variable("transformed_target", type(output.type)())
    regressor.outputs.append(predicted)
    g = graph_of(scope, operator, container)
    g("Identity", _inverse(g, predicted.full_name, model.transformer_), output=output.full_name)
