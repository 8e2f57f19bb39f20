"""Comparison of a fit with that of scikit-learn, as far as rounding errors permit it."""

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from helpers import assert_same_fit, assert_same_weights
from hypothesis import event

# Errors and warnings that scikit-learn does not have, by a difference that
# docs/guide/reproducibility.md lists. These fits are not compared.
DOCUMENTED_MESSAGES = {
    "one class is missing in a part of the split": r"early_stopping.* class|least populated class",
    "divergence": r"Training diverged in|No validation score was finite",
}
# The beginning of a warning that scikit-learn does not have.
ADVICE = "Training diverged: "


@dataclass
class Outcome:
    """What calls of an estimator lead to."""

    estimator: Any
    error: Exception | None = None
    messages: set = field(default_factory=set)


def run(estimator, calls):
    """Make calls, until one of them fails. Return the `Outcome`.

    Parameters
    ----------
    estimator : estimator
    calls : list of callables
        They are called with the estimator.
    """
    outcome = Outcome(estimator)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            for call in calls:
                call(estimator)
        except Exception as error:
            outcome.error = error
    # Those of NumPy and torch, about overflows and conversions, are not the estimator's.
    outcome.messages = {
        (w.category.__name__, str(w.message))
        for w in caught
        if not issubclass(w.category, (RuntimeWarning, DeprecationWarning))
    }
    return outcome


def perturbed(X, seed=0):
    """Return X with relative changes of a few rounding errors, another one for each value."""
    X = X.tocsr() if sp.issparse(X) else np.asarray(X)
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    X = X.astype(dtype)
    values = X.data if sp.issparse(X) else X
    size = 5e-7 if dtype is np.float32 else 1e-15
    values *= (1 + size * np.random.RandomState(seed).uniform(-1, 1, values.shape)).astype(dtype)
    return X


def perturbed_parameters(estimator, seed):
    """Return the learning rate and alpha with relative changes of a few rounding errors."""
    random = np.random.RandomState(seed)
    names = ("alpha", "learning_rate_init")
    return {
        name: float(getattr(estimator, name)) * (1 + 1e-15 * random.uniform(-1, 1))
        for name in names
    }


def documented_difference(ours, theirs):
    """Return the name of a documented difference between two outcomes, or None."""
    texts = [str(ours.error), *(text for _, text in ours.messages)]
    for name, pattern in DOCUMENTED_MESSAGES.items():
        if any(re.search(pattern, text) for text in texts):
            return name
    if isinstance(theirs.error, ZeroDivisionError):
        return "a batch without weight"
    if ours.error is None and ours.estimator.solver == "lbfgs" and is_float32(ours.estimator):
        return "L-BFGS of scikit-learn computes in float64"
    return None


def assert_same_outcome(ours, theirs, X, repeat):
    """Assert that two estimators have the same results, warnings and attributes.

    If they differ, other fits decide whether rounding errors are the reason: those of scikit-learn
    for data and parameters with relative changes of 1e-15. If one of them differs as well, the fit
    is chaotic, and is not compared.

    Parameters
    ----------
    ours, theirs : Outcome
    X : array-like
    repeat : callable
        Returns the outcome of scikit-learn for a changed X, and parameters from
        `perturbed_parameters`.
    """
    if documented := documented_difference(ours, theirs):
        event(f"not compared: {documented}")
        return
    if theirs.error is not None or ours.error is not None:
        assert isinstance(ours.error, (ValueError, TypeError)), (ours.error, theirs.error)
        assert theirs.error is not None, ours.error
        event("both raise an error")
        return
    rtol, atol = tolerances(ours.estimator)
    try:
        assert_equal_outcomes(ours, theirs, X, rtol, atol)
    except AssertionError:
        if not is_chaotic(theirs, X, repeat, rtol, atol):
            raise
        event("not compared: chaotic")
    else:
        event("equal")


def is_float32(estimator):
    return estimator.coefs_[0].dtype == np.float32


def tolerances(ours):
    """Return (rtol, atol) of the comparison of weights, as in test_parity.py."""
    if is_float32(ours):
        return 1e-3, 1e-4
    return (1e-6, 1e-9) if ours.solver == "lbfgs" else (1e-9, 1e-13)


def assert_equal_outcomes(ours, theirs, X, rtol, atol):
    assert_same_messages(ours.messages, theirs.messages)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if is_float32(ours.estimator):
            assert_same_weights(theirs.estimator, ours.estimator, rtol, atol)
            assert ours.estimator.n_iter_ == theirs.estimator.n_iter_
        else:
            assert_same_fit(theirs.estimator, ours.estimator, X, rtol)


def assert_same_messages(ours, theirs):
    """Assert that the warnings are the same, except for the advice of ours."""
    ours = {item for item in ours if not item[1].startswith(ADVICE)}
    assert len(ours) == len(theirs), (ours, theirs)
    for category, text in ours:
        assert any(category == kind and text.startswith(start) for kind, start in theirs)


def is_chaotic(theirs, X, repeat, rtol, atol):
    """Return whether a change of X by rounding errors changes the result of scikit-learn."""
    for seed in range(5):
        again = repeat(perturbed(X, seed), perturbed_parameters(theirs.estimator, seed))
        try:
            assert again.error is None
            assert_equal_outcomes(again, theirs, X, rtol / 100, atol / 100)
        except AssertionError:
            return True
    return False
