"""Converters of the ensembles whose members share their weights, for skl2onnx."""

from functools import partial

from skl2onnx import update_registered_converter
from sklearn.base import ClassifierMixin, RegressorMixin

from torchmlp.export.onnx_converters import (
    CLASSIFIER_OPTIONS,
    REGRESSOR_OPTIONS,
    add_labels,
    classifier_shapes,
    graph_of,
    parse_regressor,
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
                ensemble,
                "TorchMLPWeightSharingRegressor",
                regressor_shapes,
                _convert_regressor,
                parser=partial(parse_regressor, "TorchMLPWeightSharingRegressor"),
                options=REGRESSOR_OPTIONS,
            )


def _outputs_and_mean(g, operator, raw_outputs_of):
    """Add the nodes of the members' outputs, after the output activation, and of their mean.

    `raw_outputs_of` adds the nodes of the raw outputs of a member.
    """
    ensemble, rows = operator.raw_operator, rows_of(g, operator)
    activation = OUTPUT_ACTIVATIONS[ensemble.out_activation_]
    outputs = [activation.onnx(g, raw_outputs_of(g, rows, m)) for m in ensemble.estimators_]
    # onnxruntime has Mean for float32 only.
    return outputs, g("Div", g("Sum", *outputs), float(len(outputs)))


def _convert_classifier(scope, operator, container):
    g = graph_of(scope, operator, container)
    _, mean = _outputs_and_mean(g, operator, scores_of)
    threshold = 0.0 if operator.raw_operator.out_activation_ == "identity" else 0.5
    add_labels(g, operator, mean, threshold)
    g("Identity", mean, output=operator.outputs[1].full_name)


def _convert_regressor(scope, operator, container):
    g, model = graph_of(scope, operator, container), operator.raw_operator
    outputs, mean = _outputs_and_mean(g, operator, raw_outputs)
    values = model._encoder.onnx(g, mean, model.n_outputs_)
    g("Identity", values, output=operator.outputs[0].full_name)
    if len(operator.outputs) > 1:
        deviations = _deviations(g, model, outputs, values)
        g("Identity", deviations, output=operator.outputs[1].full_name)


def _deviations(g, model, outputs, mean):
    """Add the nodes of the standard deviations of the mixture of the members' distributions."""
    encoder, squares = model._encoder, []
    for raw in outputs:
        deviation = encoder.onnx_deviations(g, raw, model.n_outputs_)
        distance = g("Sub", encoder.onnx(g, raw, model.n_outputs_), mean)
        squares += [g("Mul", deviation, deviation), g("Mul", distance, distance)]
    return g("Sqrt", g("Div", g("Sum", *squares), float(len(outputs))))
