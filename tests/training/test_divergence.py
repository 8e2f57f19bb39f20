"""The error of a fit that diverges names what has large values, and the remedy."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import TASKS, fit_quietly
from sklearn.exceptions import ConvergenceWarning

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training.batches import Dataset
from torchmlp.training.divergence import divergence_advice, unlearned_advice
from torchmlp.training.losses import REGRESSOR_LOSSES

_, X, Y, _ = TASKS["regression"]
_, X_CLASS, Y_CLASS, _ = TASKS["multiclass"]
SCALE_X = r"X has values up to \d\.\d+e\+08\. Scale X, for example with StandardScaler in a Pipel"
SCALE_Y = r"y has values up to \d\.\d+e\+08\. Set normalize_y=True\."
DIVERGES = dict(solver="sgd", learning_rate_init=0.1, activation="identity", random_state=0)


def message_of(mlp, *args):
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*diverged in ep") as info:
        fit_quietly(mlp, *args)
    return str(info.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("large", ["X", "y", "both"])
def test_large_features_and_targets_are_named(large, container, dtype):
    rows = container((X * (1.0 if large == "y" else 1e8)).astype(dtype))
    targets = (Y * (1.0 if large == "X" else 1e8)).astype(dtype)
    mlp = TorchMLPRegressor(**DIVERGES)
    message = message_of(mlp.set_params(learning_rate_init=1e3), rows, targets)
    assert bool(re.search(SCALE_X, message)) == (large != "y")
    assert bool(re.search(SCALE_Y, message)) == (large != "X")
    assert "Lower learning_rate_init=1000" in message


def test_only_the_rate_is_named_where_nothing_is_large():
    message = message_of(TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e3}), X, Y)
    assert "has values" not in message
    assert "StandardScaler" not in message
    assert message.endswith("Lower learning_rate_init=1000.0.")


def test_outliers_of_scaled_features_are_not_large_values():
    rows = X.copy()
    rows[0, 0] = 100.0
    message = message_of(TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e3}), rows, Y)
    assert "X has values" not in message


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gamma"])
def test_targets_are_not_named_with_normalize_y(loss):
    mlp = TorchMLPRegressor(loss, **{**DIVERGES, "learning_rate_init": 1e3})
    targets = np.exp(Y) * 1e6
    targets[0] = 1e12  # large in standard deviations, too
    assert re.search(
        r"y has values up to 1e\+12\. Set normalize_y=True\.", message_of(mlp, X, targets)
    )
    message = message_of(mlp.set_params(normalize_y=True), X, targets)
    assert "y has values" not in message
    assert "Lower learning_rate_init" in message


def test_codes_of_classes_are_not_large_values():
    mlp = TorchMLPClassifier(**{**DIVERGES, "learning_rate_init": 1e300})
    message = message_of(mlp, X_CLASS * 1e100, Y_CLASS * 1000)
    assert "X has values" in message
    assert "y has values" not in message


@pytest.mark.parametrize(("scale", "advice"), [(1e8, "Scale X, for"), (1.0, "or increase alpha=")])
def test_lbfgs_has_no_rate_to_lower(scale, advice):
    settings = SimpleNamespace(uses_lbfgs=True, alpha=0.1, loss=REGRESSOR_LOSSES["squared_error"])
    layout = SimpleNamespace(activations=[], layer_units=(X.shape[1], 1))
    inputs = SimpleNamespace(data=Dataset(X * scale, Y[:, None]), settings=settings, layout=layout)
    message = divergence_advice(inputs)
    assert advice in message
    assert "learning_rate_init" not in message


def test_the_warning_of_early_stopping_names_what_is_large():
    mlp = TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e200, "early_stopping": True})
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X, Y * 1e8)
    (message,) = [str(w.message) for w in caught if "No validation score" in str(w.message)]
    assert re.search(SCALE_Y, message)
    assert "X has values" not in message


@pytest.mark.parametrize(("scale", "named"), [(1.0, False), (1e3, True)])
def test_the_warning_at_max_iter_names_large_targets(scale, named):
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached") as caught:
        TorchMLPRegressor(max_iter=3, random_state=0).fit(X, Y * scale)
    assert ("y has values up to" in str(caught[0].message)) == named
    assert ("Set normalize_y=True." in str(caught[0].message)) == named


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_planned_schedules_warn_of_large_targets_that_are_not_learned(loss, early_stopping):
    mlp = TorchMLPRegressor(
        loss, learning_rate="one_cycle", max_iter=3, early_stopping=early_stopping, random_state=0
    )
    remedy = "Set normalize_y=True, or increase max_iter=3"
    with pytest.warns(ConvergenceWarning, match=f"predicting the mean of y.*{remedy}"):
        mlp.fit(X, 1e5 * (10 + Y))
    mlp.set_params(normalize_y=True, max_iter=30, learning_rate_init=0.01)
    mlp.fit(X, 1e5 * (10 + Y))  # without a warning


LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma", "gaussian"]


@pytest.mark.parametrize("rate", ["constant", "one_cycle"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_above_that_of_the_mean_is_reported(loss, rate):
    mlp = TorchMLPRegressor(loss, learning_rate=rate, max_iter=3, random_state=0)
    y = 20 + np.exp(0.1 * Y)
    with pytest.warns(ConvergenceWarning) as caught:
        mlp.fit(X, y)
    (message,) = {str(warning.message) for warning in caught}
    assert message.startswith("Stochastic Optimizer") == (rate == "constant")
    assert message.endswith(
        "larger than that of predicting the mean of y. Set normalize_y=True, or increase "
        "max_iter=3 or learning_rate_init=0.001."
    )


def test_no_advice_on_the_loss_is_given_if_processes_have_own_rows():
    settings = SimpleNamespace(
        loss=REGRESSOR_LOSSES["squared_error"], max_iter=3, learning_rate_init=0.001
    )
    inputs = SimpleNamespace(data=Dataset(X, Y[:, None]), settings=settings, processes=None)
    assert "predicting the mean of y" in unlearned_advice(1e9, inputs)
    inputs.processes = SimpleNamespace(own_rows=True)
    assert unlearned_advice(1e9, inputs) == ""


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_loss_above_that_of_the_class_frequencies_is_reported(n_classes):
    y, counts = np.zeros(200, int), [180, 15, 5] if n_classes == 3 else [195, 5]
    y = np.repeat(np.arange(n_classes), counts)
    X = np.random.RandomState(0).normal(size=(200, 3))
    clf = TorchMLPClassifier(learning_rate="one_cycle", max_iter=2, random_state=0)
    message = "predicting the class frequencies. Increase max_iter=2 or learning_rate_init=0.001."
    with pytest.warns(ConvergenceWarning, match=message):
        clf.fit(X, y)
    clf.set_params(max_iter=100, learning_rate_init=0.02).fit(X, y)  # without a warning
    weight = np.bincount(y)[y] ** -1.0  # the weighted frequencies are equal
    clf.set_params(max_iter=2, learning_rate_init=1e-5).fit(X, y, weight)  # without a warning


def test_constant_targets_are_not_reported():
    mlp = TorchMLPRegressor(learning_rate="one_cycle", max_iter=2, random_state=0)
    mlp.fit(X, np.full(len(X), 5.0))  # without a warning
    TorchMLPClassifier(learning_rate="one_cycle", max_iter=2).fit(X, np.zeros(len(X), int))


def test_planned_schedules_do_not_warn_of_large_targets_that_are_learned():
    mlp = TorchMLPRegressor(
        learning_rate="one_cycle", learning_rate_init=0.1, max_iter=60, random_state=0
    )
    assert mlp.fit(X, 200 * Y).score(X, 200 * Y) > 0.5  # without a warning


def test_planned_schedules_do_not_warn_for_a_loss_with_other_outputs():
    mlp = TorchMLPRegressor(
        lambda raw, y: (1e4 * raw - y).square().sum(1),
        learning_rate="one_cycle",
        max_iter=2,
        random_state=0,
    )
    mlp.fit(X, 1e4 * Y)  # without a warning


NOT_FINITE = r"activation=.* {} that are not finite for finite inputs, for example \S+ for -\d"
LOSS_NOT_FINITE = r"The {} of loss=<.*> is not finite for \d+ of \d+ finite raw outputs: \[nan\]"


def root_of_positive_values(z):
    return torch.where(z > 0, z.sqrt(), 0 * z)  # the derivative of the root is NaN elsewhere


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("activation", [torch.log, ["relu", torch.log]], ids=["one", "list"])
@pytest.mark.parametrize("estimator", [TorchMLPClassifier, TorchMLPRegressor])
def test_activations_that_are_not_finite_are_named_first(estimator, activation, dtype):
    hidden = (8,) if callable(activation) else (8, 8)
    mlp = estimator(activation=activation, dtype=dtype, random_state=0)
    message = message_of(mlp.set_params(hidden_layer_sizes=hidden), X_CLASS, Y_CLASS)
    expected = NOT_FINITE.format("returned values")
    assert re.search(rf"\(loss nan\)\. {expected}.*\. Check it for .* logarithms", message)
    assert "learning_rate_init" not in message


def test_large_features_are_named_after_the_activation():
    message = message_of(TorchMLPRegressor(activation=torch.log), X * 1e8, Y)
    assert re.search(NOT_FINITE.format("returned values") + ".*" + SCALE_X, message)


def test_activations_whose_derivative_is_not_finite_are_named():
    message = message_of(TorchMLPRegressor(activation=root_of_positive_values), X, Y)
    assert re.search(NOT_FINITE.format("has derivatives"), message)


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"early_stopping": True}], ids=repr)
def test_warnings_name_an_activation_that_is_not_finite(options):
    with pytest.warns(ConvergenceWarning) as caught:
        TorchMLPRegressor(activation=torch.log, random_state=0, **options).fit(X, Y)
    messages = " ".join(str(warning.message) for warning in caught)
    assert re.search("initial weights .*" + NOT_FINITE.format("returned values"), messages)
    assert "learning_rate_init" not in messages


def test_losses_that_are_not_finite_for_other_outputs_are_named():
    def loss(raw, y):  # finite in the first batch
        return (torch.log(raw + 1.8) - y).square().sum(dim=1)

    message = message_of(TorchMLPRegressor(loss, learning_rate_init=0.1, random_state=0), X, Y)
    assert re.search(r"\(loss nan\)\. " + LOSS_NOT_FINITE.format("value"), message)
    assert "learning_rate_init" not in message


def test_losses_whose_gradient_is_not_finite_for_other_outputs_are_named():
    def loss(raw, y):
        return (torch.where(raw > -1.8, torch.sqrt(raw + 1.8), 0 * raw) - y).square().sum(dim=1)

    message = message_of(TorchMLPRegressor(loss, learning_rate_init=0.1, random_state=0), X, Y)
    assert re.search(LOSS_NOT_FINITE.format("gradient"), message)


def test_losses_that_are_not_finite_for_some_targets_are_named():
    def loss(raw, y):
        return (torch.log(y + 2.99) - raw).square().sum(dim=1)

    targets = Y.copy()
    targets[150] = -3.0  # not in the first batch
    message = message_of(TorchMLPRegressor(loss, shuffle=False, batch_size=50), X, targets)
    assert re.search(r"is not finite for 1 of 250 finite.* and targets \[-3.0\]", message)


@pytest.mark.parametrize(
    "callables",
    [
        {"activation": torch.tanh},
        {"activation": torch.exp},
        {"activation": lambda z: torch.softmax(z, 1)},
        {"loss": lambda raw, y: (raw - y).pow(4).sum(1)},
        {"loss": lambda raw, y: (raw.exp() - y * raw).sum(1)},
    ],
)
def test_callables_that_overflow_for_large_inputs_are_not_named(callables):
    mlp = TorchMLPRegressor(**{**DIVERGES, "learning_rate_init": 1e200, **callables})
    message = message_of(mlp, X, Y)
    assert message.endswith("). Lower learning_rate_init=1e+200.")


def test_callables_for_one_number_of_rows_do_not_hide_the_error():
    weights = torch.linspace(0, 1, len(Y))
    mlp = TorchMLPRegressor(
        lambda raw, y: weights * (raw - y).square().sum(1),
        solver="sgd",
        batch_size=len(Y),
        learning_rate_init=1e200,
    )
    assert message_of(mlp, X, Y).endswith("Lower learning_rate_init=1e+200.")
