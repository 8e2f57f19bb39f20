"""Tests for torchmlp.export.to_onnx and torchmlp.onnx_converter, run by onnxruntime."""

import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skl2onnx
import torch
from helpers import TASKS, fit_quietly, iris
from onnxruntime import InferenceSession
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.export import to_onnx
from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.losses import BINARY_LOSSES, REGRESSOR_LOSSES

X, y = iris()
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]
Classifier = partial(TorchMLPClassifier, random_state=0, max_iter=3)
Regressor = partial(TorchMLPRegressor, random_state=0, max_iter=3)
TARGETS = {
    "strings": LABELS,
    "bool": LABELS == "setosa",
    "float": y * 1.0,
    "uint8": y.astype(np.uint8) + 250,
    "one class": ["one"] * len(y),
}
CONTAINERS = {
    "list": list,
    "sparse": sp.csr_array,
    "frame": partial(pd.DataFrame, columns=list("abcd")),
}


def mean_fourth_power(outputs, y):
    return (outputs - y).pow(4).mean(1)


def _run(onx, X):
    session = InferenceSession(onx.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = {"X": X} if isinstance(X, np.ndarray) else {c: X[[c]].to_numpy() for c in X}
    feed = lambda rows: {name: values[rows] for name, values in columns.items()}  # noqa: E731
    results = session.run(None, feed(slice(None)))
    for declared, got in zip(onx.graph.output, results, strict=True):
        sizes = [dimension.dim_value for dimension in declared.type.tensor_type.shape.dim]
        assert sizes == [0, *got.shape[1:]]  # 0 is any number
    for n_rows in (1, 7):
        for some, every in zip(session.run(None, feed(slice(n_rows))), results, strict=True):
            _assert_close(some, every[:n_rows], every.dtype)
    return dict(zip((output.name for output in session.get_outputs()), results, strict=True))


def _assert_close(got, expected, dtype):
    assert got.dtype == dtype
    assert got.shape == expected.shape
    if dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
    else:
        rtol, atol = (1e-5, 1e-6) if dtype == np.float32 else (1e-12, 1e-14)
        np.testing.assert_allclose(got, expected, rtol, atol)


def _expected(model, X):
    """Return the expected outputs of the graph."""
    predicted = model.predict(X)
    if not hasattr(model, "classes_"):
        return {"variable": predicted.reshape(len(X), -1)}
    label = predicted.astype(np.int64 if predicted.dtype.kind in "biuf" else object)
    if hasattr(model, "predict_proba"):
        return {"label": label, "probabilities": model.predict_proba(X)}
    scores = model.decision_function(X)
    scores = np.c_[-scores, scores] if scores.ndim == 1 else scores
    return {"label": label, "probabilities": scores}


def _assert_same(model, X, dtype=np.float64, **options):
    X = X.astype(dtype) if isinstance(X, np.ndarray) else X
    got, expected = _run(to_onnx(model, X, **options), X), _expected(model, X)
    assert list(got) == list(expected)
    for name, values in expected.items():
        is_float = values.dtype.kind == "f"
        _assert_close(got[name], values, np.dtype(dtype) if is_float else values.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", [(), (6, 5)], ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_every_target(task, layers, dtype):
    (_, ours), X, y, needed = TASKS[task]
    model = ours(hidden_layer_sizes=layers, dropout=0.3, random_state=0, max_iter=3, **needed)
    _assert_same(fit_quietly(model, X, y), X, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, dtype):
    model = fit_quietly(Regressor("huber", (6, 5), [activation, "tanh"]), X, y)
    in_float32 = (
        dtype == np.float32 or activation == "gelu"
    )  # which onnxruntime has in float32 only
    got = _run(to_onnx(model, X.astype(dtype)), 9 * X.astype(dtype))["variable"].ravel()
    expected = model.predict(9 * X)
    np.testing.assert_allclose(got, expected, *(1e-5, 3e-6) if in_float32 else (1e-12, 1e-14))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_from_zero(activation):
    model = fit_quietly(Regressor("huber", (6,), activation), X, y)
    got = _run(to_onnx(model, X), 1e4 * X)["variable"].ravel()
    np.testing.assert_allclose(got, model.predict(1e4 * X), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "targets", [y > 0, y, np.c_[y > 0, y > 1] * 1], ids=["two", "three", "labels"]
)
@pytest.mark.parametrize("loss", BINARY_LOSSES)
def test_every_loss_of_the_classifier(loss, targets, dtype):
    _assert_same(fit_quietly(Classifier((6,), loss=loss), X, targets), X, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [*REGRESSOR_LOSSES, mean_fourth_power])
def test_every_loss_of_the_regressor(loss, dtype):
    for targets in (y + 1, np.c_[y + 1, 3 - y]):
        _assert_same(fit_quietly(Regressor(loss, (6,)), X, targets), X, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("quantile", [[0.9, 0.1, 0.5], [0.3]])
def test_several_quantiles(quantile, dtype):
    model = Regressor("quantile", (6,), quantile=quantile, solver="lbfgs", max_iter=100)
    _assert_same(fit_quietly(model, X, y), X, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("targets", [y, np.c_[y, 3 - y]], ids=["one", "two"])
def test_standard_deviations(targets, dtype):
    model = fit_quietly(Regressor("gaussian", (6,)), X, targets)
    rows = X.astype(dtype)
    got = _run(to_onnx(model, rows, return_std=True), rows)
    assert list(got) == ["variable", "std"]
    mean, std = (part.reshape(len(X), -1) for part in model.predict(X, return_std=True))
    _assert_close(got["variable"], mean, np.dtype(dtype))
    _assert_close(got["std"], std, np.dtype(dtype))
    pipeline = fit_quietly(make_pipeline(StandardScaler(), Regressor("gaussian", (6,))), X, targets)
    got = _run(to_onnx(pipeline, rows, torchmlpregressor__return_std=True), rows)
    std = pipeline.predict(X, return_std=True)[1].reshape(len(X), -1)
    _assert_close(got["std"], std, np.dtype(dtype))
    other = fit_quietly(Regressor("huber", (6,)), X, targets)
    with pytest.raises(ValueError, match=r"return_std=True requires .* with loss='gaussian', got"):
        to_onnx(other, rows, return_std=True)


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_labels(targets):
    _assert_same(fit_quietly(Classifier((6,)), X, targets), X)


def test_label_of_two_classes_is_decided_by_the_raw_output():
    # The score is so small that both probabilities are 0.5.
    model = fit_quietly(Classifier(()), X, y > 0)
    model.coefs_[0][:], model.intercepts_[0][:] = [[1e-30], [0], [0], [0]], 0
    _assert_same(model, X, np.float32)


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_of_the_sample(container):
    data = container(X)
    model = fit_quietly(Classifier((6,)), data, LABELS)
    got = _run(to_onnx(model, data), data if hasattr(data, "columns") else X)
    _assert_close(got["probabilities"], model.predict_proba(data), np.dtype(float))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, bool])
def test_integers_are_computed_in_float32(dtype):
    counts = (3 * X).astype(dtype)
    model = fit_quietly(Classifier((6,)), counts, y)
    got = _run(to_onnx(model, counts), counts)["probabilities"]
    _assert_close(got, model.predict_proba(counts), np.dtype(np.float32))


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), Classifier((6,))),
        CalibratedClassifierCV(Classifier((6,)), cv=2),
        CalibratedClassifierCV(Classifier((6,), loss="hinge"), cv=2),
        StackingClassifier([("a", Classifier((6,))), ("b", Classifier((3,)))], cv=2),
        BaggingClassifier(Classifier((6,)), n_estimators=2, random_state=0),
        OneVsRestClassifier(Classifier((6,))),
        GridSearchCV(Classifier((6,)), {"alpha": [0.1]}, cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_conversion_inside_other_estimators(model):
    for targets in (LABELS, y > 0):
        _assert_same(model.fit(X, targets), X)


def test_voting_regressor():
    _assert_same(fit_quietly(VotingRegressor([("a", Regressor()), ("b", Regressor())]), X, y), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_a_data_frame(dtype):
    frame = pd.DataFrame(X, columns=list("abcd")).astype(dtype)
    frame["color"] = np.array(["red", "green", "blue"])[np.arange(len(X)) % 3]
    columns = make_column_transformer(
        (StandardScaler(), list("abcd")), (OneHotEncoder(), ["color"])
    )
    model = make_pipeline(columns, Classifier((6,)))
    _assert_same(fit_quietly(model, frame, LABELS), frame, dtype)


def test_subclasses_are_converted():
    class Mine(TorchMLPRegressor):
        pass

    _assert_same(fit_quietly(Mine(max_iter=2, random_state=0), X, y), X)


def test_options_of_skl2onnx():
    model = fit_quietly(make_pipeline(StandardScaler(), Classifier((6,))), X, LABELS)
    labels, probabilities = model.predict(X), model.predict_proba(X)
    columns = _run(to_onnx(model, X, zipmap="columns"), X)
    assert list(columns) == ["output_label", "ssetosa", "sversicolor", "svirginica"]
    _assert_close(np.column_stack(list(columns.values())[1:]), probabilities, np.dtype(float))
    single = X.astype(np.float32)  # onnxruntime makes dicts of float32 only
    session = InferenceSession(to_onnx(model, single, zipmap=True).SerializeToString())
    first = session.run(None, {"X": single})[1][0]
    expected = dict(zip(model.classes_, probabilities[0], strict=True))
    assert first == pytest.approx(expected, rel=1e-5)
    assert (model.classes_[_run(to_onnx(model, X, nocl=True), X)["label"]] == labels).all()
    more = InferenceSession(to_onnx(model, X, output_class_labels=True).SerializeToString())
    np.testing.assert_array_equal(more.run(["class_labels"], {"X": X})[0], model.classes_)
    logits = _run(to_onnx(model, X, torchmlpclassifier__logits=True), X)["probabilities"]
    _assert_close(logits, model[-1].predict_logits(model[:-1].transform(X)), np.dtype(float))
    model = fit_quietly(Classifier((6,)), X, y > 0)
    logits = _run(to_onnx(model, X, logits=True), X)["probabilities"]
    _assert_close(logits[:, 1], model.predict_logits(X), np.dtype(float))
    np.testing.assert_array_equal(logits[:, 0], -logits[:, 1])


def test_older_opset():
    model = fit_quietly(Classifier((3,) * len(ACTIVATIONS), list(ACTIVATIONS)), X, y)
    onx = to_onnx(model, X.astype(np.float32), target_opset=13)
    assert {s.domain: s.version for s in onx.opset_import}[""] == 13
    _assert_same(model, X, np.float32, target_opset=13)


def test_conversion_leaves_other_converters_unchanged():
    theirs = fit_quietly(MLPClassifier(max_iter=2, random_state=0), X, y)
    before = skl2onnx.to_onnx(theirs, X[:1]).SerializeToString()
    for _ in range(2):
        to_onnx(fit_quietly(Classifier(), X, y), X)
    assert skl2onnx.to_onnx(theirs, X[:1]).SerializeToString() == before


@pytest.mark.parametrize("container", [pd.DataFrame, list])
def test_sample_without_rows_raises(container):
    mlp = fit_quietly(TorchMLPRegressor(max_iter=2, random_state=0), X, y)
    with pytest.raises(ValueError, match=rf"X has no rows.*a {container.__name__}\. Pass at least"):
        to_onnx(mlp, container(X[:0]))


def test_models_that_cannot_be_converted_raise(monkeypatch):
    with pytest.raises(NotFittedError):
        to_onnx(make_pipeline(StandardScaler(), Classifier()), X)
    sine = fit_quietly(Classifier((4, 4), ["relu", torch.sin]), X, y)
    with pytest.raises(ValueError, match=r"activation=<.*sin.*> has no .*ONNX.*'mish'.*to_torch"):
        to_onnx(sine, X)
    model = fit_quietly(Classifier(), X, y)
    with pytest.raises(ValueError, match="X has 2 features, but TorchMLPClassifier is expecting 4"):
        to_onnx(model, X[:, :2])
    with pytest.raises(NameError, match="Option 'zip_map' not in"):
        to_onnx(model, X, zip_map=True)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install torchmlp\[onnx\]"):
        to_onnx(model, X)


@pytest.mark.parametrize(
    "change", [np.float16, np.uint64, np.longdouble, "datetime64[s]", complex, "S", dict, "0d"]
)
def test_X_that_a_graph_does_not_support_raises(change):
    model = fit_quietly(TorchMLPClassifier((3,), max_iter=2, random_state=0), X, y)
    rows = {dict: {}, "0d": np.array(1.0)}.get(change)
    with pytest.raises(TypeError, match=r"\bX\b"):
        to_onnx(model, X.astype(change) if rows is None else rows)


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: torch.tensor(X, requires_grad=True),
        lambda X: X.astype(">f8"),
        sp.coo_array,
    ],
)
def test_any_X_that_predict_accepts(convert):
    model = fit_quietly(TorchMLPClassifier((3,), max_iter=2, random_state=0), X, y)
    plain, converted = (to_onnx(model, rows).graph.input for rows in (X, convert(X)))
    assert plain == converted
