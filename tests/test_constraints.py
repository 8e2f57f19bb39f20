"""Tests for torchmlp.constraints: parameters are checked before training."""

import functools
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from helpers import OURS, assert_identical, fit_quietly, iris
from sklearn.model_selection import GridSearchCV

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
LBFGS = {"solver": "lbfgs"}
before_training = pytest.mark.usefixtures("no_training")


@before_training
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"batch_size": 0}, r"'batch_size' parameter of Torch.* Got 0 instead"),
        ({"batch_size": "all"}, r"'batch_size' parameter of Torch.* Got 'all' instead"),
        ({"hidden_layer_sizes": 0}, r"'hidden_layer_sizes' parameter of Torch.* Got 0 instead"),
        (
            {"hidden_layer_sizes": (5, 0)},
            r"hidden_layer_sizes must be > 0, got \[5, 0\].*linear model",
        ),
        ({"hidden_layer_sizes": (5, -2)}, r"hidden_layer_sizes must be > 0, got \[5, -2\]"),
        ({"hidden_layer_sizes": (5.5,)}, r"hidden_layer_sizes must be integers.*\[5.5\]"),
        ({"activation": "rleu"}, r"'activation' parameter of Torch.* Got 'rleu' instead"),
        ({"solver": "newton"}, r"'solver' parameter of Torch.* Got 'newton' instead"),
        ({"hidden_layer_sizes": 2**63}, r"hidden_layer_sizes must be at most 2147483647, got"),
        ({"alpha": -1}, r"'alpha' parameter of Torch.* Got -1 instead"),
        ({"alpha": 10**400}, r"'alpha' parameter of Torch.* in the range of float64. Got 1000"),
        ({"tol": Fraction(1, 2)}, r"'tol' parameter of Torch.* a number of Python or NumPy"),
        ({"max_iter": 0}, r"'max_iter' parameter of Torch.* Got 0 instead"),
        ({"learning_rate_init": 0}, r"'learning_rate_init' parameter of Torch"),
        ({"momentum": 1.5}, r"'momentum' parameter of Torch.* Got 1.5 instead"),
        ({"dtype": "float16"}, r"'dtype' parameter of Torch.* Got 'float16' instead"),
        ({"device": 3.5}, r"'device' parameter of Torch.* Got 3.5 instead"),
        ({"device": "gpu"}, r"device='gpu' is not a valid torch device. Use 'auto', 'cpu'"),
        ({"device": "meta"}, r"device='meta' is not available .*Use device='cpu'"),
        ({"device": "cuda:99"}, r"device='cuda:99' is not available .*Use device='cpu'"),
        ({"n_iter_no_change": "all"}, r"'n_iter_no_change' parameter of Torch"),
        ({"n_iter_no_change": 2.5}, r"'n_iter_no_change' parameter of Torch"),
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", OURS)
def test_invalid_parameters_raise(estimator, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(**parameters).fit(X, y)


@pytest.mark.parametrize("estimator", OURS)
def test_patience_can_be_any_int(estimator):
    few, many = (
        fit_quietly(estimator(max_iter=3, tol=9.0, n_iter_no_change=n, random_state=0), X, y)
        for n in (1000, 10**400)
    )
    assert_identical(few, many)


@pytest.mark.parametrize("weight", ["x", None])
def test_class_weight_that_is_not_a_number_raises(weight):
    with pytest.raises((TypeError, ValueError), match="class_weight"):
        TorchMLPClassifier(class_weight={0: weight}).fit(X, y)


@before_training
@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": ["relu"]}, r"activation=\['relu'\] has 1 functions for 2 hidden layers"),
        ({"activation": ["relu", "rleu"]}, r"has 'rleu', which is neither one of \['elu', .*\]"),
        ({"dropout": [0.1]}, r"dropout=\[0.1\] has 1 values for 2 hidden layers"),
        ({"dropout": [0.1, 1.0]}, r"dropout=\[0.1, 1.0\] must be numbers in \[0, 1\)"),
        ({"dropout": 1.0}, "'dropout' parameter of Torch.* Got 1.0 instead"),
        (
            {"solver": functools.partial(torch.optim.SGD, lr=0.1)},
            "sets lr, but the learning rate is set by learning_rate_init=0.001",
        ),
        ({"init": "ones"}, "'init' parameter of Torch.* Got 'ones' instead"),
        ({"init": "zeros"}, r"init='zeros' requires a linear model, hidden_layer_sizes=\(\)"),
        ({"max_grad_norm": 0.0}, "'max_grad_norm' parameter of Torch.* Got 0.0 instead"),
        ({"average": 10}, "'average' parameter of Torch.* Got 10 instead"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_invalid_combinations_raise(estimator, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(hidden_layer_sizes=(5, 4), **parameters).fit(X, y)


def _fit(estimator, **parameters):
    """Return the fitted estimator and the texts of its warnings except ConvergenceWarning."""
    mlp = estimator(hidden_layer_sizes=(8, 5), max_iter=4, random_state=0, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mlp.fit(X, y)
    return mlp, [str(w.message) for w in caught if w.category is UserWarning]


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("ignored", "more", "named"),
    [
        ({"dropout": 0.3}, LBFGS, "dropout=0.3 with solver='lbfgs'"),
        ({"dropout": [0.3, 0.0]}, LBFGS, "dropout=[0.3, 0.0] with solver='lbfgs'"),
        ({"max_grad_norm": 0.1}, LBFGS, "max_grad_norm=0.1 with solver='lbfgs'"),
        ({"average": True}, LBFGS, "average=True with solver='lbfgs'"),
        ({"learning_rate": "cosine"}, LBFGS, "learning_rate='cosine' with solver='lbfgs'"),
        ({"learning_rate": "one_cycle"}, LBFGS, "learning_rate='one_cycle' with solver='lbfgs'"),
        ({"scoring": "r2"}, {}, "scoring='r2' with early_stopping=False"),
    ],
)
def test_ignored_parameters_are_named_and_have_no_effect(estimator, ignored, more, named):
    mlp, messages = _fit(estimator, **more, **ignored)
    assert messages == [f"These parameters have no effect and are ignored: {named}."]
    assert_identical(mlp, _fit(estimator, **more)[0])


def test_quantile_of_another_loss_is_ignored():
    mlp, messages = _fit(TorchMLPRegressor, quantile=0.9)
    named = "quantile=0.9 with loss='squared_error'"
    assert messages == [f"These parameters have no effect and are ignored: {named}."]
    assert_identical(mlp, _fit(TorchMLPRegressor)[0])


def test_one_warning_names_all_ignored_parameters():
    ignored = {"dropout": 0.2, "max_grad_norm": 1.0, "learning_rate": "cosine", "quantile": 0.1}
    _, (message,) = _fit(TorchMLPRegressor, solver="lbfgs", scoring="r2", **ignored)
    for name, value in ignored.items():
        assert f"{name}={value!r} with " in message
    assert "scoring='r2' with early_stopping=False" in message


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
def test_parameters_that_scikit_learn_ignores_do_not_warn(estimator, rate):
    for solver in ("adam", "lbfgs"):
        assert _fit(estimator, solver=solver, learning_rate=rate, momentum=0.5)[1] == []


@pytest.mark.parametrize("estimator", OURS)
def test_effective_parameters_are_not_named(estimator):
    parameters = {"dropout": 0.2, "max_grad_norm": 1.0, "learning_rate": "cosine"}
    assert _fit(estimator, **parameters, early_stopping=True, scoring="loss")[1] == []
    more = {"loss": "quantile", "quantile": 0.9}
    assert estimator is TorchMLPClassifier or _fit(estimator, **more)[1] == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", OURS)
def test_search_scores_combinations_with_ignored_parameters(estimator):
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


@before_training
@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("parameters", "suggestion"),
    [
        ({"activation": "ReLU"}, "Did you mean activation='relu'"),
        ({"activation": "SWISH"}, "Did you mean activation='silu'"),
        ({"activation": "sigmoid"}, "Did you mean activation='logistic'"),
        ({"solver": "RMSprop"}, "Use solver=torch.optim.RMSprop"),
        ({"solver": "Adam"}, "Did you mean solver='adam'"),
        ({"learning_rate": 0.01}, "Did you mean learning_rate_init=0.01"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_error_suggests_the_intended_value(estimator, parameters, suggestion):
    with pytest.raises(ValueError, match=suggestion):
        estimator(**parameters).fit(X, y)


def test_hidden_layers_in_place_of_the_loss():
    with pytest.raises(ValueError, match=r"Use hidden_layer_sizes=\(10,\)"):
        TorchMLPRegressor((10,)).fit(X, y)
