"""What scikit-learn's MLP refuses: regularisation, activations, solvers and rates."""

import functools
import pickle

import numpy as np
import pytest
import torch
from helpers import OURS, TASKS, assert_identical, assert_same_weights, fit_quietly, iris
from scipy.special import expit
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.encoding import ClassEncoder
from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.schedules import SCHEDULES

X_IRIS, Y_IRIS = iris()
X_REG, Y_REG = TASKS["regression"][1:3]


def cube(z):
    return z**3 / 10


def test_dropout_is_off_in_prediction_and_drawn_from_the_seed(numpy_state_kept):
    mlp = TorchMLPClassifier((40, 30), dropout=0.3, random_state=0, max_iter=5)
    first, again = (fit_quietly(clone(mlp), X_IRIS, Y_IRIS) for _ in range(2))
    assert_identical(first, again)
    np.testing.assert_array_equal(first.predict_proba(X_IRIS), first.predict_proba(X_IRIS))
    other = fit_quietly(clone(mlp).set_params(random_state=1), X_IRIS, Y_IRIS)
    without = fit_quietly(clone(mlp).set_params(dropout=0.0), X_IRIS, Y_IRIS)
    for model in (other, without):
        assert not np.allclose(model.coefs_[0], first.coefs_[0])


def test_dropout_starts_anew_on_another_device():
    mlp = TorchMLPClassifier((40, 30), dropout=0.3, warm_start=True, max_iter=2)
    fit_quietly(mlp, X_IRIS, Y_IRIS)
    mlp._saved_state.dropout_generator = np.zeros(16, np.uint8)  # the size of a CUDA state
    mlp.partial_fit(X_IRIS, Y_IRIS)


def test_dropout_of_zero_changes_nothing():
    mlp = TorchMLPClassifier((40, 30), random_state=0, max_iter=5)
    assert_identical(
        fit_quietly(clone(mlp), X_IRIS, Y_IRIS),
        fit_quietly(clone(mlp).set_params(dropout=[0.0, 0]), X_IRIS, Y_IRIS),
    )


def test_dropout_keeps_the_mean_of_what_flows_on():
    from torchmlp.training.workspace import HiddenLayer, Layout

    layout = Layout((1, 1, 1), torch.float64, torch.float64, torch.device("cpu"), [], [])
    layer = HiddenLayer(1000, 1000, ACTIVATIONS["relu"], layout, dropout=0.4)
    layer.z.fill_(3.0)
    for call in layer.draw_mask([torch.Generator().manual_seed(0)]) + layer.activate():
        call()
    flowing = layer.outflow.rows
    assert flowing.unique().tolist() == [0.0, pytest.approx(5.0)]
    assert flowing.mean().item() == pytest.approx(3.0, rel=0.01)
    delta = torch.ones_like(flowing)
    for call in layer.backpropagate(delta):
        call()
    torch.testing.assert_close(delta, layer.mask)


def test_dropout_gradient_is_that_of_the_thinned_network():
    # With every unit but the kept ones gone, the weights of dropped units get the penalty only.
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(50,),
        dropout=0.5,
        random_state=0,
        max_iter=1,
        solver="sgd",
        alpha=0.0,
        momentum=0.0,
    )
    fitted = fit_quietly(clone(mlp), X_REG[:1], Y_REG[:1])
    start = fit_quietly(clone(mlp).set_params(learning_rate_init=1e-300), X_REG[:1], Y_REG[:1])
    unchanged = (fitted.coefs_[1] == start.coefs_[1]).ravel()
    assert 5 < unchanged.sum() < 50
    assert (fitted.coefs_[0] == start.coefs_[0]).all(axis=0)[unchanged].all()


def test_dropout_per_layer():
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(30, 30), dropout=[0.0, 0.5], random_state=0, max_iter=3
    )
    fit_quietly(mlp, X_REG, Y_REG)
    assert not np.allclose(
        mlp.coefs_[0], fit_quietly(clone(mlp).set_params(dropout=0.0), X_REG, Y_REG).coefs_[0]
    )


@pytest.mark.parametrize("class_weight", [{0: 2.0, 1: 3.0, 2: 1.0}, "balanced"])
def test_class_weight_is_repeated_rows(class_weight):
    keep = np.r_[0:10, 50:80, 100 : 160 - 10]
    X, y = X_IRIS[keep], Y_IRIS[keep]
    counts = {0: 2, 1: 3, 2: 1}
    if class_weight == "balanced":
        X, y = X[:60], y[:60]  # 10, 30, 20: weights 2, 2/3, 1
        counts = {0: 6, 1: 2, 2: 3}
    repeated = np.repeat(np.arange(len(y)), [counts[label] for label in y])
    mlp = TorchMLPClassifier(random_state=0, max_iter=20, alpha=0.0)
    weighted = fit_quietly(clone(mlp).set_params(class_weight=class_weight), X, y)
    rows = fit_quietly(clone(mlp), X[repeated], y[repeated])
    assert_same_weights(weighted, rows)


def test_class_weight_multiplies_sample_weight():
    weights = np.linspace(0.5, 2, 150)
    mlp = TorchMLPClassifier(random_state=0, max_iter=5)
    both = fit_quietly(clone(mlp).set_params(class_weight={0: 3.0}), X_IRIS, Y_IRIS, weights)
    by_hand = fit_quietly(clone(mlp), X_IRIS, Y_IRIS, weights * np.where(Y_IRIS == 0, 3.0, 1.0))
    assert_same_weights(both, by_hand)


def test_adamw_equals_torch():
    _, X, y, _ = TASKS["regression"]
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(),
        solver="adamw",
        alpha=0.1,
        random_state=0,
        max_iter=30,
        shuffle=False,
        learning_rate_init=0.05,
        batch_size=50,
        tol=0.0,
        n_iter_no_change=99,
    )
    start = fit_quietly(clone(mlp).set_params(max_iter=1, learning_rate_init=1e-300), X, y)
    w = torch.tensor(start.coefs_[0], requires_grad=True)
    b = torch.tensor(start.intercepts_[0], requires_grad=True)
    groups = [{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}]
    # torch's epsilon stands elsewhere, so both get one that does not count.
    optimizer = torch.optim.AdamW(groups, lr=0.05, eps=1e-300)
    inputs, targets = torch.tensor(X), torch.tensor(y)[:, None]
    for _ in range(30):
        for first in range(0, 250, 50):
            error = inputs[first : first + 50] @ w + b - targets[first : first + 50]
            loss = (error**2).mean() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    fit_quietly(mlp.set_params(epsilon=1e-300), X, y)
    np.testing.assert_allclose(mlp.coefs_[0], w.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(mlp.intercepts_[0], b.detach().numpy(), rtol=1e-9)


def test_max_grad_norm_bounds_a_step():
    parameters = dict(
        hidden_layer_sizes=(6,),
        solver="sgd",
        momentum=0.0,
        learning_rate_init=1.0,
        max_iter=1,
        random_state=0,
    )
    start = fit_quietly(
        TorchMLPRegressor(**{**parameters, "learning_rate_init": 1e-300}), X_REG[:100], Y_REG[:100]
    )

    def step(**more):
        mlp = fit_quietly(TorchMLPRegressor(**parameters, **more), X_REG[:100], Y_REG[:100])
        pairs = zip(mlp.coefs_ + mlp.intercepts_, start.coefs_ + start.intercepts_, strict=True)
        return np.concatenate([(a - b).ravel() for a, b in pairs])

    free = step()
    assert np.linalg.norm(free) > 0.1
    np.testing.assert_allclose(step(max_grad_norm=0.1), 0.1 * free / np.linalg.norm(free))
    np.testing.assert_allclose(step(max_grad_norm=1e6), free)


@pytest.mark.parametrize(
    "activation", [*ACTIVATIONS, cube, ["tanh", cube]], ids=[*ACTIVATIONS, "callable", "list"]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_activation_learns_and_predicts_by_hand(activation, solver):
    mlp = TorchMLPClassifier(
        (7, 6), activation, solver=solver, random_state=0, max_iter=60, learning_rate_init=0.02
    )
    fit_quietly(mlp, X_IRIS, Y_IRIS)
    assert mlp.score(X_IRIS, Y_IRIS) > 0.9
    values = torch.from_numpy(X_IRIS)
    names = activation if isinstance(activation, list) else [activation] * 2
    torchs = set(ACTIVATIONS) - {"identity", "logistic"}
    functions = {name: getattr(torch.nn.functional, name) for name in torchs}
    functions |= {"identity": lambda z: z, "logistic": torch.sigmoid}
    for i, name in enumerate(names):
        z = values @ torch.from_numpy(mlp.coefs_[i]) + torch.from_numpy(mlp.intercepts_[i])
        values = name(z) if callable(name) else functions[name](z)
    raw = values.numpy() @ mlp.coefs_[2] + mlp.intercepts_[2]
    np.testing.assert_allclose(mlp.predict_logits(X_IRIS), raw, rtol=1e-9, atol=1e-12)


def test_a_list_of_one_activation_is_that_activation():
    mlp = TorchMLPRegressor(hidden_layer_sizes=(8, 6), random_state=0, max_iter=5)
    for name in ("logistic", "relu"):
        one = fit_quietly(clone(mlp).set_params(activation=name), X_REG, Y_REG)
        many = fit_quietly(clone(mlp).set_params(activation=[name, name]), X_REG, Y_REG)
        assert_identical(one, many)


def test_torch_sgd_is_ours_without_momentum():
    mlp = TorchMLPRegressor(
        solver="sgd", momentum=0.0, random_state=0, max_iter=8, learning_rate_init=0.01
    )
    ours = fit_quietly(clone(mlp), X_REG, Y_REG)
    theirs = fit_quietly(clone(mlp).set_params(solver=torch.optim.SGD), X_REG, Y_REG)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize(
    "solver",
    [
        torch.optim.RMSprop,
        torch.optim.Adagrad,
        functools.partial(torch.optim.NAdam, betas=(0.8, 0.99)),
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    ],
    ids=lambda solver: getattr(solver, "__name__", "partial"),
)
def test_any_torch_optimizer(solver):
    mlp = TorchMLPClassifier(solver=solver, random_state=0, max_iter=80, learning_rate_init=0.02)
    fit_quietly(mlp, X_IRIS, Y_IRIS)
    assert mlp.score(X_IRIS, Y_IRIS) > 0.9
    whole = fit_quietly(clone(mlp).set_params(max_iter=5), X_IRIS, Y_IRIS)
    stepwise = clone(mlp)
    for _ in range(5):
        stepwise.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
        stepwise = pickle.loads(pickle.dumps(stepwise))
    assert_identical(whole, stepwise)


@pytest.mark.parametrize(
    "parameters", [{"solver": "adamw"}, {"dropout": 0.3}, {"max_grad_norm": 0.1}], ids=str
)
def test_steps_of_partial_fit_are_one_fit(parameters):
    mlp = TorchMLPRegressor(random_state=0, max_iter=5, **parameters)
    whole = fit_quietly(clone(mlp), X_REG, Y_REG)
    for _ in range(5):
        mlp.partial_fit(X_REG, Y_REG)
        mlp = pickle.loads(pickle.dumps(mlp))
    assert_identical(whole, mlp)


def test_one_cycle_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=40)
    ours = SCHEDULES["one_cycle"](0.5, n_epochs=40)
    for epoch in range(40):
        assert ours.rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        ours.epoch_ends(epoch + 1, 0)
        optimizer.step()
        if epoch < 39:
            reference.step()


def test_cosine_goes_from_the_rate_to_nothing():
    ours = SCHEDULES["cosine"](0.5, n_epochs=10)
    rates = [ours.rate]
    for epoch in range(1, 11):
        ours.epoch_ends(epoch, 0)
        rates.append(ours.rate)
    np.testing.assert_allclose(rates, 0.25 * (1 + np.cos(np.pi * np.arange(11) / 10)), atol=1e-15)


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", torch.optim.RMSprop])
def test_planned_rates_serve_every_stochastic_solver(solver, learning_rate):
    mlp = TorchMLPRegressor(solver=solver, random_state=0, max_iter=10, learning_rate_init=0.01)
    planned = fit_quietly(clone(mlp).set_params(learning_rate=learning_rate), X_REG, Y_REG)
    assert not np.allclose(fit_quietly(mlp, X_REG, Y_REG).coefs_[0], planned.coefs_[0])


def test_initial_weights():
    mlp = TorchMLPRegressor(
        hidden_layer_sizes=(300,), random_state=0, max_iter=1, learning_rate_init=1e-300
    )
    linear = clone(mlp).set_params(init="zeros", hidden_layer_sizes=())
    zeros = fit_quietly(linear, X_REG, Y_REG)
    assert all(np.abs(w).max() < 1e-200 for w in zeros.coefs_ + zeros.intercepts_)
    torchs = fit_quietly(clone(mlp).set_params(init="torch"), X_REG, Y_REG)
    for w, b in zip(torchs.coefs_, torchs.intercepts_, strict=True):
        bound = 1 / np.sqrt(len(w))
        assert 0.98 * bound < np.abs(w).max() <= bound
        assert np.abs(b).max() <= bound


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": ["relu"]}, r"activation=\['relu'\] names 1 functions for 2 hidden layers"),
        ({"activation": ["relu", "rleu"]}, r"has 'rleu', which is none of \['elu', .*\]"),
        ({"dropout": [0.1]}, r"dropout=\[0.1\] has 1 values for 2 hidden layers"),
        ({"dropout": [0.1, 1.0]}, r"dropout=\[0.1, 1.0\] must hold shares in \[0, 1\)"),
        ({"dropout": 1.0}, "'dropout' parameter of Torch.* Got 1.0 instead"),
        (
            {"solver": functools.partial(torch.optim.SGD, lr=0.1)},
            "sets lr, but the rate of each epoch comes from learning_rate_init=0.001",
        ),
        ({"activation": torch.nn.ReLU}, r"activation=.*ReLU.* must take a tensor and return one"),
        ({"activation": torch.sum}, r"activation=.* must take a tensor and return one of the same"),
        ({"init": "ones"}, "'init' parameter of Torch.* Got 'ones' instead"),
        ({"init": "zeros"}, r"init='zeros' is for linear models, hidden_layer_sizes=\(\)"),
        ({"activation": "ReLU"}, "Did you mean activation='relu'"),
        ({"activation": "SWISH"}, "Did you mean activation='silu'"),
        ({"activation": "sigmoid"}, "Did you mean activation='logistic'"),
        ({"solver": "RMSprop"}, "Write solver=torch.optim.RMSprop"),
        ({"solver": "Adam"}, "Did you mean solver='adam'"),
        ({"learning_rate": 0.01}, "did you mean learning_rate_init=0.01"),
        (
            {"activation": lambda z: torch.from_numpy(np.tanh(z.numpy()))},
            "could not be differentiated.*with torch's functions",
        ),
        ({"max_grad_norm": 0.0}, "'max_grad_norm' parameter of Torch.* Got 0.0 instead"),
        ({"solver": torch.optim.LBFGS}, "solver=.*LBFGS.* evaluates the loss several times"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_said(estimator, parameters, message):
    with pytest.raises(ValueError, match=message):
        estimator(hidden_layer_sizes=(5, 4), **parameters).fit(X_IRIS, Y_IRIS)


def test_more_that_makes_no_sense():
    with pytest.raises(ValueError, match="learning_rate='one_cycle' needs to know where training"):
        TorchMLPRegressor(learning_rate="one_cycle").partial_fit(X_REG, Y_REG)
    with pytest.raises(ValueError, match="class_weight='balanced' needs all samples at once"):
        TorchMLPClassifier(class_weight="balanced").partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])


def test_binary_probability_is_the_logistic_of_the_logit():
    mlp = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=5), X_IRIS, Y_IRIS > 0)
    logits = mlp.predict_logits(X_IRIS)
    np.testing.assert_allclose(mlp.predict_proba(X_IRIS)[:, 1], expit(logits))
    assert logits.shape == (150,)


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
def test_a_planned_end_is_no_reason_to_warn(learning_rate):
    mlp = TorchMLPRegressor(learning_rate=learning_rate, max_iter=5, random_state=0)
    assert mlp.fit(X_REG, Y_REG).n_iter_ == 5  # warnings are errors here


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle"])
def test_planned_rates_are_followed_to_their_end(learning_rate, early_stopping, capsys):
    mlp = TorchMLPRegressor(
        learning_rate=learning_rate,
        early_stopping=early_stopping,
        learning_rate_init=0.05,
        max_iter=60,
        n_iter_no_change=3,
        tol=0.05,
        random_state=0,
        verbose=True,
    )
    arguments = X_REG[:200], Y_REG[:200], None
    validation = {"X_val": X_REG[200:], "y_val": Y_REG[200:]} if early_stopping else {}
    constant = clone(mlp).set_params(learning_rate="constant", learning_rate_init=0.01)
    assert constant.fit(*arguments, **validation).n_iter_ < 60
    assert "consecutive epochs. Stopping." in capsys.readouterr().out
    mlp.fit(*arguments, **validation)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == 60
    assert "consecutive epochs" not in capsys.readouterr().out
    if early_stopping:
        assert mlp.best_validation_score_ == max(mlp.validation_scores_)
        assert mlp.best_validation_score_ != mlp.validation_scores_[-1]
        assert mlp.best_validation_score_ == pytest.approx(mlp.score(X_REG[200:], Y_REG[200:]))


class Remembering:
    """An activation that keeps a tensor from its first call."""

    factors = None

    def __call__(self, z):
        if self.factors is None:
            self.factors = torch.linspace(0.5, 1, z.shape[1], dtype=z.dtype)
        return torch.relu(z) * self.factors


class Energy:
    """A loss that asks autograd for something on its way."""

    def __call__(self, outputs, y):
        with torch.enable_grad():
            at = outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad((at**3).sum() / 3, at)
        return ((outputs - y) ** 2 + 0 * slope).sum(1)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callables_may_keep_tensors_and_use_autograd(solver):
    _, X, y, _ = TASKS["regression"]
    mlp = TorchMLPRegressor(solver=solver, activation=Remembering(), loss=Energy(), max_iter=5)
    mlp = fit_quietly(mlp, X, y)
    assert mlp.loss_curve_[-1] < mlp.loss_curve_[0]


def test_fit_inside_of_inference_mode():
    mlp = TorchMLPClassifier(solver=torch.optim.RMSprop, max_iter=3, random_state=0)
    expected = fit_quietly(clone(mlp), X_IRIS, Y_IRIS)
    with torch.inference_mode():
        assert_identical(fit_quietly(clone(mlp), X_IRIS, Y_IRIS), expected)


def test_outputs_that_are_no_numbers_have_no_accuracy():
    encoder, outputs = ClassEncoder([0, 1, 2]), np.eye(3)
    codes = np.arange(3)[:, None]
    assert encoder.score(codes, outputs, None) == 1.0
    assert np.isnan(encoder.score(codes, outputs * np.nan, None))
