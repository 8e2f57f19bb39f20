"""Tests for the joblib backend: unchanged scikit-learn code gives the same results."""

import gc
import warnings
import weakref
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import torch
from backend_helpers import IRIS, assert_same_as_serial, small_mlp, task_threads
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV, SequentialFeatureSelector
from sklearn.linear_model import LogisticRegression, Ridge
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
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from torchmlp import TorchMLPRegressor
from torchmlp.callbacks import Snapshots
from torchmlp.training import scheduling

DIABETES = load_diabetes(return_X_y=True)
GRID = {"alpha": [1e-4, 0.1, 1.0], "learning_rate_init": [0.001, 0.01]}


def _regressor(**parameters):
    return TorchMLPRegressor(
        hidden_layer_sizes=(6,), **{"max_iter": 15, "random_state": 0, **parameters}
    )


def _scaled(**parameters):
    return make_pipeline(StandardScaler(), small_mlp(**parameters))


def _search(search, **options):
    search = search(**options).fit(*IRIS)
    results = {k: v for k, v in search.cv_results_.items() if "time" not in k and "param" not in k}
    return results, search.best_params_, search.predict_proba(IRIS[0])


TASKS = {
    "GridSearchCV": lambda: _search(
        lambda: GridSearchCV(small_mlp(), GRID, cv=3, return_train_score=True)
    ),
    "GridSearchCV of a pipeline": lambda: _search(
        lambda: GridSearchCV(_scaled(), {"torchmlpclassifier__alpha": [0.1, 1.0]}, cv=3)
    ),
    "RandomizedSearchCV": lambda: _search(
        lambda: RandomizedSearchCV(
            small_mlp(), {"alpha": loguniform(1e-4, 1)}, n_iter=5, cv=3, random_state=0
        )
    ),
    "HalvingGridSearchCV": lambda: _search(
        lambda: HalvingGridSearchCV(small_mlp(), GRID, cv=2, random_state=0, min_resources=40)
    ),
    "cross_validate": lambda: [
        e[-1].coefs_ for e in cross_validate(_scaled(), *IRIS, return_estimator=True)["estimator"]
    ],
    "cross_val_score": lambda: cross_val_score(_scaled(), *IRIS),
    "cross_val_predict": lambda: cross_val_predict(_scaled(), *IRIS, method="predict_proba"),
    "learning_curve": lambda: learning_curve(_scaled(), *IRIS, cv=3)[1:3],
    "validation_curve": lambda: validation_curve(
        small_mlp(), *IRIS, param_name="alpha", param_range=[0.01, 1.0], cv=3
    ),
    "permutation_test_score": lambda: permutation_test_score(
        small_mlp(), *IRIS, n_permutations=5, cv=3, random_state=0
    )[1],
    "BaggingClassifier": lambda: (
        BaggingClassifier(small_mlp(), 12, random_state=0).fit(*IRIS).predict_proba(IRIS[0])
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
        MultiOutputClassifier(small_mlp())
        .fit(IRIS[0], np.column_stack([IRIS[1], IRIS[1] > 0, IRIS[1] > 1]))
        .predict(IRIS[0])
    ),
    "MultiOutputRegressor": lambda: (
        MultiOutputRegressor(_regressor())
        .fit(IRIS[0][:, :2], IRIS[0][:, 2:])
        .predict(IRIS[0][:, :2])
    ),
    "OneVsRestClassifier": lambda: (
        OneVsRestClassifier(small_mlp()).fit(*IRIS).predict_proba(IRIS[0])
    ),
    "OneVsOneClassifier": lambda: (
        OneVsOneClassifier(small_mlp()).fit(*IRIS).decision_function(IRIS[0])
    ),
    "CalibratedClassifierCV": lambda: (
        CalibratedClassifierCV(_scaled(), cv=3).fit(*IRIS).predict_proba(IRIS[0])
    ),
    "RFECV": lambda: RFECV(small_mlp(), importance_getter=_importances, cv=3).fit(*IRIS).ranking_,
    "SequentialFeatureSelector": lambda: (
        SequentialFeatureSelector(small_mlp(), n_features_to_select=2, cv=3).fit(*IRIS).support_
    ),
    "nested": lambda: cross_val_score(
        GridSearchCV(_scaled(), {"torchmlpclassifier__alpha": [0.1, 1.0]}, cv=3), *IRIS, cv=3
    ),
    "bagging in a search": lambda: _search(
        lambda: GridSearchCV(
            BaggingClassifier(small_mlp(), 4, random_state=0),
            {"estimator__alpha": [0.1, 1.0]},
        )
    ),
}


def _importances(model):
    return np.abs(model.coefs_[0]).sum(axis=1)


@pytest.mark.parametrize("task", TASKS)
def test_results_and_warnings_are_those_of_a_serial_run(task):
    assert_same_as_serial(TASKS[task])


def _mixed_search(error_score=np.nan):
    grid = {"alpha": [0.1, -1.0, 1.0], "learning_rate_init": [0.01, 1e12]}
    search = GridSearchCV(small_mlp(), grid, cv=3, error_score=error_score, refit=False)
    results = search.fit(*IRIS).cv_results_
    return results["mean_test_score"], results["rank_test_score"]


def test_fits_that_fail_or_diverge_do_not_affect_the_others():
    assert_same_as_serial(_mixed_search)


def test_errors_have_the_traceback_of_their_fit():
    with (
        warnings.catch_warnings(action="ignore"),
        parallel_config(backend="torchmlp"),
        pytest.raises(ValueError, match="alpha") as caught,
    ):
        _mixed_search(error_score="raise")
    assert "_validate_params" in [entry.name for entry in caught.traceback]
    assert not task_threads()


SEPARATE = {
    "lbfgs": {"solver": "lbfgs"},
    "activation": {"activation": torch.nn.functional.relu6},
    "torch optimizer": {"solver": torch.optim.RMSprop},
    "callbacks": {"callbacks": [("snapshots", Snapshots())]},
    "time limit": {"time_limit": 1e6},
    "wide": {"hidden_layer_sizes": (700, 700), "max_iter": 2},
    "dropout": {"dropout": 0.3},
    "scorer": {"early_stopping": True, "scoring": "f1_macro"},
    "loss": {"early_stopping": True, "scoring": "loss"},
    "clipping": {"max_grad_norm": 0.1},
    "average": {"average": True},
    "average, early stopping": {"average": True, "solver": "sgd", "early_stopping": True},
    "float32": {"dtype": "float32"},
}


@pytest.mark.parametrize("parameters", SEPARATE.values(), ids=SEPARATE)
def test_every_kind_of_fit(parameters):
    assert_same_as_serial(
        lambda: cross_val_score(small_mlp(**parameters), *IRIS, scoring="neg_log_loss")
    )


def test_sparse_input():
    X = sp.csr_array(IRIS[0])
    assert_same_as_serial(lambda: cross_val_score(small_mlp(), X, IRIS[1]))


def test_sparse_validation_data():
    def fit(seed):
        model = small_mlp(random_state=seed)
        return model.fit(*IRIS, X_val=sp.csr_array(IRIS[0]), y_val=IRIS[1]).validation_loss_curve_

    assert_same_as_serial(lambda: Parallel()(delayed(fit)(seed) for seed in range(5)))


def test_limits_of_memory_and_number_of_fits():
    for options in {"max_fits": 3}, {"max_memory": 1}, {"n_jobs": 1}, {"n_jobs": 3}:
        assert_same_as_serial(TASKS["nested"], **options)


@pytest.mark.parametrize("widths", [[6] * 30, range(1, 31)], ids=["stacks", "alone"])
def test_data_of_trained_fits_are_released(widths):
    references, alive = [], []

    def fit(width):
        X = IRIS[0].copy()
        references.append(weakref.ref(X))
        alive.append(sum(reference() is not None for reference in references))
        small_mlp(hidden_layer_sizes=(width,)).fit(X, IRIS[1], X_val=X, y_val=IRIS[1])

    gc.disable()
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            parallel_config(backend="torchmlp", max_fits=5),
        ):
            Parallel()(delayed(fit)(width) for width in widths)
    finally:
        gc.enable()
    assert max(alive) <= 7
    assert not any(reference() is not None for reference in references)


def test_fits_that_wait_take_the_places_of_those_that_ended(monkeypatch):
    monkeypatch.setattr(scheduling, "MIN_STACK", 2)
    monkeypatch.setattr(scheduling, "MAX_STACK", 3)
    tolerances = {"tol": list(np.geomspace(1e-4, 0.3, 9)), "early_stopping": [False, True]}
    for solver in "adam", "sgd", "adamw":
        model = small_mlp(solver=solver, max_iter=60, n_iter_no_change=2)
        assert_same_as_serial(partial(_models_of_search, model, tolerances))


def _models_of_search(model, grid):
    scorer = _Recorder()
    GridSearchCV(model, grid, cv=2, scoring=scorer, refit=False).fit(*IRIS)
    assert len(scorer.models) == 36
    return [(m.n_iter_, m.t_, m.loss_curve_, m.coefs_, m.intercepts_) for m in scorer.models]


class _Recorder:
    """A scorer that keeps the models that it scores."""

    def __init__(self):
        self.models = []

    def __call__(self, estimator, X, y):
        self.models.append(estimator)
        return estimator.score(X, y)


def test_sample_weight_and_validation_data_are_routed():
    weights = np.random.RandomState(0).rand(len(IRIS[1]))
    parameters = {"sample_weight": weights, "X_val": IRIS[0][::3], "y_val": IRIS[1][::3]}

    def search():
        # Metadata of the length of X are split into folds, and others are passed as they are.
        with sklearn.config_context(enable_metadata_routing=True):
            model = small_mlp(early_stopping=True)
            model.set_fit_request(sample_weight=True, X_val=True, y_val=True)
            model.set_score_request(sample_weight=True)
            grid = {"alpha": [0.01, 0.1, 1.0]}
            return (
                GridSearchCV(model, grid, cv=3)
                .fit(*IRIS, **parameters)
                .cv_results_["mean_test_score"]
            )

    assert_same_as_serial(search)
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_other_estimators_beside_ours():
    steps = {"model": [small_mlp(), LogisticRegression(), RandomForestClassifier(5, n_jobs=2)]}
    for model in steps["model"]:
        model.set_params(random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    assert_same_as_serial(
        lambda: GridSearchCV(pipeline, steps, cv=3).fit(*IRIS).cv_results_["rank_test_score"]
    )
