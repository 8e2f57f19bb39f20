"""Property test: fits with random parameters give the same results together and one by one."""

import functools
import os
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.utils.parallel import Parallel, delayed

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

N_SEARCHES = int(os.environ.get("TORCHMLP_N_SEARCHES", 40))
CURVES = "loss_curve_", "validation_scores_", "validation_loss_curve_"
NUMBERS = "n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_"


def _data(rng, classifier):
    n_samples, n_features = rng.randint(12, 90), rng.randint(1, 7)
    seed = rng.randint(1000)
    kind = rng.choice(["binary", "multiclass", "several outputs"])
    if not classifier:
        n_targets = 3 if kind == "several outputs" else 1
        return make_regression(n_samples, n_features, n_targets=n_targets, random_state=seed)
    X, _ = make_classification(n_samples, 4, random_state=seed)
    X = X[:, : max(1, n_features % 5)]
    if kind == "several outputs":
        return X, rng.randint(2, size=(n_samples, 3))
    y = np.arange(n_samples) % (2 if kind == "binary" else 4)
    return X, rng.permutation(y)


def _common_parameters(rng, classifier):
    """Parameters that all fits of a search share."""
    hidden = [(), (5,), (8, 3), (4, 4, 4)][rng.randint(4)]
    solver = rng.choice(["adam", "sgd", "adamw", "lbfgs"], p=[0.4, 0.3, 0.2, 0.1])
    losses = ["log_loss", "hinge", "perceptron"]
    if not classifier:
        losses = ["squared_error", "absolute_error", "huber", "quantile", "gaussian"]
    return {
        "hidden_layer_sizes": hidden,
        "solver": str(solver),
        "loss": str(rng.choice(losses)),
        "activation": str(rng.choice(["relu", "tanh", "logistic", "identity", "gelu", "elu"])),
        "batch_size": ["auto", 1, 7, 16][rng.randint(4)],
        "early_stopping": bool(rng.rand() < 0.3),
        "dropout": float(rng.choice([0.0, 0.3], p=[0.8, 0.2])) if hidden else 0.0,
        "dtype": str(rng.choice(["auto", "float64"])),
        "max_iter": int(rng.randint(1, 25)),
    }


def _own_parameters(rng):
    """Parameters that differ between the fits of a search."""
    parameters = {
        "alpha": float(10 ** rng.uniform(-5, 1)),
        "learning_rate_init": float(10 ** rng.uniform(-4, -1)),
        "random_state": int(rng.randint(100)),
        "n_iter_no_change": int(rng.randint(1, 12)),
        "tol": float(rng.choice([1e-4, 1e-2, 0.5])),
        "learning_rate": str(rng.choice(["constant", "adaptive", "invscaling", "cosine"])),
        "shuffle": bool(rng.rand() < 0.8),
    }
    if rng.rand() < 0.05:
        parameters["learning_rate_init"] = 1e12  # diverges
    if rng.rand() < 0.05:
        parameters["alpha"] = -1.0  # is rejected
    return parameters


def _fit(model, X, y, weights, again):
    """Return the fitted model, or the text of its error, and the texts of the warnings."""
    options = {} if weights is None else {"sample_weight": weights}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y, **options)
            if again:
                model.set_params(warm_start=True).fit(X, y, **options)
        except ValueError as error:
            return str(error), [str(w.message) for w in caught]
    return model, [str(w.message) for w in caught]


def _fits(seed, factor=1.0):
    rng = np.random.RandomState(seed)
    classifier = rng.rand() < 0.6
    data = [_data(rng, classifier)]
    X, y = data[0]
    weights = [None, rng.rand(len(X)), rng.randint(0, 3, len(X)).astype(float) + (X[:, 0] > 0)]
    weights = weights[rng.randint(3)]
    base = (TorchMLPClassifier if classifier else TorchMLPRegressor)().set_params(
        **_common_parameters(rng, classifier)
    )
    own = [_own_parameters(rng) for _ in range(rng.randint(2, 16))]
    again = bool(rng.rand() < 0.2)
    half = rng.rand(len(X)) < 0.8
    parts = [slice(None), half]
    rows = [parts[int(rng.rand() < 0.3)] for _ in own]
    return [
        delayed(_fit)(
            clone(base).set_params(**parameters),
            X[part] * factor,
            y[part],
            None if weights is None else weights[part],
            again,
        )
        for parameters, part in zip(own, rows, strict=True)
    ]


def _numbers(result):
    """Return all fitted numbers of a model in one vector, with the names of those that are None."""
    values = {name: getattr(result, name, None) for name in NUMBERS + CURVES}
    values |= {f"weights {i}": array for i, array in enumerate(result.coefs_ + result.intercepts_)}
    arrays = [np.ravel(value) for value in values.values() if value is not None]
    return np.concatenate(arrays), [name for name, value in values.items() if value is None]


def _assert_equal(got, expected, perturbed):
    """Assert equality to 1e-9, or up to the effect of a rounding error in X on the fit.

    A loss that is not smooth, or a large learning rate, amplifies rounding errors. The warnings
    may then be those of the perturbed fit.
    """
    (mine, my_warnings), (theirs, their_warnings) = got, expected
    if isinstance(theirs, str):
        assert got == expected
        return
    mine, theirs = _numbers(mine), _numbers(theirs)
    assert mine[1] == theirs[1]
    same_shape = mine[0].shape == theirs[0].shape
    if same_shape and np.allclose(mine[0], theirs[0], rtol=1e-9, atol=1e-9, equal_nan=True):
        assert my_warnings == their_warnings
        return
    other, other_warnings = perturbed()
    assert my_warnings in (their_warnings, other_warnings)
    others = _numbers(other)
    if others[0].shape != theirs[0].shape:
        return  # the number of epochs depends on the rounding errors
    assert same_shape
    with np.errstate(all="ignore"):
        sensitivity = np.abs(others[0] - theirs[0]).max()
    if np.isfinite(sensitivity):
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-9, atol=1e-9 + 1e3 * sensitivity)


@pytest.mark.parametrize("seed", range(N_SEARCHES))
def test_random_fits_together_equal_the_same_fits_one_by_one(seed):
    expected = Parallel(n_jobs=1)(_fits(seed))
    with parallel_config(backend="torchmlp"):
        got = Parallel()(_fits(seed))
    perturbed = functools.cache(lambda: Parallel(n_jobs=1)(_fits(seed, 1 + 1e-15)))
    for i, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        _assert_equal(mine, theirs, lambda i=i: perturbed()[i])
