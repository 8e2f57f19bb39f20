"""Converters of the ensembles whose members share their weights, for skl2onnx."""

from skl2onnx import update_registered_converter
from sklearn.base import ClassifierMixin, RegressorMixin

from torchmlp.export.onnx_converters import (
    CLASSIFIER_OPTIONS,
    add_labels,
    classifier_shapes,
    graph_of,
    raw_outputs,
    regressor_shapes,
    rows_of,
    scores_of,
)
from torchmlp.training.output_activations import OUTPUT_ACTIVATIONS


def register_ensembles(ensembles):
    """Register converters for ensembles with skl2onnx.

    Parameters
    ----------
    ensembles : iterable of classes
    """
    options = {name: values for name, values in CLASSIFIER_OPTIONS.items() if name != "logits"}
    for ensemble in ensembles:
        if issubclass(ensemble, ClassifierMixin):
            update_registered_converter(
                ensemble,
                "TorchMLPWeightSharingClassifier",
                classifier_shapes,
                _convert_classifier,
                options=options,
            )
        elif issubclass(ensemble, RegressorMixin):
            update_registered_converter(
                ensemble, "TorchMLPWeightSharingRegressor", regressor_shapes, _convert_regressor
            )


def _mean_prediction(g, operator, prediction, name):
    """Add the nodes of the mean of the predictions. `prediction` adds those of a member."""
    rows, members = rows_of(g, operator), operator.raw_operator.estimators_
    # onnxruntime has Mean for float32 only.
    total = g("Sum", *(prediction(g, rows, member) for member in members))
    return g("Div", total, float(len(members)), output=name)


def _probabilities(g, rows, member):
    return OUTPUT_ACTIVATIONS[member.out_activation_].onnx(g, scores_of(g, rows, member))


def _values(g, rows, member):
    return member._encoder.onnx(g, raw_outputs(g, rows, member), member.n_outputs_)


def _convert_classifier(scope, operator, container):
    g = graph_of(scope, operator, container)
    mean = _mean_prediction(g, operator, _probabilities, operator.outputs[1].full_name)
    threshold = 0.0 if operator.raw_operator.out_activation_ == "identity" else 0.5
    add_labels(g, operator, mean, threshold)


def _convert_regressor(scope, operator, container):
    g = graph_of(scope, operator, container)
    _mean_prediction(g, operator, _values, operator.outputs[0].full_name)
