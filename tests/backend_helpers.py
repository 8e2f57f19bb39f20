"""Data, estimators and assertions that the tests of the joblib backend share."""

import threading
import warnings

import numpy as np
from joblib import parallel_config
from sklearn.datasets import load_iris

from torchmlp import TorchMLPClassifier

IRIS = load_iris(return_X_y=True)


def small_mlp(**parameters):
    defaults = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0}
    return TorchMLPClassifier(**{**defaults, **parameters})


def recorded(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, sorted((str(w.message), w.category.__name__) for w in caught)


def assert_equal(got, expected):
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        got, expected = list(got.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            assert_equal(mine, theirs)
    elif np.asarray(expected).dtype.kind == "f":
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_array_equal(got, expected)


def task_threads():
    return [thread for thread in threading.enumerate() if thread.name == "torchmlp-task"]


def assert_same_as_serial(function, **options):
    """Assert that a function returns and warns the same with the backend and without it."""
    expected, expected_warnings = recorded(function)
    filters = warnings.filters[:]
    with parallel_config(backend="torchmlp", **options):
        got, got_warnings = recorded(function)
    assert_equal(got, expected)
    assert got_warnings == expected_warnings
    assert warnings.filters == filters
    assert not task_threads()
