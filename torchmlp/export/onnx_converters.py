"""Converters of the estimators for skl2onnx.

Names, shapes and options are the same as for MLPClassifier and MLPRegressor. The option "logits" is
additional.
"""

from dataclasses import dataclass
from functools import partial
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
    guess_tensor_type,
)
from skl2onnx.common.utils_classifier import get_label_classes
from sklearn.base import ClassifierMixin, RegressorMixin

from torchmlp.prediction import check_predicts_std
from torchmlp.training.activations import ACTIVATIONS, per_layer, resolve_activations
from torchmlp.training.output_activations import OUTPUT_ACTIVATIONS

# The option is "logits", not "raw_scores", because the converters of meta-estimators set
# "raw_scores" if it exists. They would then use raw outputs where scikit-learn uses probabilities.
CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "logits": [True, False],
}
REGRESSOR_OPTIONS = {"return_std": [True, False]}


@dataclass
class Graph:
    """An ONNX graph under construction. A call adds a node.

    Attributes
    ----------
    scope : skl2onnx.common._topology.Scope
        Creates unique names.
    container : skl2onnx.common._container.ModelComponentContainer
        Contains the nodes and constants.
    dtype : type
        np.float32 or np.float64, the dtype of the computation.
    """

    scope: Any
    container: Any
    dtype: type

    def __call__(self, op, *inputs, output=None, **attributes):
        """Add a node whose inputs are names or constants. Return the name of its output."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = output or self.scope.get_unique_variable_name(op.lower())
        name = self.scope.get_unique_operator_name(op)
        self.container.add_node(op, names, output, name=name, **attributes)
        return output

    def constant(self, value):
        """Add a number or an array. Floats are converted to the dtype of the graph."""
        array = np.asarray(value)
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array
        name = self.scope.get_unique_variable_name("constant")
        kind = np_dtype_to_tensor_dtype(array.dtype)
        self.container.add_initializer(name, kind, array.shape, array.ravel())
        return name

    def cast(self, values, dtype):
        return self("Cast", values, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))


def register(estimators):
    """Register converters for estimators with skl2onnx.

    Parameters
    ----------
    estimators : iterable of classes
    """
    for estimator in estimators:
        if issubclass(estimator, ClassifierMixin):
            update_registered_converter(
                estimator,
                "TorchMLPClassifier",
                classifier_shapes,
                _convert_classifier,
                options=CLASSIFIER_OPTIONS,
            )
        elif issubclass(estimator, RegressorMixin):
            update_registered_converter(
                estimator,
                "TorchMLPRegressor",
                regressor_shapes,
                _convert_regressor,
                parser=partial(parse_regressor, "TorchMLPRegressor"),
                options=REGRESSOR_OPTIONS,
            )


def _in_double(operator):
    return any(isinstance(i.type, DoubleTensorType) for i in operator.inputs)


def graph_of(scope, operator, container):
    return Graph(scope, container, np.float64 if _in_double(operator) else np.float32)


def rows_of(g, operator):
    """Add the nodes for X: one input, or the columns of a DataFrame."""
    return g("Concat", *(g.cast(i.full_name, g.dtype) for i in operator.inputs), axis=1)


def raw_outputs(g, values, model):
    """Add the nodes of a network. Two classes have one output."""
    *hidden, last = zip(model.coefs_, model.intercepts_, strict=True)
    names = per_layer(model.activation, len(hidden))
    activations = resolve_activations(model.activation, len(hidden))
    for layer, activation, name in zip(hidden, activations, names, strict=True):
        values = _apply(activation, name, g, g("Gemm", values, *layer))
    return g("Gemm", values, *last)


def scores_of(g, values, classifier):
    """Add the nodes of the network of a classifier, with an output for each class or label."""
    scores = raw_outputs(g, values, classifier)
    return g("Concat", g("Neg", scores), scores, axis=1) if classifier.n_outputs_ == 1 else scores


def _apply(activation, name, graph, z):
    """Add the nodes of a hidden activation. `name` is used in an error message."""
    if activation.onnx is None:
        raise ValueError(
            f"activation={name!r} has no counterpart in ONNX. Use one of {tuple(ACTIVATIONS)}, or "
            "convert the module that to_torch() returns with torch.onnx."
        )
    return activation.onnx(graph, z)


def _labels(scope, model):
    """Return the labels as int64 or strings. A single class is repeated."""
    classes = np.array(get_label_classes(scope, model).tolist())
    classes = classes.astype(object if classes.dtype.kind == "U" else np.int64)
    return np.resize(classes, max(2, len(classes)))


def _is_multilabel(model):
    return model.n_outputs_ > 1 and not model._encoder.multiclass


def add_labels(g, operator, scores, threshold):
    """Add the nodes of the first output of a classifier.

    Parameters
    ----------
    g : Graph
    operator : skl2onnx.common._topology.Operator
    scores : str
        Name of the values that decide: one column per class or label.
    threshold : float
        A label of a multilabel target is predicted if its value is larger.
    """
    label = operator.outputs[0].full_name
    if _is_multilabel(operator.raw_operator):
        g("Cast", g("Greater", scores, threshold), to=TensorProto.INT64, output=label)
    else:
        index = g("ArgMax", scores, axis=1, keepdims=0)
        g("Gather", _labels(g.scope, operator.raw_operator), index, output=label)


def classifier_shapes(operator):
    model, n_rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    labels = _labels(operator.scope_inst, model)
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    shape = [n_rows, len(labels)]
    operator.outputs[0].set_type(kind(shape if _is_multilabel(model) else shape[:1]))
    operator.outputs[1].set_type(values_type(operator, shape))


def parse_regressor(alias, scope, model, inputs, custom_parsers=None):
    """Declare the operator of a regressor, with the output "std" if `return_std` is true."""
    operator = scope.declare_local_operator(alias, model)
    operator.inputs = inputs
    names = ["variable"]
    if scope.get_options(model, {"return_std": False})["return_std"]:
        check_predicts_std(model)
        names.append("std")
    for name in names:
        variable = scope.declare_local_variable(name, guess_tensor_type(inputs[0].type))
        operator.outputs.append(variable)
    return operator.outputs


def regressor_shapes(operator):
    model = operator.raw_operator
    n_columns = model._encoder.n_columns(model.n_outputs_)
    for output in operator.outputs:
        output.set_type(
            values_type(operator, [operator.inputs[0].get_first_dimension(), n_columns])
        )


def values_type(operator, shape):
    return (DoubleTensorType if _in_double(operator) else FloatTensorType)(shape)


def _convert_classifier(scope, operator, container):
    model = operator.raw_operator
    g = graph_of(scope, operator, container)
    scores = scores_of(g, rows_of(g, operator), model)
    add_labels(g, operator, scores, threshold=0.0)
    logits = container.get_options(model, {"logits": False})["logits"]
    activation = OUTPUT_ACTIVATIONS["identity" if logits else model.out_activation_]
    g("Identity", activation.onnx(g, scores), output=operator.outputs[1].full_name)


def _convert_regressor(scope, operator, container):
    model = operator.raw_operator
    g = graph_of(scope, operator, container)
    encoder, n_outputs = model._encoder, model.n_outputs_
    raw = raw_outputs(g, rows_of(g, operator), model)
    outputs = OUTPUT_ACTIVATIONS[model.out_activation_].onnx(g, raw)
    values = encoder.onnx(g, outputs, n_outputs)
    g("Identity", values, output=operator.outputs[0].full_name)
    if len(operator.outputs) > 1:
        deviations = encoder.onnx_deviations(g, raw, n_outputs)
        g("Identity", deviations, output=operator.outputs[1].full_name)
