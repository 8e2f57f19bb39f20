"""Data, estimators and assertions that the tests share."""

import functools
import inspect
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.backprop import Backprop
from torchmlp.training.distribution_losses import quantile_loss
from torchmlp.training.losses import BINARY_LOSSES, MULTICLASS_LOSSES, REGRESSOR_LOSSES

SKLEARN_VERSION = parse_version(sklearn.__version__)


needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch was built without gloo",
)


def requires_sklearn(version, feature):
    """Return a mark that skips a test with older versions of scikit-learn."""
    return pytest.mark.skipif(
        parse_version(version) > SKLEARN_VERSION,
        reason=f"{feature}: new in scikit-learn {version}",
    )


# Estimator checks that fail for every estimator: fitted attributes are arrays of NumPy.
ALWAYS_EXPECTED = {"check_array_api_same_namespace": "predictions take arrays of any library"}
# Since scikit-learn 1.8. Before, the configuration of pytest decides.
HAS_STRICT = "xfail_strict" in inspect.signature(parametrize_with_checks).parameters
STRICT = {"xfail_strict": True} if HAS_STRICT else {}

QUANTILES = (0.5, 0.1, 0.9, 0.25)
# Every loss of the engine, by its name with the kind of target.
LOSSES = {
    **{f"binary_{name}": loss for name, loss in BINARY_LOSSES.items()},
    **{f"multiclass_{name}": loss for name, loss in MULTICLASS_LOSSES.items()},
    **REGRESSOR_LOSSES,
    "quantiles": quantile_loss(QUANTILES),
}
CLASSIFIERS = (MLPClassifier, TorchMLPClassifier)
REGRESSORS = (MLPRegressor, TorchMLPRegressor)
BEFORE_1_7 = parse_version("1.7") > SKLEARN_VERSION
OURS = (TorchMLPClassifier, TorchMLPRegressor)


def n_targets_of(loss, n_outputs):
    """Return the number of columns of the encoded y for a loss of `LOSSES`."""
    if loss.startswith("multiclass") or loss == "quantiles":
        return 1
    return n_outputs // 2 if loss == "gaussian" else n_outputs


def focal_loss(raw, y, gamma=2.0):
    """The focal loss of Lin et al., for class codes or for labels of 0 and 1."""
    if y.ndim == 1:
        entropy = cross_entropy(raw, y, reduction="none")
        return (1 - torch.exp(-entropy)) ** gamma * entropy
    entropy = binary_cross_entropy_with_logits(raw, y, reduction="none")
    return ((1 - torch.exp(-entropy)) ** gamma * entropy).sum(dim=1)


def _mlp_regressor_with_a_loss(**parameters):
    if BEFORE_1_7:
        pytest.skip("losses of MLPRegressor: new in scikit-learn 1.7")
    return MLPRegressor(**parameters)


POISSON_REGRESSORS = (_mlp_regressor_with_a_loss, TorchMLPRegressor)


def _binary():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:250], np.array(["benign", "malign"])[y[:250]]


def _multiclass():
    X, y = load_digits(return_X_y=True)
    return X[:250] / 16, y[:250]


def _multilabel():
    X, y = make_multilabel_classification(n_samples=250, n_features=12, random_state=0)
    return scale(X), y


def _regression():
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:250], scale(y)[:250]


def _multioutput():
    X, y = load_linnerud(return_X_y=True)
    return scale(np.tile(X, (12, 1))), scale(np.tile(y, (12, 1)))


def _counts():
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:250], np.round(y[:250] / 50)


# name -> (the two estimators, X, y, parameters that the target needs)
TASKS = {
    "binary": (CLASSIFIERS, *_binary(), {}),
    "multiclass": (CLASSIFIERS, *_multiclass(), {}),
    "multilabel": (CLASSIFIERS, *_multilabel(), {}),
    "regression": (REGRESSORS, *_regression(), {}),
    "multioutput": (REGRESSORS, *_multioutput(), {}),
    "poisson": (POISSON_REGRESSORS, *_counts(), {"loss": "poisson"}),
}


# name of an activation -> the function in torch
TORCH_ACTIVATIONS = {
    name: getattr(torch.nn.functional, name) for name in set(ACTIVATIONS) - {"identity", "logistic"}
}
TORCH_ACTIVATIONS |= {"identity": lambda z: z, "logistic": torch.sigmoid}
# torch's optimizers that cannot make the steps of a stochastic solver
REFUSED_OPTIMIZERS: tuple = torch.optim.LBFGS, torch.optim.SparseAdam
HAS_MUON = hasattr(torch.optim, "Muon")  # new in torch 2.9
if HAS_MUON:
    REFUSED_OPTIMIZERS += (torch.optim.Muon,)


def muon(params, lr):
    """Muon for the weights, and AdamW for the intercepts, as its documentation recommends."""
    if not HAS_MUON:
        pytest.skip("torch.optim.Muon: new in torch 2.9")
    weights = [p for p in params if p.ndim == 2]
    intercepts = [p for p in params if p.ndim == 1]
    return [torch.optim.Muon(weights, lr=lr), torch.optim.AdamW(intercepts, lr=lr / 10)]


def slow_output_layer(params, lr):
    """Adam with a tenth of the rate in the output layer."""
    *hidden, weight, bias = params
    groups = [{"params": hidden}, {"params": [weight, bias], "lr": lr / 10}]
    return torch.optim.Adam(groups, lr=lr)


# name -> a value of the parameter `solver` that uses an optimizer of torch
OPTIMIZERS = {
    **{
        value.__name__: value
        for value in vars(torch.optim).values()
        if isinstance(value, type) and value not in (*REFUSED_OPTIMIZERS, torch.optim.Optimizer)
    },
    "foreach": functools.partial(torch.optim.NAdam, foreach=True, weight_decay=0.1),
    "fused": functools.partial(torch.optim.AdamW, fused=True, amsgrad=True),
    "momentum": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "centered": functools.partial(torch.optim.RMSprop, centered=True, momentum=0.5),
    "groups": slow_output_layer,
}
if HAS_MUON:
    OPTIMIZERS["muon"] = muon


def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def fit_quietly(estimator, *args, **kwargs):
    """Fit, without the warning that max_iter was reached."""
    if isinstance(estimator, (MLPClassifier, MLPRegressor)) and BEFORE_1_7:
        if len(args) > 2 and args[2] is not None:
            pytest.skip("sample weights of MLPClassifier and MLPRegressor: new in scikit-learn 1.7")
        args = args[:2]
        if estimator.early_stopping and np.asarray(args[1]).dtype.kind == "U":
            pytest.skip("MLPClassifier stops early with string labels since scikit-learn 1.7")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*args, **kwargs)


def fit_pair(task, sample_weight=None, convert=None, **parameters):
    """Fit scikit-learn's estimator and ours to one task, with one seed."""
    estimators, X, y, needed = TASKS[task]
    X = X if convert is None else convert(X)
    return X, *(
        fit_quietly(estimator(**{"random_state": 3, **needed, **parameters}), X, y, sample_weight)
        for estimator in estimators
    )


def call_at_every_step(monkeypatch, function):
    """Call a function without arguments before each batch, and each evaluation by L-BFGS."""
    bind = Backprop.bind

    def bind_with_call(backprop, batch):
        bind(backprop, batch)
        batch.calls = [function, *batch.calls]

    monkeypatch.setattr(Backprop, "bind", bind_with_call)


def some_weights(n_rows):
    """Return weights between 0 and 2.25, some of them 0."""
    return np.random.RandomState(5).randint(0, 4, n_rows) * 0.75


def weights_of(estimator):
    return estimator.coefs_ + estimator.intercepts_


def assert_same_weights(a, b, rtol=1e-9, atol=1e-13):
    assert len(weights_of(a)) == len(weights_of(b))
    for one, other in zip(weights_of(a), weights_of(b), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def assert_identical(a, b):
    """Assert that the weights are equal to the last bit."""
    assert_same_weights(a, b, rtol=0, atol=0)


ATTRIBUTES = (
    "n_iter_",
    "t_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "n_features_in_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
)


def assert_same_fit(theirs, ours, X, rtol=1e-9):
    """Assert that ours has every weight, attribute and prediction of scikit-learn's estimator."""
    assert_same_weights(theirs, ours, rtol=rtol)
    for name in ATTRIBUTES:
        if not hasattr(theirs, name):
            continue
        expected, got = getattr(theirs, name), getattr(ours, name)
        if expected is None or isinstance(expected, str):
            assert got == expected, name
        else:
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-13, err_msg=name)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, method):
            with np.errstate(divide="ignore"):  # the logarithm of a probability of 0
                expected, got = getattr(theirs, method)(X), getattr(ours, method)(X)
            assert got.dtype == expected.dtype
            if sp.issparse(expected):
                expected, got = expected.toarray(), got.toarray()
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-13)
            else:
                np.testing.assert_array_equal(got, expected)


def around_target(regressor, **parameters):
    """Return a TransformedTargetRegressor, by default of the logarithm of y."""
    parameters = parameters or {"func": np.log, "inverse_func": np.exp}
    return TransformedTargetRegressor(regressor, **parameters)


def nested_regressors(network):
    """Return the network in every order of Pipeline, search and TransformedTargetRegressor."""
    return {
        "alone": around_target(network),
        "pipeline inside": around_target(make_pipeline(StandardScaler(), network)),
        "pipeline outside": make_pipeline(StandardScaler(), around_target(network)),
        "search inside": around_target(GridSearchCV(network, {"alpha": [1.0]}, cv=2)),
        "search outside": GridSearchCV(around_target(network), {"regressor__alpha": [1.0]}, cv=2),
        "twice": around_target(around_target(network, transformer=StandardScaler())),
    }
