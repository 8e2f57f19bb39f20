"""The estimators as ONNX graphs: what skl2onnx asks of a library whose models it converts.

Names, shapes and options are those of its converters for MLPClassifier and MLPRegressor; the
option "logits" is added.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto
from onnx.helper import np_dtype_to_tensor_dtype
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from skl2onnx.common.utils_classifier import get_label_classes
from sklearn.base import ClassifierMixin, RegressorMixin

from torchmlp.training.activations import SELU, check_activations, per_layer

# Not "raw_scores": the converters of meta-estimators set that option wherever it exists, and would
# take the raw outputs where scikit-learn takes probabilities.
CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "logits": [True, False],
}


@dataclass
class Graph:
    """A graph to write to: a call adds one node.

    Attributes
    ----------
    scope : skl2onnx.common._topology.Scope
        Gives out names.
    container : skl2onnx.common._container.ModelComponentContainer
        Holds nodes and constants.
    dtype : type
        np.float32 or np.float64, in which the graph computes.
    """

    scope: Any
    container: Any
    dtype: type

    def __call__(self, op, *inputs, output=None, **attributes):
        """Add a node; its inputs are names or constants. Return the name of its output."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = output or self.scope.get_unique_variable_name(op.lower())
        name = self.scope.get_unique_operator_name(op)
        self.container.add_node(op, names, output, name=name, **attributes)
        return output

    def constant(self, value):
        """Add a number or an array; real numbers are converted to the type of the graph."""
        array = np.asarray(value)
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array
        name = self.scope.get_unique_variable_name("constant")
        kind = np_dtype_to_tensor_dtype(array.dtype)
        self.container.add_initializer(name, kind, array.shape, array.ravel())
        return name

    def cast(self, values, dtype):
        return self("Cast", values, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))


# onnxruntime has LeakyRelu, Elu, Selu, Softplus, Mish and Gelu for float32 only, and the last two
# need a recent opset: these are composed of what it has in both precisions.
def _elu(g, z, alpha=1.0):
    below = g("Sub", g("Exp", g("Min", z, 0.0)), 1.0)
    return g("Add", g("Relu", z), g("Mul", below, alpha))


def _selu(g, z):
    alpha, scale, _ = SELU
    return g("Mul", _elu(g, z, alpha), scale)


def _gelu(g, z):
    # There is no Erf in double precision, nor anything to compose it of in a few nodes: this
    # function has the accuracy of float32 in both.
    erf = g("Erf", g.cast(g("Mul", z, 0.5**0.5), np.float32))
    return g("Mul", g("Mul", z, 0.5), g("Add", g.cast(erf, g.dtype), 1.0))


def _softplus(g, z):
    # As in torch the function itself only up to 20, where exp cannot overflow.
    return g("Where", g("Greater", z, 20.0), z, g("Log", g("Add", g("Exp", z), 1.0)))


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda g, z: z,
    "logistic": lambda g, z: g("Sigmoid", z),
    "tanh": lambda g, z: g("Tanh", z),
    "relu": lambda g, z: g("Relu", z),
    "leaky_relu": lambda g, z: g("Max", z, g("Mul", z, 0.01)),
    "elu": _elu,
    "selu": _selu,
    "silu": lambda g, z: g("Mul", z, g("Sigmoid", z)),
    "gelu": _gelu,
    "softplus": _softplus,
    "mish": lambda g, z: g("Mul", z, g("Tanh", _softplus(g, z))),
}
OUTPUT_ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda g, raw: raw,
    "logistic": lambda g, raw: g("Sigmoid", raw),
    "softmax": lambda g, raw: g("Softmax", raw, axis=1),
    "exp": lambda g, raw: g("Exp", raw),
}


def register(estimators):
    """Make estimators known to skl2onnx.

    Parameters
    ----------
    estimators : iterable of classes
    """
    for estimator in estimators:
        if issubclass(estimator, ClassifierMixin):
            update_registered_converter(
                estimator,
                "TorchMLPClassifier",
                _classifier_shapes,
                _convert_classifier,
                options=CLASSIFIER_OPTIONS,
            )
        elif issubclass(estimator, RegressorMixin):
            update_registered_converter(
                estimator, "TorchMLPRegressor", _regressor_shapes, _convert_regressor
            )


def _in_double(operator):
    return any(isinstance(i.type, DoubleTensorType) for i in operator.inputs)


def graph_of(scope, operator, container):
    return Graph(scope, container, np.float64 if _in_double(operator) else np.float32)


def _raw_outputs(g, operator):
    model = operator.raw_operator
    # One input, or the columns of a DataFrame.
    values = g("Concat", *(g.cast(i.full_name, g.dtype) for i in operator.inputs), axis=1)
    *hidden, last = zip(model.coefs_, model.intercepts_, strict=True)
    check_activations(model.activation, len(hidden))
    activations = per_layer(model.activation, len(hidden))
    for layer, activation in zip(hidden, activations, strict=True):
        values = _activation(activation)(g, g("Gemm", values, *layer))
    return g("Gemm", values, *last)


def _activation(activation):
    if callable(activation):
        raise ValueError(
            f"activation={activation!r} has no counterpart in ONNX. Use one of "
            f"{tuple(ACTIVATIONS)}, or torch.onnx with what to_torch() returns."
        )
    return ACTIVATIONS[activation]


def _labels(scope, model):
    """Return the labels as ONNX has them, int64 or strings; one for each side of one output."""
    classes = np.array(get_label_classes(scope, model).tolist())
    classes = classes.astype(object if classes.dtype.kind == "U" else np.int64)
    return np.resize(classes, max(2, len(classes)))


def _is_multilabel(model):
    return model.n_outputs_ > 1 and not model._encoder.exclusive


def _classifier_shapes(operator):
    model, n_rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    labels = _labels(operator.scope_inst, model)
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    shape = [n_rows, len(labels)]
    operator.outputs[0].set_type(kind(shape if _is_multilabel(model) else shape[:1]))
    operator.outputs[1].set_type(values_type(operator, shape))


def _regressor_shapes(operator):
    shape = [operator.inputs[0].get_first_dimension(), operator.raw_operator.n_outputs_]
    operator.outputs[0].set_type(values_type(operator, shape))


def values_type(operator, shape):
    return (DoubleTensorType if _in_double(operator) else FloatTensorType)(shape)


def _convert_classifier(scope, operator, container):
    model = operator.raw_operator
    g = graph_of(scope, operator, container)
    label, probabilities = (output.full_name for output in operator.outputs)
    scores = _raw_outputs(g, operator)
    if model.n_outputs_ == 1:  # one for each class: the second is predicted where it is above 0
        scores = g("Concat", g("Neg", scores), scores, axis=1)
    if _is_multilabel(model):
        g("Cast", g("Greater", scores, 0.0), to=TensorProto.INT64, output=label)
    else:
        index = g("ArgMax", scores, axis=1, keepdims=0)
        g("Gather", _labels(scope, model), index, output=label)
    logits = container.get_options(model, {"logits": False})["logits"]
    activation = OUTPUT_ACTIVATIONS["identity" if logits else model.out_activation_]
    g("Identity", activation(g, scores), output=probabilities)


def _convert_regressor(scope, operator, container):
    g = graph_of(scope, operator, container)
    activation = OUTPUT_ACTIVATIONS[operator.raw_operator.out_activation_]
    values = activation(g, _raw_outputs(g, operator))
    g("Identity", values, output=operator.outputs[0].full_name)
