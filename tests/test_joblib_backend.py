"""Tests for the joblib backend: unchanged scikit-learn code gives the same results."""

import threading
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV, SequentialFeatureSelector
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
GRID = {"alpha": [1e-4, 0.1, 1.0], "learning_rate_init": [0.001, 0.01]}


def _classifier(**parameters):
    return TorchMLPClassifier((6,), **{"max_iter": 15, "random_state": 0, **parameters})


def _regressor(**parameters):
    return TorchMLPRegressor(
        hidden_layer_sizes=(6,), **{"max_iter": 15, "random_state": 0, **parameters}
    )


def _scaled(**parameters):
    return make_pipeline(StandardScaler(), _classifier(**parameters))


def _search(search, **options):
    search = search(**options).fit(*IRIS)
    results = {k: v for k, v in search.cv_results_.items() if "time" not in k and "param" not in k}
    return results, search.best_params_, search.predict_proba(IRIS[0])


TASKS = {
    "GridSearchCV": lambda: _search(
        lambda: GridSearchCV(_classifier(), GRID, cv=3, return_train_score=True)
    ),
    "GridSearchCV of a pipeline": lambda: _search(
        lambda: GridSearchCV(_scaled(), {"torchmlpclassifier__alpha": [0.1, 1.0]}, cv=3)
    ),
    "RandomizedSearchCV": lambda: _search(
        lambda: RandomizedSearchCV(
            _classifier(), {"alpha": loguniform(1e-4, 1)}, n_iter=5, cv=3, random_state=0
        )
    ),
    "HalvingGridSearchCV": lambda: _search(
        lambda: HalvingGridSearchCV(_classifier(), GRID, cv=2, random_state=0, min_resources=40)
    ),
    "cross_validate": lambda: [
        e[-1].coefs_ for e in cross_validate(_scaled(), *IRIS, return_estimator=True)["estimator"]
    ],
    "cross_val_score": lambda: cross_val_score(_scaled(), *IRIS),
    "cross_val_predict": lambda: cross_val_predict(_scaled(), *IRIS, method="predict_proba"),
    "learning_curve": lambda: learning_curve(_scaled(), *IRIS, cv=3)[1:3],
    "validation_curve": lambda: validation_curve(
        _classifier(), *IRIS, param_name="alpha", param_range=[0.01, 1.0], cv=3
    ),
    "permutation_test_score": lambda: permutation_test_score(
        _classifier(), *IRIS, n_permutations=5, cv=3, random_state=0
    )[1],
    "BaggingClassifier": lambda: (
        BaggingClassifier(_classifier(), 12, random_state=0).fit(*IRIS).predict_proba(IRIS[0])
    ),
    "BaggingRegressor": lambda: (
        BaggingRegressor(_regressor(), 12, random_state=0).fit(*DIABETES).predict(DIABETES[0])
    ),
    "VotingClassifier": lambda: (
        VotingClassifier([("a", _scaled()), ("b", _scaled(alpha=1.0))], voting="soft")
        .fit(*IRIS)
        .predict_proba(IRIS[0])
    ),
    "VotingRegressor": lambda: (
        VotingRegressor([("a", _regressor()), ("b", _regressor(alpha=1.0)), ("c", Ridge())])
        .fit(*DIABETES)
        .predict(DIABETES[0])
    ),
    "StackingClassifier": lambda: (
        StackingClassifier([("a", _scaled()), ("b", _scaled(alpha=1.0))])
        .fit(*IRIS)
        .predict_proba(IRIS[0])
    ),
    "StackingRegressor": lambda: (
        StackingRegressor([("a", _regressor()), ("b", Ridge())]).fit(*DIABETES).predict(DIABETES[0])
    ),
    "MultiOutputClassifier": lambda: (
        MultiOutputClassifier(_classifier())
        .fit(IRIS[0], np.column_stack([IRIS[1], IRIS[1] > 0, IRIS[1] > 1]))
        .predict(IRIS[0])
    ),
    "MultiOutputRegressor": lambda: (
        MultiOutputRegressor(_regressor())
        .fit(IRIS[0][:, :2], IRIS[0][:, 2:])
        .predict(IRIS[0][:, :2])
    ),
    "OneVsRestClassifier": lambda: (
        OneVsRestClassifier(_classifier()).fit(*IRIS).predict_proba(IRIS[0])
    ),
    "OneVsOneClassifier": lambda: (
        OneVsOneClassifier(_classifier()).fit(*IRIS).decision_function(IRIS[0])
    ),
    "CalibratedClassifierCV": lambda: (
        CalibratedClassifierCV(_scaled(), cv=3).fit(*IRIS).predict_proba(IRIS[0])
    ),
    "RFECV": lambda: RFECV(_classifier(), importance_getter=_importances, cv=3).fit(*IRIS).ranking_,
    "SequentialFeatureSelector": lambda: (
        SequentialFeatureSelector(_classifier(), n_features_to_select=2, cv=3).fit(*IRIS).support_
    ),
    "nested": lambda: cross_val_score(
        GridSearchCV(_scaled(), {"torchmlpclassifier__alpha": [0.1, 1.0]}, cv=3), *IRIS, cv=3
    ),
    "bagging in a search": lambda: _search(
        lambda: GridSearchCV(
            BaggingClassifier(_classifier(), 4, random_state=0), {"estimator__alpha": [0.1, 1.0]}
        )
    ),
}


def _importances(model):
    return np.abs(model.coefs_[0]).sum(axis=1)


def _recorded(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, sorted((str(w.message), w.category.__name__) for w in caught)


def _assert_equal(got, expected):
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        got, expected = list(got.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            _assert_equal(mine, theirs)
    elif np.asarray(expected).dtype.kind == "f":
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_array_equal(got, expected)


def _assert_same(function, **options):
    """Assert that a function returns and warns the same with the backend and without it."""
    expected, expected_warnings = _recorded(function)
    filters = warnings.filters[:]
    with parallel_config(backend="torchmlp", **options):
        got, got_warnings = _recorded(function)
    _assert_equal(got, expected)
    assert got_warnings == expected_warnings
    assert warnings.filters == filters
    assert not [t for t in threading.enumerate() if t.name == "torchmlp-task"]


@pytest.mark.parametrize("task", TASKS)
def test_results_and_warnings_are_those_of_a_serial_run(task):
    _assert_same(TASKS[task])
