"""The inputs of an ONNX graph have the names of the columns, whatever they are."""

import numpy as np
import onnx
import pandas as pd
import pytest
from helpers import fit_quietly, iris
from onnxruntime import InferenceSession
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.export import to_onnx

X, y = iris()
NAMES = {
    "spaces": ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
    "dots": ["sepal.length", "sepal.width", ".", "..."],
    "digits": ["1", "2nd", "3.5", "_1"],
    "unicode": ["Länge", "largeur d'un sépale", "花弁", "🌸 ≤ 1"],
    "the same when sanitized": ["a b", "a_b", "a.b", "a_b1"],
    "of outputs": ["label", "probabilities", "variable", "output_label"],
    "of values inside": ["constant", "gemm", "concat", "X"],
    "numbers": [0, 1, 2, 3],
}
every_kind_of_name = pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)


def _run(onx, frame):
    onnx.checker.check_model(onx, full_check=True)
    session = InferenceSession(onx.SerializeToString())
    assert [i.name for i in session.get_inputs()] == [str(name) for name in frame]
    return session.run(None, {str(name): frame[[name]].to_numpy() for name in frame})


@every_kind_of_name
def test_classifier(names):
    frame = pd.DataFrame(X, columns=names)
    model = fit_quietly(TorchMLPClassifier((6,), max_iter=3, random_state=0), frame, y)
    label, probabilities = _run(to_onnx(model, frame), frame)
    np.testing.assert_array_equal(label, model.predict(frame))
    np.testing.assert_allclose(probabilities, model.predict_proba(frame), rtol=1e-12)


@every_kind_of_name
def test_columns_in_another_order(names):
    frame = pd.DataFrame(X, columns=names)
    frame[names[3]] = np.array(["red", "green", "blue"])[np.arange(len(X)) % 3]
    columns = make_column_transformer(
        (OneHotEncoder(), [names[3]]), (StandardScaler(), [names[2], names[0]])
    )
    regressor = TorchMLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0)
    model = fit_quietly(make_pipeline(columns, regressor), frame, y)
    (values,) = _run(to_onnx(model, frame), frame)
    np.testing.assert_allclose(values[:, 0], model.predict(frame), rtol=1e-12)


def test_names_of_values_in_subgraphs():
    names = ["a b", "next_in", "next", "scan.in"]
    frame = pd.DataFrame(X, columns=names)
    columns = make_column_transformer((StandardScaler(), names))
    mlp = TorchMLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0)
    neighbors = KNeighborsRegressor(algorithm="brute")
    model = make_pipeline(columns, VotingRegressor([("mlp", mlp), ("neighbors", neighbors)]))
    model = fit_quietly(model, frame, y)
    onx = to_onnx(model, frame)
    assert any(node.op_type == "Scan" for node in onx.graph.node)
    (values,) = _run(onx, frame)
    np.testing.assert_allclose(values[:, 0], model.predict(frame), rtol=1e-6)


def test_outputs_with_the_name_of_a_column():
    frame = pd.DataFrame(X, columns=["label", "label_", "a", "b"])
    model = fit_quietly(TorchMLPClassifier((6,), max_iter=3, random_state=0), frame, y)
    onx = to_onnx(model, frame)
    assert [output.name for output in onx.graph.output] == ["label__", "probabilities"]


def test_column_without_a_name():
    frame = pd.DataFrame(X, columns=["a", "b", "", "d"])
    model = fit_quietly(TorchMLPClassifier((6,), max_iter=3, random_state=0), frame, y)
    with pytest.raises(ValueError, match=r"X has the columns \['a', 'b', '', 'd'\].*Rename"):
        to_onnx(model, frame)
