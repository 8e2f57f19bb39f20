"""Tests for torchmlp.validation: invalid input raises before training."""

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import OURS, iris

from torchmlp import TorchMLPClassifier

X, y = iris()
before_training = pytest.mark.usefixtures("no_training")


def _with(value):
    changed = X.copy()
    changed[3, 1] = value
    return changed


@before_training
@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (_with(np.nan), y, "Input X contains NaN"),
        (_with(np.inf), y, "Input X contains infinity"),
        (X[:0], y[:0], r"Found array with 0 sample\(s\)"),
        (X[:, :0], y, r"Found array with 0 feature\(s\)"),
        (X, y[:-1], "inconsistent numbers of samples: .150, 149."),
        (X[:, 0], y, r"(?s)Expected 2D array, got 1D array instead.*Reshape your data"),
        (X[None], y, "Found array with dim 3"),
        (X.astype(complex), y, "Complex data not supported"),
        (
            np.array([["red", 1.0], ["blue", 2.0]], dtype=object),
            y[:2],
            "X cannot be used: .*'red'.*OneHotEncoder",
        ),
        (X, None, "requires y to be passed"),
        (X, np.where(y == 0, np.nan, y), "Input y contains NaN"),
        (sp.csr_array(_with(np.nan)), y, "Input X contains NaN"),
    ],
    ids=[
        "nan",
        "inf",
        "empty",
        "no_features",
        "length",
        "1d",
        "3d",
        "complex",
        "object",
        "no_y",
        "nan_y",
        "sparse_nan",
    ],
)
def test_invalid_data_raise(estimator, X, y, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y)


@before_training
@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(150), "at least one non-zero number. Got sample_weight with 150 zeros"),
        (np.r_[-1.0, np.ones(149)], "sample_weight must be non-negative, got -1.0"),
        (
            np.ones(149),
            r"sample_weight.shape == \(149,\), expected \(150,\)\. Pass one weight per sample",
        ),
        (np.full(150, np.nan), "Input sample_weight contains NaN"),
        (np.ones((150, 1)), "Sample weights must be 1D"),
    ],
    ids=["zero", "negative", "length", "nan", "2d"],
)
def test_invalid_sample_weights_raise(estimator, weights, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y, sample_weight=weights)
    kwargs = {"classes": [0, 1, 2]} if estimator is TorchMLPClassifier else {}
    with pytest.raises(ValueError, match=message):
        estimator().partial_fit(X, y, sample_weight=weights, **kwargs)
