"""Tests for copies of a model: pickle, joblib, skops, deepcopy and clone."""

import copy
import io
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from helpers import OURS, TASKS, assert_identical, fit_quietly, iris
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, tabular_pipeline
from torchmlp.ensemble import WeightSharingRegressor


def _joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def _memory_mapped(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def _skops(model, folder):
    stored = skops.io.dumps(model)
    return skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))


def half_squared(outputs, y):
    """A loss: half the squared error of each row."""
    return ((outputs - y) ** 2).sum(dim=1) / 2


# name -> (estimator, X, y, parameters)
MODELS = {
    **{name: (ours, X, y, needed) for name, ((_, ours), X, y, needed) in TASKS.items()},
    "callable loss": (TorchMLPRegressor, *TASKS["regression"][1:3], {"loss": half_squared}),
    "scaled targets": (TorchMLPRegressor, *TASKS["multioutput"][1:3], {"normalize_y": True}),
    "gaussian": (TorchMLPRegressor, *TASKS["regression"][1:3], {"loss": "gaussian"}),
    "quantiles": (
        TorchMLPRegressor,
        *TASKS["regression"][1:3],
        {"loss": "quantile", "quantile": [0.1, 0.9]},
    ),
}
COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "joblib": _joblib,
    "memory-mapped": _memory_mapped,
    "skops": _skops,
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("name", MODELS)
def test_copy_predicts_the_same(name, kind, tmp_path):
    ours, X, y, needed = MODELS[name]
    model = fit_quietly(ours(random_state=0, max_iter=5, **needed), X, y)
    copied = COPIES[kind](model, tmp_path)
    assert copied.get_params() == model.get_params()
    for method in ("predict", "predict_proba", "predict_logits"):
        if hasattr(model, method):
            expected, got = getattr(model, method)(X), getattr(copied, method)(X)
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)
    assert copied.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize(
    "model",
    [
        TorchMLPClassifier(random_state=0),
        TorchMLPRegressor(normalize_y=True, random_state=0),
        TorchMLPRegressor("poisson", normalize_y=True, random_state=0),
    ],
)
def test_copy_continues_training_the_same(model, kind, tmp_path):
    X, y = iris()
    first = {"classes": [0, 1, 2]} if isinstance(model, TorchMLPClassifier) else {}
    model = clone(model).partial_fit(X, y, **first)
    copied = COPIES[kind](model, tmp_path)
    for _ in range(3):
        model.partial_fit(X, y)
        copied.partial_fit(X, y)
    assert_identical(copied, model)


TRUSTED = {
    "regressor": (TorchMLPRegressor(), ["encoding.ValueEncoder", "regressor.TorchMLPRegressor"]),
    "gaussian": (
        TorchMLPRegressor(loss="gaussian"),
        ["distribution_encoding.GaussianEncoder", "regressor.TorchMLPRegressor"],
    ),
    "quantiles": (
        TorchMLPRegressor(loss="quantile", quantile=[0.1, 0.9]),
        ["distribution_encoding.QuantileEncoder", "regressor.TorchMLPRegressor"],
    ),
    "normalize_y": (
        TorchMLPRegressor(normalize_y=True),
        [
            "encoding.ValueEncoder",
            "regressor.TorchMLPRegressor",
            "training.fit_state.SavedState",
            "training.target_scale.TargetScale",
        ],
    ),
    "warm_start": (
        TorchMLPRegressor(warm_start=True),
        [
            "encoding.ValueEncoder",
            "regressor.TorchMLPRegressor",
            "training.fit_state.SavedState",
        ],
    ),
    "ensemble": (
        WeightSharingRegressor(),
        [
            "encoding.ValueEncoder",
            "ensemble.WeightSharingRegressor",
            "regressor.TorchMLPRegressor",
        ],
    ),
    "tabular_pipeline": (
        tabular_pipeline(TorchMLPRegressor()),
        [
            "encoding.ValueEncoder",
            "preprocessing.PiecewiseLinearEncoder",
            "regressor.TorchMLPRegressor",
            "tabular.categorical_columns",
            "tabular.numerical_columns",
        ],
    ),
}


@pytest.mark.parametrize("name", TRUSTED)
def test_skops_asks_to_trust_the_documented_types(name):
    model, types = TRUSTED[name]
    _, X, y, _ = TASKS["regression"]
    stored = skops.io.dumps(fit_quietly(model, X, y))
    types = [f"torchmlp.{name}" for name in types]
    assert skops.io.get_untrusted_types(data=stored) == types
    copy = skops.io.loads(stored, trusted=types)
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    page = (Path(__file__).parents[1] / "docs/guide/deployment.md").read_text()
    assert all(f"`{name.removeprefix('torchmlp.')}`" in page for name in types)


def test_skops_asks_to_trust_this_package_only():
    X, y = iris()
    model = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=3), X, y)
    assert skops.io.get_untrusted_types(data=skops.io.dumps(model)) == [
        "torchmlp.classifier.TorchMLPClassifier",
        "torchmlp.encoding.ClassEncoder",
    ]


@pytest.mark.parametrize("estimator", OURS)
def test_deepcopy_shares_nothing_and_clone_is_unfitted(estimator):
    X, y = iris()
    model = fit_quietly(estimator(random_state=0, max_iter=3), X, y)
    before = model.predict(X)
    copied = copy.deepcopy(model)
    copied.coefs_[0][:] = 7.0
    np.testing.assert_array_equal(model.predict(X), before)
    unfitted = clone(model)
    assert unfitted.get_params() == model.get_params()
    assert not hasattr(unfitted, "coefs_")


def test_pickle_does_not_need_torch():
    X, y = iris()
    model = TorchMLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2])

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            assert module.split(".")[0] != "torch", f"{module}.{name}"
            return super().find_class(module, name)

    Reader(io.BytesIO(pickle.dumps(model))).load()
