"""Bad input gets an error that names the parameter, the value and the remedy, before training."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import OURS, TASKS, call_at_every_step, fit_quietly, iris, weights_of

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.encoding import ClassEncoder

X, y = iris()


@pytest.fixture(autouse=True)
def _no_training(monkeypatch, request):
    """Fail a test whose bad input is not refused before the first step."""
    if "trains" not in request.keywords:
        call_at_every_step(monkeypatch, lambda: pytest.fail("training began"))


def _with(value):
    changed = X.copy()
    changed[3, 1] = value
    return changed


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (_with(np.nan), y, ValueError, "Input X contains NaN"),
        (_with(np.inf), y, ValueError, "Input X contains infinity"),
        (X[:0], y[:0], ValueError, r"Found array with 0 sample\(s\)"),
        (X[:, :0], y, ValueError, r"Found array with 0 feature\(s\)"),
        (X, y[:-1], ValueError, "inconsistent numbers of samples: .150, 149."),
        (X[:, 0], y, ValueError, r"(?s)Expected 2D array, got 1D array instead.*Reshape your data"),
        (X[None], y, ValueError, "Found array with dim 3"),
        (X.astype(complex), y, ValueError, "Complex data not supported"),
        (
            np.array([["red", 1.0], ["blue", 2.0]], dtype=object),
            y[:2],
            ValueError,
            "X cannot be used: .*'red'.*OneHotEncoder",
        ),
        (X, None, ValueError, "requires y to be passed"),
        (X, np.where(y == 0, np.nan, y), ValueError, "Input y contains NaN"),
        (sp.csr_array(_with(np.nan)), y, ValueError, "Input X contains NaN"),
    ],
    ids=[
        "nan",
        "inf",
        "empty",
        "no_features",
        "length",
        "1d",
        "3d",
        "complex",
        "object",
        "no_y",
        "nan_y",
        "sparse_nan",
    ],
)
def test_data(estimator, X, y, error, message):
    with pytest.raises(error, match=message):
        estimator().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"batch_size": 0}, r"'batch_size' parameter of Torch.* Got 0 instead"),
        ({"batch_size": "all"}, r"'batch_size' parameter of Torch.* Got 'all' instead"),
        ({"hidden_layer_sizes": 0}, r"'hidden_layer_sizes' parameter of Torch.* Got 0 instead"),
        ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be > 0, got \[5, 0\].*Leave"),
        ({"hidden_layer_sizes": (5, -2)}, r"hidden_layer_sizes must be > 0, got \[5, -2\]"),
        ({"hidden_layer_sizes": (5.5,)}, r"hidden_layer_sizes must be whole numbers.*\[5.5\]"),
        ({"activation": "rleu"}, r"'activation' parameter of Torch.* Got 'rleu' instead"),
        ({"solver": "newton"}, r"'solver' parameter of Torch.* Got 'newton' instead"),
        ({"alpha": -1}, r"'alpha' parameter of Torch.* Got -1 instead"),
        ({"max_iter": 0}, r"'max_iter' parameter of Torch.* Got 0 instead"),
        ({"learning_rate_init": 0}, r"'learning_rate_init' parameter of Torch"),
        ({"momentum": 1.5}, r"'momentum' parameter of Torch.* Got 1.5 instead"),
        ({"dtype": "float16"}, r"'dtype' parameter of Torch.* Got 'float16' instead"),
        ({"device": 3.5}, r"'device' parameter of Torch.* Got 3.5 instead"),
        ({"device": "gpu"}, r"device='gpu' is not a device that torch knows; use 'auto', 'cpu'"),
        ({"device": "meta"}, r"device='meta' was asked for, but .*Use device='cpu'"),
        ({"device": "cuda:99"}, r"device='cuda:99' was asked for, but .*Use device='cpu'"),
        ({"n_iter_no_change": 2.5}, r"'n_iter_no_change' parameter of Torch"),
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", OURS)
def test_parameters(estimator, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(**parameters).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none():
    with pytest.raises(ValueError, match=r"device='cuda' was asked for, but torch .* no such"):
        TorchMLPClassifier(device="cuda").fit(X, y)


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(150), "at least one non-zero number. Got sample_weight with 150 zeros"),
        (np.r_[-1.0, np.ones(149)], "sample_weight must not be negative, got -1.0"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)"),
        (np.full(150, np.nan), "Input sample_weight contains NaN"),
        (np.ones((150, 1)), "Sample weights must be 1D"),
    ],
    ids=["zero", "negative", "length", "nan", "2d"],
)
def test_sample_weight(estimator, weights, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(X, y, sample_weight=weights)
    kwargs = {"classes": [0, 1, 2]} if estimator is TorchMLPClassifier else {}
    with pytest.raises(ValueError, match=message):
        estimator().partial_fit(X, y, sample_weight=weights, **kwargs)


def test_weights_of_a_split_may_not_all_be_zero():
    weights = np.zeros(150)
    weights[0] = 1.0
    with pytest.raises(ValueError, match="at least one non-zero number"):
        TorchMLPRegressor(early_stopping=True, random_state=0).fit(X, y, weights)


@pytest.mark.parametrize("estimator", OURS)
def test_one_sample_is_too_few_for_early_stopping(estimator):
    with pytest.raises(ValueError, match=r"The validation set is too small.*validation_fraction"):
        estimator(early_stopping=True).fit(X[:1], y[:1])
    with pytest.raises(ValueError, match=r"The validation set is too small.*=0.0 of 150 samples"):
        estimator(early_stopping=True, validation_fraction=0.0).fit(X, y)
    with pytest.raises(ValueError, match=r"The validation set is too small.*of 9 samples"):
        TorchMLPRegressor(early_stopping=True, random_state=0).fit(X[:9], y[:9])


@pytest.mark.trains
@pytest.mark.parametrize("estimator", OURS)
def test_one_sample_is_enough_otherwise_as_in_scikit_learn(estimator):
    mlp = fit_quietly(estimator(random_state=0, max_iter=3), X[:1], y[:1])
    assert mlp.predict(X).shape == (150,)


@pytest.mark.trains
@pytest.mark.parametrize("estimator", OURS)
def test_prediction(estimator):
    mlp = fit_quietly(estimator(random_state=0, max_iter=2), X, y)
    with pytest.raises(ValueError, match=r"X has 3 features, but Torch.* is expecting 4 features"):
        mlp.predict(X[:, :3])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        mlp.predict(_with(np.nan))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        mlp.predict(X[:0])


@pytest.mark.parametrize("estimator", OURS)
def test_not_fitted(estimator):
    from sklearn.exceptions import NotFittedError

    methods = ["predict", "predict_proba", "predict_log_proba", "predict_logits"]
    for method in methods:
        if hasattr(estimator(), method):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                getattr(estimator(), method)(X)


@pytest.mark.trains
def test_partial_fit():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        TorchMLPClassifier().partial_fit(X, y)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as info:
        TorchMLPClassifier(solver="lbfgs").partial_fit(X, y)
    assert "only available for stochastic optimizers. lbfgs is not" in str(info.value.__cause__)
    mlp = TorchMLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"`y` has classes not in.*7.*All classes must be"):
        mlp.partial_fit(X, np.where(y == 0, 7, y))
    with pytest.raises(ValueError, match="is not the same as on last call"):
        mlp.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
        mlp.partial_fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"partial_fit does not support early_stopping=True; set"):
        mlp.set_params(early_stopping=True).partial_fit(X, y)


@pytest.mark.trains
@pytest.mark.parametrize("task", TASKS)
def test_failures_leave_a_fitted_model_as_it_was(task):
    (_, ours), X, y, needed = TASKS[task]
    mlp = fit_quietly(ours(random_state=0, max_iter=3, warm_start=True, **needed), X, y)
    before = dict(vars(mlp))
    weights = [w.copy() for w in weights_of(mlp)]
    nan = X.copy()
    nan[0, 0] = np.nan
    huge = X * 1e200
    for method in (mlp.fit, mlp.partial_fit):
        for arguments in ((nan, y), (X, y[:-1]), (X[:, :2], y), (X, y, -np.ones(len(X)))):
            with pytest.raises(ValueError):  # noqa: PT011 (many texts, all tested above)
                method(*arguments)
    with pytest.raises(ValueError, match="non-finite parameter weights"), np.errstate(all="ignore"):
        fit_quietly(mlp.set_params(learning_rate_init=1e300, solver="sgd"), huge, y)
    mlp.set_params(learning_rate_init=before["learning_rate_init"], solver=before["solver"])
    assert vars(mlp) == before
    for now, then in zip(weights_of(mlp), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_failed_first_fit_leaves_nothing():
    mlp = TorchMLPRegressor(hidden_layer_sizes=(0,))
    before = dict(vars(mlp))
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):
        mlp.fit(X, y)
    assert vars(mlp) == before
    classifier = TorchMLPClassifier()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        classifier.partial_fit(_with(np.nan), y, classes=[0, 1, 2])
    assert not hasattr(classifier, "classes_")


def test_targets_of_a_classifier():
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        TorchMLPClassifier().fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="Unknown label type"):
        TorchMLPClassifier().fit(X, y + 0.5)


@pytest.mark.parametrize("indicator", [np.eye(3, dtype=int)[y], sp.csr_array(np.eye(3)[y])])
def test_a_column_per_label_for_a_network_of_one_class_per_sample(indicator):
    mlp = TorchMLPClassifier(max_iter=2)
    with pytest.raises(ValueError, match="y_val: `y` has a column per label"):
        mlp.fit(X, y, X_val=X, y_val=indicator)
    mlp.coefs_, mlp.classes_, mlp._encoder = [], np.arange(3), ClassEncoder(y)
    with pytest.raises(ValueError, match="`y` has a column per label"):
        mlp.partial_fit(X, indicator)
