"""Fuzzing: random parameters and data give scikit-learn's results.

`assert_same_outcome` says what is compared, and how chaotic fits are recognized.
"""

import functools

import numpy as np
from comparison import assert_same_outcome, run
from helpers import CLASSIFIERS, REGRESSORS, requires_sklearn
from hypothesis import given, note
from hypothesis import strategies as st
from strategies import SEEDS, parameters, problems

pytestmark = requires_sklearn("1.7", "sample weights and losses of MLPClassifier and MLPRegressor")


def _random_state(kind, seed):
    """Return a value of `random_state` that has not been used."""
    if kind == "None":
        np.random.seed(seed)
        return None
    return {"int": int, "numpy": np.uint32, "RandomState": np.random.RandomState}[kind](seed)


@given(data=st.data())
def test_random_configurations_give_the_results_of_sklearn(data):
    problem = data.draw(problems())
    chosen = data.draw(parameters(problem))
    kind = data.draw(st.sampled_from(["int", "numpy", "RandomState", "None"]))
    seed = data.draw(SEEDS)
    continued = chosen.get("warm_start") and not chosen["early_stopping"]

    def fit(estimator, X):
        estimator.fit(X, problem.y, problem.sample_weight)

    def outcome(cls, X, changed=None):
        calls = [lambda estimator: fit(estimator, X)] * (2 if continued else 1)
        values = {"random_state": _random_state(kind, seed), **chosen, **(changed or {})}
        return run(cls(**values), calls)

    pair = CLASSIFIERS if problem.is_classification else REGRESSORS
    theirs, ours = (outcome(cls, problem.X) for cls in pair)
    note(f"theirs: {theirs}\nours: {ours}")
    assert_same_outcome(ours, theirs, problem.X, functools.partial(outcome, pair[0]))
    if problem.is_classification and ours.error is None and theirs.error is None:
        np.testing.assert_array_equal(ours.estimator.classes_, theirs.estimator.classes_)
        assert ours.estimator.classes_.dtype == theirs.estimator.classes_.dtype
