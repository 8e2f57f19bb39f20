"""How a fit goes: order of the rows, going on, interrupts, random numbers."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import (
    CLASSIFIERS,
    OURS,
    TASKS,
    assert_identical,
    call_at_every_step,
    fit_quietly,
    iris,
    some_weights,
    weights_of,
)
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.training import batches, inference
from torchmlp.training.device import placement
from torchmlp.training.parameters import Parameters
from torchmlp.training.schedules import SCHEDULES
from torchmlp.training.solvers import Adam
from torchmlp.training.stochastic import EpochTrainer


@pytest.mark.parametrize("random_state", [0, "instance"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd"},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
        {"batch_size": 17},
        {"shuffle": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("task", TASKS)
def test_steps_of_partial_fit_are_one_fit_also_across_pickles(task, parameters, random_state):
    (_, ours), X, y, needed = TASKS[task]
    classes = {"classes": np.unique(y)} if hasattr(ours, "predict_proba") else {}
    if task == "multilabel":
        classes = {"classes": np.arange(y.shape[1])}

    def estimator(**more):
        seed = np.random.RandomState(0) if random_state == "instance" else random_state
        return ours(random_state=seed, **{**needed, **parameters, **more})

    # n_iter_no_change for ever would hide the schedule; so the fit must not stop by itself.
    whole = fit_quietly(estimator(max_iter=6), X, y)
    assert whole.n_iter_ == 6
    stepwise = estimator()
    for _ in range(6):
        stepwise.partial_fit(X, y, **classes)
        stepwise = pickle.loads(pickle.dumps(stepwise))
    assert_identical(whole, stepwise)
    assert whole.loss_curve_ == stepwise.loss_curve_
    assert (whole.t_, whole.best_loss_) == (stepwise.t_, stepwise.best_loss_)


def test_partial_fit_takes_chunks_of_any_size():
    X, y = iris()
    mlp = TorchMLPClassifier(random_state=0, learning_rate_init=0.05)
    for _ in range(20):
        for chunk in np.array_split(np.random.RandomState(0).permutation(150), 4):
            mlp.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2])
    assert mlp.score(X, y) > 0.95
    assert mlp.t_ == 20 * 150


def test_partial_fit_after_a_warm_fit_goes_on_with_the_solver():
    _, X, y, _ = TASKS["regression"]
    whole = fit_quietly(TorchMLPRegressor(random_state=0, max_iter=6), X, y)
    mlp = fit_quietly(TorchMLPRegressor(random_state=0, max_iter=4, warm_start=True), X, y)
    mlp.partial_fit(X, y).partial_fit(X, y)
    assert_identical(whole, mlp)


@pytest.mark.parametrize("estimator", OURS)
def test_fit_keeps_no_training_state(estimator):
    X, y = iris()
    mlp = fit_quietly(estimator(random_state=0, max_iter=3), X, y)
    assert mlp._saved_state is None
    assert fit_quietly(mlp.set_params(warm_start=True), X, y)._saved_state


def test_seed_fixes_everything(numpy_state_kept):
    _, X, y, _ = TASKS["binary"]
    for parameters in ({}, {"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd"}):
        mlp = TorchMLPClassifier(random_state=7, max_iter=8, **parameters)
        assert_identical(fit_quietly(clone(mlp), X, y), fit_quietly(clone(mlp), X, y))


def test_no_seed_draws_from_numpys_generator():
    X, y = iris()
    fits = []
    state = np.random.get_state()
    for _ in range(2):
        np.random.seed(11)
        fits.append(fit_quietly(TorchMLPClassifier(max_iter=3), X, y))
    fits.append(fit_quietly(TorchMLPClassifier(max_iter=3), X, y))
    np.random.set_state(state)
    assert_identical(*fits[:2])
    assert not np.array_equal(fits[0].coefs_[0], fits[2].coefs_[0])


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "sgd"}])
def test_interrupt_leaves_a_model(estimator, parameters, monkeypatch):
    X, y = iris()
    run_epoch, calls = EpochTrainer.run_epoch, iter(range(99))

    def interrupted(*args):
        if next(calls) == 10:
            raise KeyboardInterrupt
        return run_epoch(*args)

    monkeypatch.setattr(EpochTrainer, "run_epoch", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        mlp = estimator(random_state=0, learning_rate_init=0.02, **parameters).fit(X, y)
    assert mlp.n_iter_ == len(mlp.loss_curve_) == 10
    assert mlp.score(X, y) > 0.5


def test_interrupt_before_the_first_epoch(monkeypatch):
    X, y = iris()

    def interrupt():
        raise KeyboardInterrupt

    call_at_every_step(monkeypatch, interrupt)
    for solver in ("adam", "lbfgs"):
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            mlp = TorchMLPClassifier(random_state=0, solver=solver).fit(X, y)
        assert mlp.n_iter_ == 0
        assert mlp.predict(X).shape == (150,)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("sparse", [False, True])
def test_size_of_the_blocks_does_not_show(task, shuffle, weighted, sparse, monkeypatch):
    import scipy.sparse as sp

    (_, ours), X, y, _ = TASKS[task]
    weights = some_weights(len(X)) if weighted else None
    X = sp.csr_array(X) if sparse else X
    mlp = ours(random_state=0, max_iter=4, batch_size=16, shuffle=shuffle)
    whole = fit_quietly(clone(mlp), X, y, weights)
    for limits in ({"BLOCK_BATCHES": 3}, {"BLOCK_BYTES": 1}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(batches, name, value)
            blockwise = fit_quietly(clone(mlp), X, y, weights)
        assert_identical(whole, blockwise)
        np.testing.assert_allclose(whole.loss_curve_, blockwise.loss_curve_, rtol=1e-12)


def test_data_in_any_layout_gives_the_same_network():
    X, y = iris()
    mlp = TorchMLPClassifier(random_state=0, max_iter=4, batch_size=16)
    expected = fit_quietly(clone(mlp), X, y)
    backwards = X[::-1, ::-1].copy()[::-1, ::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(X), backwards, read_only, X.tolist(), X.repeat(2, axis=0)[::2]):
        got = fit_quietly(clone(mlp), same, y)
        assert_identical(expected, got)
        np.testing.assert_allclose(got.predict_proba(same), expected.predict_proba(X), rtol=1e-12)


def test_data_is_not_written():
    X, y = iris()
    X_before, y_before, weights = X.copy(), y.copy(), np.ones(150)
    for parameters in ({}, {"shuffle": False}, {"batch_size": 10}, {"solver": "lbfgs"}):
        mlp = TorchMLPRegressor(random_state=0, max_iter=3, **parameters)
        fit_quietly(mlp, X, y, weights).predict(X)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)
    assert (weights == 1.0).all()


def test_constructor_only_stores():
    for estimator in OURS:
        assert vars(estimator()) == estimator().get_params()


def test_adam_without_the_fused_kernel():
    from types import SimpleNamespace

    settings = SimpleNamespace(beta_1=0.8, beta_2=0.95, epsilon=1e-3)
    gradients = torch.randn(30, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for fused in (True, False):
        weights = Parameters((9, 5), torch.float64, torch.device("cpu"))
        weights.flat.fill_(1.0)
        gradient = weights.like()
        solver = Adam(settings, weights, gradient)
        update = solver.update if fused else solver._in_place
        for values in gradients:
            gradient.flat.copy_(values)
            update(*solver.factors(0.05))
        results.append(weights.flat)
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)


def test_schedules():
    assert SCHEDULES["constant"](0.5).rate == 0.5
    scaling = SCHEDULES["invscaling"](0.5, 2.0)
    scaling.epoch_ends(3, 9)
    assert scaling.rate == 0.5 / 10**2
    adaptive = SCHEDULES["adaptive"](1.0)
    stops = [adaptive.plateau()[0] for _ in range(10)]
    assert stops == [False] * 9 + [True]
    assert adaptive.rate == pytest.approx(5.0**-9)
    assert SCHEDULES["adaptive"](1.0, rate=0.25).rate == 0.25


def test_verbose_of_lbfgs(capsys):
    X, y = iris()
    mlp = TorchMLPClassifier(solver="lbfgs", random_state=0, verbose=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Iteration {i + 1}, loss = {v:.8f}" for i, v in enumerate(mlp.loss_curve_)]
    mlp.set_params(early_stopping=True, n_iter_no_change=2).fit(X, y)
    out = capsys.readouterr().out
    assert "Validation score: " in out
    assert "Validation score did not improve more than tol=0.000100 for 2 consecutive" in out


@pytest.mark.parametrize("task", TASKS)
def test_bfloat16_learns_the_same(task, monkeypatch):
    monkeypatch.setattr(placement, "BFLOAT16_PAYS_OFF", 0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    (_, ours), X, y, needed = TASKS[task]
    mlp = ours(random_state=0, max_iter=60, learning_rate_init=0.01, **needed)
    full, low = (
        fit_quietly(clone(mlp).set_params(dtype=dtype), X, y) for dtype in ("float32", "bfloat16")
    )
    assert {w.dtype for w in weights_of(low)} == {np.dtype(np.float32)}
    assert not np.array_equal(full.coefs_[0], low.coefs_[0])
    assert low.score(X, y) > full.score(X, y) - 0.05


def test_dtype_overrides_that_of_the_data():
    X, y = iris()
    for dtype in ("float32", "float64"):
        mlp = fit_quietly(TorchMLPRegressor(dtype=dtype, random_state=0, max_iter=2), X, y)
        assert {w.dtype.name for w in weights_of(mlp)} == {dtype}


def test_early_stopping_returns_to_the_best_weights():
    _, X, y, _ = TASKS["regression"]
    mlp = TorchMLPRegressor(
        early_stopping=True, random_state=0, learning_rate_init=0.05, validation_fraction=0.3
    ).fit(X, y)
    assert mlp.best_validation_score_ == max(mlp.validation_scores_) != mlp.validation_scores_[-1]
    best = int(np.argmax(mlp.validation_scores_)) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        until_then = clone(mlp).set_params(max_iter=best).fit(X, y)
    assert_identical(mlp, until_then)


@pytest.mark.parametrize("solver", ["adam", "sgd", torch.optim.RMSprop])
def test_the_state_of_a_solver_fits_whatever_the_memory_order(solver):
    """float32, float64 and sparse rows store a wide first layer each in its own order."""
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((60, 200)), rng.standard_normal(60)
    mlp = TorchMLPRegressor(hidden_layer_sizes=(100,), solver=solver, random_state=0)
    mlp.set_params(learning_rate_init=0.01)
    expected = clone(mlp).partial_fit(X, y).partial_fit(X, y).partial_fit(X, y)
    narrow, sparse = X.astype(np.float32), sp.csr_array(X)
    mixed = clone(mlp).partial_fit(X, y).partial_fit(narrow, y).partial_fit(sparse, y)
    np.testing.assert_allclose(mixed.coefs_[0], expected.coefs_[0], rtol=1e-3, atol=1e-4)


MANY_CLASSES = """
import resource
import warnings
import numpy as np
from torchmlp import TorchMLPClassifier
warnings.simplefilter("ignore")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
X = np.random.RandomState(0).rand(12_000, 5)
y = np.arange(12_000) % 3_000
mlp = TorchMLPClassifier((5,), random_state=0, max_iter=1, batch_size=100)
mlp.fit(X[:400], y[:400] % 3, X_val=X[:400], y_val=y[:400] % 3)
before = peak()
mlp.fit(X, y, X_val=X[:1000], y_val=y[:1000]).predict(X)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
def test_memory_does_not_grow_with_samples_times_classes():
    done = subprocess.run(
        [sys.executable, "-c", MANY_CLASSES], capture_output=True, text=True, check=True
    )
    one_hot = 12_000 * 3_000 / 1024  # KiB of a bool per sample and class
    # The raw outputs of the 1000 validation rows are 24 MB of float64.
    assert int(done.stdout) < 1.5 * one_hot


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "multioutput"])
def test_predictions_do_not_depend_on_blocks_and_threads(task, monkeypatch):
    (_, ours), X, y, needed = TASKS[task]
    mlp = fit_quietly(ours(random_state=0, max_iter=5, **needed), X, y)
    methods = [name for name in ("predict", "predict_proba") if hasattr(mlp, name)]
    expected = [getattr(mlp, name)(X) for name in methods]
    hidden = mlp.hidden_activations(X)
    found = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(placement, "THREADS_PAY_OFF", 1)
        monkeypatch.setattr(inference, "BLOCK_BYTES", 8 * 100 * 7)  # seven rows
        for name, values in zip(methods, expected, strict=True):
            got = getattr(mlp, name)(X)
            if values.dtype.kind == "f":
                np.testing.assert_allclose(got, values, rtol=1e-10)
            else:
                np.testing.assert_array_equal(got, values)
        np.testing.assert_allclose(mlp.hidden_activations(X)[0], hidden[0], atol=1e-14)
    finally:
        torch.set_num_threads(found)


def test_error_in_a_prediction_thread_is_raised(monkeypatch):
    X, y = iris()
    mlp = fit_quietly(TorchMLPClassifier(random_state=0, max_iter=2), X, y)
    monkeypatch.setattr(placement, "THREADS_PAY_OFF", 1)
    mlp.activation = lambda z: z[:1]
    with pytest.raises(ValueError, match="must take a tensor and return one of the same shape"):
        mlp.predict(X)


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_one_class_scores_one_under_early_stopping(estimator):
    X, _ = iris()
    for seed in range(4):
        mlp = estimator(early_stopping=True, max_iter=2, random_state=seed)
        fit_quietly(mlp, X, np.full(150, "a"))
        assert mlp.validation_scores_ == [1.0, 1.0]
        assert mlp.score(X, np.full(150, "a")) == 1.0
