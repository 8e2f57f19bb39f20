"""Tests for the joblib backend: unchanged scikit-learn code gives the same results."""

import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import torch
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
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

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Snapshots
from torchmlp.training import scheduling

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
GRID = {"alpha": [1e-4, 0.1, 1.0], "learning_rate_init": [0.001, 0.01]}


def _classifier(**parameters):
    defaults = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0}
    return TorchMLPClassifier(**{**defaults, **parameters})


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


def _task_threads():
    return [thread for thread in threading.enumerate() if thread.name == "torchmlp-task"]


def _assert_same(function, **options):
    """Assert that a function returns and warns the same with the backend and without it."""
    expected, expected_warnings = _recorded(function)
    filters = warnings.filters[:]
    with parallel_config(backend="torchmlp", **options):
        got, got_warnings = _recorded(function)
    _assert_equal(got, expected)
    assert got_warnings == expected_warnings
    assert warnings.filters == filters
    assert not _task_threads()


@pytest.mark.parametrize("task", TASKS)
def test_results_and_warnings_are_those_of_a_serial_run(task):
    _assert_same(TASKS[task])


def _mixed_search(error_score=np.nan):
    grid = {"alpha": [0.1, -1.0, 1.0], "learning_rate_init": [0.01, 1e12]}
    search = GridSearchCV(_classifier(), grid, cv=3, error_score=error_score, refit=False)
    results = search.fit(*IRIS).cv_results_
    return results["mean_test_score"], results["rank_test_score"]


def test_fits_that_fail_or_diverge_do_not_affect_the_others():
    _assert_same(_mixed_search)


def test_errors_have_the_traceback_of_their_fit():
    with (
        warnings.catch_warnings(action="ignore"),
        parallel_config(backend="torchmlp"),
        pytest.raises(ValueError, match="alpha") as caught,
    ):
        _mixed_search(error_score="raise")
    assert "_validate_params" in [entry.name for entry in caught.traceback]
    assert not _task_threads()


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
    "float32": {"dtype": "float32"},
}


@pytest.mark.parametrize("parameters", SEPARATE.values(), ids=SEPARATE)
def test_every_kind_of_fit(parameters):
    _assert_same(lambda: cross_val_score(_classifier(**parameters), *IRIS, scoring="neg_log_loss"))


def test_sparse_input():
    X = sp.csr_array(IRIS[0])
    _assert_same(lambda: cross_val_score(_classifier(), X, IRIS[1]))


def test_sparse_validation_data():
    def fit(seed):
        model = _classifier(random_state=seed)
        return model.fit(*IRIS, X_val=sp.csr_array(IRIS[0]), y_val=IRIS[1]).validation_loss_curve_

    _assert_same(lambda: Parallel()(delayed(fit)(seed) for seed in range(5)))


def test_limits_of_memory_and_number_of_fits():
    for options in {"max_fits": 3}, {"max_memory": 1}, {"n_jobs": 1}, {"n_jobs": 3}:
        _assert_same(TASKS["nested"], **options)


def test_fits_that_wait_take_the_places_of_those_that_ended(monkeypatch):
    monkeypatch.setattr(scheduling, "MIN_STACK", 2)
    monkeypatch.setattr(scheduling, "MAX_STACK", 3)
    tolerances = {"tol": list(np.geomspace(1e-4, 0.3, 9)), "early_stopping": [False, True]}
    for solver in "adam", "sgd", "adamw":
        model = _classifier(solver=solver, max_iter=60, n_iter_no_change=2)
        _assert_same(partial(_models_of_search, model, tolerances))


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
            model = _classifier(early_stopping=True)
            model.set_fit_request(sample_weight=True, X_val=True, y_val=True)
            model.set_score_request(sample_weight=True)
            grid = {"alpha": [0.01, 0.1, 1.0]}
            return (
                GridSearchCV(model, grid, cv=3)
                .fit(*IRIS, **parameters)
                .cv_results_["mean_test_score"]
            )

    _assert_same(search)
    assert not sklearn.get_config()["enable_metadata_routing"]


def _fit_several_times(times, threads=False):
    models = [_classifier(random_state=i) for i in range(times)]
    if threads:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda model: model.fit(*IRIS), models))
    else:
        for model in models:
            model.fit(*IRIS)
    return [model.predict_proba(IRIS[0]) for model in models]


def test_tasks_fit_any_number_of_times():
    def run():
        tasks = [delayed(_fit_several_times)(times) for times in (0, 1, 2, 3, 0, 5)]
        return Parallel()([*tasks, delayed(_fit_several_times)(3, threads=True)])

    _assert_same(run)


def test_other_estimators_beside_ours():
    steps = {"model": [_classifier(), LogisticRegression(), RandomForestClassifier(5, n_jobs=2)]}
    for model in steps["model"]:
        model.set_params(random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    _assert_same(
        lambda: GridSearchCV(pipeline, steps, cv=3).fit(*IRIS).cv_results_["rank_test_score"]
    )


def test_two_searches_in_two_threads():
    expected = _recorded(lambda: [_fit_several_times(1), _fit_several_times(2)])[0]

    def run(times):
        with parallel_config(backend="torchmlp"):
            return Parallel()(delayed(_fit_several_times)(times) for _ in range(3))[0]

    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(2) as pool:
        got = list(pool.map(run, [1, 2]))
    _assert_equal(got, expected)


def test_warnings_filters_of_a_task_belong_to_it():
    def task(i):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn(f"first {i}", stacklevel=1)
            _classifier(max_iter=2).fit(*IRIS)
            warnings.warn(f"second {i}", stacklevel=1)
        return [str(w.message) for w in caught]

    with parallel_config(backend="torchmlp"):
        messages = Parallel()(delayed(task)(i) for i in range(5))
    reached = "Stochastic Optimizer: Maximum iterations (2) reached and the optimization"
    for i, (first, own, second) in enumerate(messages):
        assert (first, second) == (f"first {i}", f"second {i}")
        assert own.startswith(reached)


INTERRUPTED = """
import os, signal, threading, time, warnings
import torch
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from torchmlp import TorchMLPClassifier

def interrupt():
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

filters, n_threads = warnings.filters[:], torch.get_num_threads()
model = TorchMLPClassifier((10,), max_iter=10**6, n_iter_no_change=10**6, {parameters})
search = GridSearchCV(model, {{"alpha": [0.1, 0.2, 0.3, 0.4, 0.5]}}, cv=3)
threading.Timer(2.0, interrupt).start()
try:
    with parallel_config(backend="torchmlp"):
        cross_val_score(search, *load_iris(return_X_y=True), cv=3)
except KeyboardInterrupt:
    assert time.monotonic() - sent < 1.0, time.monotonic() - sent
    assert not [t for t in threading.enumerate() if t.name == "torchmlp-task"]
    assert warnings.filters == filters
    assert torch.get_num_threads() == n_threads
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print("interrupted")
"""


@pytest.mark.parametrize("parameters", ["", "solver='lbfgs', tol=0, max_fun=10**9", "verbose=1"])
def test_an_interrupt_ends_all_fits(parameters):
    code = INTERRUPTED.format(parameters=parameters)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.endswith("interrupted\n"), done.stderr[-2000:]


def test_a_thread_that_cannot_be_started_is_an_error(monkeypatch):
    start = threading.Thread.start

    def start_of_thread(thread):
        if thread.name == "torchmlp-task" and len(_task_threads()) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_of_thread)
    with (
        warnings.catch_warnings(action="ignore"),
        parallel_config(backend="torchmlp"),
        pytest.raises(RuntimeError, match="can't start new thread"),
    ):
        cross_val_score(_classifier(), *IRIS, cv=5)
    assert not _task_threads()


def _fit_in_a_forked_process():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply_async(_fit_several_times, (1,)).get(timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_a_task_forks_can_fit():
    with warnings.catch_warnings(action="ignore"), parallel_config(backend="torchmlp"):
        Parallel()(delayed(_fit_in_a_forked_process)() for _ in range(2))


def test_a_scorer_can_use_the_backend():
    def scoring(model, X, y):
        with parallel_config(backend="torchmlp"):
            return cross_val_score(_classifier(max_iter=2), *IRIS, cv=2).mean()

    model = _classifier(early_stopping=True, scoring=scoring, max_iter=2)
    _assert_same(lambda: cross_val_score(model, *IRIS, cv=3), n_jobs=1)


def test_a_signal_handler_that_raises_restores_the_filters():
    code = INTERRUPTED_BY_ALARM
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.endswith("restored\n"), done.stderr[-2000:]


INTERRUPTED_BY_ALARM = """
import signal, threading, time, warnings
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torchmlp import TorchMLPClassifier

def slow(X):
    for _ in range(200):
        time.sleep(0.02)
    return X

def handler(number, frame):
    raise TimeoutError("too long")

filters = warnings.filters[:]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 1.0)
try:
    with parallel_config(backend="torchmlp"):
        cross_val_score(
            make_pipeline(FunctionTransformer(slow), TorchMLPClassifier()),
            *load_iris(return_X_y=True), cv=3, error_score="raise",
        )
except TimeoutError:
    assert warnings.filters == filters
    assert not [t for t in threading.enumerate() if t.name == "torchmlp-task"]
    print("restored")
"""
