"""Validation data on another scale than the training data give a warning; honest splits do not."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import fit_quietly
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.validation_scale import SAMPLE_ROWS, column_on_other_scale

RNG = np.random.RandomState(0)


def housing():
    """Features and targets with the locations, scales and tails of house prices."""
    age, room = RNG.uniform(1, 52, 3000), RNG.lognormal(1.6, 0.3, 3000)
    outliers = np.where(RNG.rand(3000) < 0.002, 30.0, 1.0)
    people, latitude = RNG.lognormal(7.1, 0.8, 3000), RNG.choice([34.0, 38.0], 3000)
    X = np.column_stack([age, room * outliers, people, latitude + RNG.randn(3000) / 2])
    return X, RNG.lognormal(0.6, 0.55, 3000).clip(0.15, 5.0)


SETS = {
    "breast_cancer": load_breast_cancer(return_X_y=True),
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "diabetes": load_diabetes(return_X_y=True, scaled=False),
    "diabetes, scaled": load_diabetes(return_X_y=True),
    "housing": housing(),
}
HARD = {
    "digits": load_digits(return_X_y=True),  # constant and nearly constant columns
    "linnerud": load_linnerud(return_X_y=True),
    "cauchy": (RNG.standard_cauchy((300, 20)), RNG.standard_cauchy(300)),
    "one factor": (RNG.standard_cauchy((300, 1)) * RNG.rand(20), np.exp(3 * RNG.randn(300))),
    "rare": ((RNG.rand(300, 30) < 0.01) * RNG.rand(300, 30), RNG.rand(300) < 0.02),
    "counts": (RNG.poisson(0.3, (300, 8)).astype(float), RNG.poisson(0.1, 300)),
    "two rows": (RNG.randn(40, 3), RNG.randn(40)),
}
SCALERS = [
    None,
    StandardScaler(),
    MinMaxScaler(),
    RobustScaler(),
    QuantileTransformer(n_quantiles=20),
]


def columns(y):
    return np.asarray(y, dtype=float).reshape(len(y), -1)


@pytest.mark.filterwarnings("ignore")  # of the scalers
@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize("name", [*SETS, *HARD])
def test_random_splits_are_on_one_scale(name, scaler):
    X, y = {**SETS, **HARD}[name]
    for seed in range(5):
        for size in (2, 3, 5, 9, 0.1, 0.25, 0.5, 0.8):
            parts = train_test_split(X, columns(y), test_size=size, random_state=seed)
            for training, validation in (parts[:2], parts[2:]):
                if scaler is not None:
                    training = scaler.fit_transform(training)
                    validation = scaler.transform(validation)
                assert column_on_other_scale(training, validation) is None, (seed, size)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.001, 0.05])
def test_random_splits_of_sparse_data_are_on_one_scale(density, seed):
    X = sp.random_array((600, 4000), density=density, format="csr", random_state=seed)
    for size in (2, 5, 100, 300):
        training, validation = train_test_split(X, test_size=size, random_state=seed)
        assert column_on_other_scale(training, validation) is None


def test_a_trend_is_not_another_scale():
    time = np.arange(1000.0)[:, None]
    X = time + np.array([0, 100]) + RNG.randn(1000, 2)
    for stop in (500, 800, 950):
        assert column_on_other_scale(X[:stop], X[stop:]) is None
    noise = RNG.randn(1000, 4)
    scaled = np.hstack([StandardScaler().fit(time[:800]).transform(time), noise])
    assert column_on_other_scale(scaled[:800], scaled[800:]) is None


def test_outliers_and_new_values_of_a_constant_column_are_not_another_scale():
    X = RNG.randn(200, 4)
    X[:, 3] = 7.0
    validation = RNG.randn(50, 4)
    validation[:10] *= 1e9
    validation[:, 3] = -7.0
    assert column_on_other_scale(X, validation) is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_rows", [40, 0.3])
@pytest.mark.parametrize("scaler", [StandardScaler(), PowerTransformer()], ids=str)
@pytest.mark.parametrize("name", SETS)
def test_features_that_are_not_standardized_are_on_another_scale(name, scaler, n_rows):
    training, validation = train_test_split(SETS[name][0], test_size=n_rows, random_state=0)
    assert column_on_other_scale(scaler.fit_transform(training), validation) is not None


@pytest.mark.parametrize(
    "scaler", [MinMaxScaler(), MaxAbsScaler(), RobustScaler(), QuantileTransformer(n_quantiles=9)]
)
@pytest.mark.parametrize("name", [name for name in SETS if name != "diabetes, scaled"])
def test_features_that_are_not_scaled_are_on_another_scale(name, scaler):
    training, validation = train_test_split(SETS[name][0], test_size=0.3, random_state=0)
    assert column_on_other_scale(scaler.fit_transform(training), validation) is not None


@pytest.mark.parametrize("name", SETS)
def test_features_that_only_validation_data_have_scaled_are_on_another_scale(name):
    training, validation = train_test_split(SETS[name][0], test_size=0.3, random_state=0)
    validation = StandardScaler().fit(training).transform(validation)
    assert column_on_other_scale(training, validation) is not None


@pytest.mark.parametrize("name", ["diabetes", "housing"])
def test_targets_that_are_not_standardized_are_on_another_scale(name):
    parts = train_test_split(columns(SETS[name][1]), test_size=0.3, random_state=0)
    training, validation = parts
    assert column_on_other_scale(StandardScaler().fit_transform(training), validation) == 0


def test_the_column_that_differs_most_is_returned():
    training, validation = RNG.randn(300, 6), RNG.randn(100, 6)
    validation[:, 4] = 50 + 10 * validation[:, 4]
    assert column_on_other_scale(training, validation) == 4
    validation = 0.01 * RNG.randn(100, 6)
    validation[:, 2] = 1.7
    assert column_on_other_scale(training, validation) == 2
    training, validation = sp.csr_array(training), sp.csr_array(validation)
    assert column_on_other_scale(training, validation) == 2


def test_large_data_are_sampled():
    class Spy(np.ndarray):
        read = 0

        def __getitem__(self, rows):
            taken = np.asarray(super().__getitem__(rows))
            Spy.read += taken.size
            return taken

    X = RNG.randn(100_000, 4)
    assert column_on_other_scale(X.view(Spy), (X + 100).view(Spy)) is not None
    assert Spy.read == 2 * SAMPLE_ROWS * 4


X, y = load_breast_cancer(return_X_y=True)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = train_test_split(X, y, random_state=0)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_features_that_a_pipeline_does_not_transform_warn(container, solver):
    mlp = TorchMLPClassifier(max_iter=3, solver=solver, random_state=0)
    rows = dict(X_val=container(X_VAL), y_val=Y_VAL)
    with config_context(enable_metadata_routing=True):
        mlp.set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler(with_mean=container is np.asarray)), ("mlp", mlp)]
        message = (
            r"X_val seems to be on a different scale than X: column \d+ has values from .* to .*"
        )
        with pytest.warns(UserWarning, match=message + r"transform_input=\['X_val'\]"):
            fit_quietly(Pipeline(steps), container(X_TRAIN), Y_TRAIN, **rows)
        fit_quietly(Pipeline(steps, transform_input=["X_val"]), container(X_TRAIN), Y_TRAIN, **rows)


@pytest.mark.parametrize("outputs", [1, 2])
def test_targets_that_a_meta_estimator_does_not_transform_warn(outputs):
    X, y = load_diabetes(return_X_y=True)
    y = y if outputs == 1 else np.column_stack([y, -y])
    scaler = StandardScaler().fit(columns(y))
    model = TransformedTargetRegressor(
        TorchMLPRegressor(max_iter=3, random_state=0), transformer=scaler
    )
    message = (
        r"y_val seems to be on a different scale than y: column 0 .*TransformedTargetRegressor .*"
        r"use normalize_y=True instead"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        fit_quietly(model, X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert not any("X_val seems" in str(warning.message) for warning in caught)
    y_val = scaler.fit(columns(y[:300])).transform(columns(y[300:])).squeeze()
    fit_quietly(model, X[:300], y[:300], X_val=X[300:], y_val=y_val)
    normalized = TorchMLPRegressor(normalize_y=True, max_iter=3, random_state=0)
    fit_quietly(normalized, X[:300], y[:300], X_val=X[300:], y_val=y[300:])


def test_the_warning_points_at_the_caller_and_leaves_the_model():
    mlp = TorchMLPClassifier(max_iter=2, random_state=0)
    training = StandardScaler().fit_transform(X_TRAIN)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mlp.fit(training, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
    files = {re.sub(r".*/", "", w.filename) for w in caught if "scale" in str(w.message)}
    assert files == {"test_validation_scale.py"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="different scale"):
            mlp.fit(training, Y_TRAIN, X_val=X_VAL, y_val=Y_VAL)
    assert mlp.predict(training).shape == Y_TRAIN.shape
