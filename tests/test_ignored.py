"""Parameters without effect beside others are ignored with a warning, so that searches can mix."""

import warnings

import numpy as np
import pytest
from helpers import OURS, assert_identical, iris
from sklearn.model_selection import GridSearchCV

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
LBFGS = {"solver": "lbfgs"}
ESTIMATORS = pytest.mark.parametrize("estimator", OURS)


def _fit(estimator, **parameters):
    """Return the fitted estimator and the texts of its warnings, but those on convergence."""
    mlp = estimator(hidden_layer_sizes=(8, 5), max_iter=4, random_state=0, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mlp.fit(X, y)
    return mlp, [str(w.message) for w in caught if w.category is UserWarning]


@ESTIMATORS
@pytest.mark.parametrize(
    ("ignored", "more", "named"),
    [
        ({"dropout": 0.3}, LBFGS, "dropout=0.3 with solver='lbfgs'"),
        ({"dropout": [0.3, 0.0]}, LBFGS, "dropout=[0.3, 0.0] with solver='lbfgs'"),
        ({"max_grad_norm": 0.1}, LBFGS, "max_grad_norm=0.1 with solver='lbfgs'"),
        ({"learning_rate": "cosine"}, LBFGS, "learning_rate='cosine' with solver='lbfgs'"),
        ({"learning_rate": "one_cycle"}, LBFGS, "learning_rate='one_cycle' with solver='lbfgs'"),
        ({"scoring": "r2"}, {}, "scoring='r2' with early_stopping=False"),
    ],
)
def test_ignored_parameters_are_named_and_have_no_effect(estimator, ignored, more, named):
    mlp, told = _fit(estimator, **more, **ignored)
    assert told == [f"These parameters have no effect and are ignored: {named}."]
    assert_identical(mlp, _fit(estimator, **more)[0])


def test_quantile_of_another_loss_is_ignored():
    mlp, told = _fit(TorchMLPRegressor, quantile=0.9)
    named = "quantile=0.9 with loss='squared_error'"
    assert told == [f"These parameters have no effect and are ignored: {named}."]
    assert_identical(mlp, _fit(TorchMLPRegressor)[0])


def test_one_warning_names_all():
    ignored = {"dropout": 0.2, "max_grad_norm": 1.0, "learning_rate": "cosine", "quantile": 0.1}
    _, (told,) = _fit(TorchMLPRegressor, solver="lbfgs", scoring="r2", **ignored)
    for name, value in ignored.items():
        assert f"{name}={value!r} with " in told
    assert "scoring='r2' with early_stopping=False" in told


@ESTIMATORS
@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
def test_what_scikit_learn_ignores_is_ignored_without_a_warning(estimator, rate):
    for solver in ("adam", "lbfgs"):
        assert _fit(estimator, solver=solver, learning_rate=rate, momentum=0.5)[1] == []


@ESTIMATORS
def test_effective_parameters_are_not_named(estimator):
    parameters = {"dropout": 0.2, "max_grad_norm": 1.0, "learning_rate": "cosine"}
    assert _fit(estimator, **parameters, early_stopping=True, scoring="loss")[1] == []
    more = {"loss": "quantile", "quantile": 0.9}
    assert estimator is TorchMLPClassifier or _fit(estimator, **more)[1] == []


@ESTIMATORS
def test_search_over_solvers_and_what_some_of_them_ignore_has_a_score_for_each(estimator):
    grid = {
        "solver": ["adam", "sgd", "lbfgs"],
        "dropout": [0.0, 0.2],
        "learning_rate": ["constant", "invscaling", "one_cycle"],
        "max_grad_norm": [None, 1.0],
    }
    mlp = estimator(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    search = GridSearchCV(mlp, grid, cv=2)
    with pytest.warns(UserWarning, match="no effect and are ignored"):
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 36
    assert np.isfinite(scores).all()
    of_lbfgs = scores[search.cv_results_["param_solver"] == "lbfgs"]
    assert len(set(of_lbfgs)) == 1
