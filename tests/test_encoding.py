"""Tests for torchmlp.encoding."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import CLASSIFIERS, fit_quietly, iris
from sklearn.preprocessing import LabelBinarizer

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.encoding import ClassEncoder

X, y = iris()


def test_accuracy_of_outputs_that_are_not_finite_is_nan():
    encoder, outputs = ClassEncoder(LabelBinarizer().fit([0, 1, 2])), np.eye(3)
    codes = np.arange(3)[:, None]
    assert encoder.score(codes, outputs, None) == 1.0
    assert np.isnan(encoder.score(codes, outputs * np.nan, None))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "c", "a"]),
        np.array(["a", "b", "b", "a"]),
        np.array(["a", "a"]),
        np.array([[1, 0, 1], [0, 0, 0]]),
        sp.csr_array([[1, 0, 1], [0, 1, 0]]),
    ],
    ids=["multiclass", "binary", "one class", "multilabel", "sparse multilabel"],
)
def test_inverse_transform_returns_the_labels(labels):
    encoder = ClassEncoder(LabelBinarizer().fit(labels))
    decoded = encoder.inverse_transform(encoder.encode(labels))
    assert sp.issparse(decoded) == sp.issparse(labels)
    dense = [y.toarray() if sp.issparse(y) else y for y in (decoded, labels)]
    np.testing.assert_array_equal(*dense)


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_score_of_a_single_class_is_one(estimator):
    for seed in range(4):
        mlp = estimator(early_stopping=True, max_iter=2, random_state=seed)
        fit_quietly(mlp, X, np.full(150, "a"))
        assert mlp.validation_scores_ == [1.0, 1.0]
        assert mlp.score(X, np.full(150, "a")) == 1.0


def test_unsupported_targets_of_a_classifier_raise():
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        TorchMLPClassifier().fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="Unknown label type"):
        TorchMLPClassifier().fit(X, y + 0.5)


def test_string_targets_of_a_regressor_raise():
    with pytest.raises(ValueError, match=r"y must be numeric, got .*<U.*TorchMLPClassifier"):
        TorchMLPRegressor().fit(X, np.array(["a", "b"])[y % 2])


@pytest.mark.parametrize("indicator", [np.eye(3, dtype=int)[y], sp.csr_array(np.eye(3)[y])])
def test_label_columns_for_a_network_of_single_classes_raise(indicator):
    mlp = TorchMLPClassifier(max_iter=2)
    with pytest.raises(ValueError, match="y_val: `y` has a column per label"):
        mlp.fit(X, y, X_val=X, y_val=indicator)
    mlp.coefs_ = []
    mlp.classes_ = np.arange(3)
    mlp._encoder = ClassEncoder(LabelBinarizer().fit(y))
    with pytest.raises(ValueError, match="`y` has a column per label"):
        mlp.partial_fit(X, indicator)


MANY_CLASSES = """
import resource
import warnings
import numpy as np
from torchmlp import TorchMLPClassifier
warnings.simplefilter("ignore")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
X = np.random.RandomState(0).rand(12_000, 5)
y = np.arange(12_000) % 3_000
mlp = TorchMLPClassifier((5,), random_state=0, max_iter=1, batch_size=100)
mlp.fit(X[:400], y[:400] % 3, X_val=X[:400], y_val=y[:400] % 3)
before = peak()
mlp.fit(X, y, X_val=X[:1000], y_val=y[:1000]).predict(X)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
def test_memory_does_not_grow_with_samples_times_classes():
    done = subprocess.run(
        [sys.executable, "-c", MANY_CLASSES], capture_output=True, text=True, check=True
    )
    one_hot = 12_000 * 3_000 / 1024  # KiB of a bool per sample and class
    # The raw outputs of the 1000 validation rows are 24 MB of float64.
    assert int(done.stdout) < 1.5 * one_hot
