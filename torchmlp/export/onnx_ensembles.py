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


def _mean_of_outputs(g, operator, raw_outputs_of):
    """Add the nodes of the mean of the members' outputs, after the output activation.

    `raw_outputs_of` adds the nodes of the raw outputs of a member.
    """
    ensemble, rows = operator.raw_operator, rows_of(g, operator)
    activation = OUTPUT_ACTIVATIONS[ensemble.out_activation_]
    outputs = [activation.onnx(g, raw_outputs_of(g, rows, m)) for m in ensemble.estimators_]
    # onnxruntime has Mean for float32 only.
    return g("Div", g("Sum", *outputs), float(len(outputs)))


def _convert_classifier(scope, operator, container):
    g = graph_of(scope, operator, container)
    mean = _mean_of_outputs(g, operator, scores_of)
    threshold = 0.0 if operator.raw_operator.out_activation_ == "identity" else 0.5
    add_labels(g, operator, mean, threshold)
    g("Identity", mean, output=operator.outputs[1].full_name)


def _convert_regressor(scope, operator, container):
    g, model = graph_of(scope, operator, container), operator.raw_operator
    mean = _mean_of_outputs(g, operator, raw_outputs)
    values = model._encoder.onnx(g, mean, model.n_outputs_)
    g("Identity", values, output=operator.outputs[0].full_name)
