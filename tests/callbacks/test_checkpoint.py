"""Tests for torchmlp.callbacks.checkpoint: fits that continue equal fits without interruption."""

import copy
import datetime
import functools
import itertools
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import tqdm.auto
from checkpoints import checkpoint, fit, fitted_values, interrupted_after, no_training
from helpers import OPTIMIZERS, TASKS, fit_quietly, focal_loss, iris, some_weights
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Checkpoint, Snapshots, find_snapshots
from torchmlp.callbacks.checkpoint_monitor import CheckpointMonitor
from torchmlp.ensemble import WeightSharingClassifier
from torchmlp.training.schedules import SCHEDULES
from torchmlp.training.solvers import SOLVERS

X, y = iris()
_, X_REG, Y_REG, _ = TASKS["regression"]
_, X_MULTI, Y_MULTI, _ = TASKS["multioutput"]
VALIDATION = {"X_val": X[::3], "y_val": y[::3], "sample_weight_val": some_weights(50)}
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 7, "random_state": 0}

# name -> parameters of the classifier
PARAMETERS = {
    **{solver: {"solver": solver} for solver in SOLVERS},
    **{rate: {"solver": "sgd", "learning_rate": rate} for rate in SCHEDULES},
    "plateaus": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
    "adamw one_cycle": {"solver": "adamw", "learning_rate": "one_cycle"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "no shuffle": {"shuffle": False},
    "small batches": {"batch_size": 13, "hidden_layer_sizes": (8, 70)},
    "dropout": {"dropout": 0.3, "batch_size": 40},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.1},
    "early stopping, dropout": {"early_stopping": True, "dropout": [0.2], "solver": "sgd"},
    "scorer": {"early_stopping": True, "scoring": "f1_macro", "learning_rate_init": 0.1},
    "negative loss": {"early_stopping": True, "scoring": "loss"},
    "clipping": {"max_grad_norm": 0.1},
    "average": {"average": True, "early_stopping": True, "learning_rate_init": 0.1},
    "average of sgd": {"average": True, "solver": "sgd"},
    "float32": {"dtype": "float32", "dropout": 0.1},
    "bfloat16": {"dtype": "bfloat16"},
    "class weights": {"class_weight": "balanced", "loss": "hinge"},
    "linear": {"hidden_layer_sizes": ()},
    "callables": {"activation": torch.sin, "loss": focal_loss},
    "warnings": {"batch_size": 1000, "scoring": "accuracy"},
}


def _assert_continues(model, path, *args, at=3, **kwargs):
    """Assert that an interrupted fit that continues equals one without interruption."""
    expected, expected_warnings = fit(clone(model), *args, **kwargs)
    assert expected.n_iter_ > at
    model = clone(model).set_params(callbacks=[checkpoint(path)])
    with interrupted_after(at):
        fit(model, *args, **kwargs)
    assert not hasattr(model, "coefs_")
    continued, issued = fit(clone(model), *args, **kwargs)
    assert fitted_values(continued) == fitted_values(expected)
    assert issued == expected_warnings
    with no_training():
        again, issued = fit(clone(model), *args, **kwargs)
    assert fitted_values(again) == fitted_values(expected)
    assert issued == expected_warnings
    return continued


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


@pytest.mark.parametrize("name", PARAMETERS)
def test_continued_fit_equals_fit_without_interruption(name, path):
    _assert_continues(TorchMLPClassifier(**{**SMALL, **PARAMETERS[name]}), path, X, y)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_of_torch_continue(name, path):
    model = TorchMLPClassifier(**SMALL, solver=OPTIMIZERS[name], batch_size=50, dropout=0.1)
    _assert_continues(model, path, X, y)


@pytest.mark.parametrize("at", range(7))
def test_fit_continues_after_every_epoch(at, path):
    model = TorchMLPClassifier(**SMALL, early_stopping=True, dropout=0.2, solver="sgd")
    _assert_continues(model, path, X, y, at=at)


@pytest.mark.parametrize("stopping", [{}, {"early_stopping": True}])
def test_sample_weights_and_validation_data(stopping, path):
    model = TorchMLPClassifier(**SMALL, **stopping)
    _assert_continues(model, path, X, y, some_weights(150), **VALIDATION)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sparse_data(dtype, path):
    _assert_continues(TorchMLPClassifier(**SMALL), path, sp.csr_array(X.astype(dtype)), y)


@pytest.mark.parametrize(
    ("parameters", "target"),
    [
        ({"normalize_y": True}, Y_REG * 100),
        ({"normalize_y": True, "early_stopping": True}, Y_REG * 100 + 7),
        ({"loss": "gaussian"}, Y_REG),
        ({"loss": "quantile", "quantile": [0.1, 0.9]}, Y_REG),
        ({"loss": "gamma", "normalize_y": True}, np.exp(Y_REG)),
        ({"learning_rate_init": 10.0, "solver": "sgd", "early_stopping": True}, Y_REG * 1e4),
    ],
)
def test_regressor(parameters, target, path):
    at = 0 if "learning_rate_init" in parameters else 3
    _assert_continues(TorchMLPRegressor(**{**SMALL, **parameters}), path, X_REG, target, at=at)


def test_several_outputs_and_a_memory_map(path, tmp_path):
    mapped = np.memmap(tmp_path / "X", dtype="float64", mode="w+", shape=X_MULTI.shape)
    mapped[:] = X_MULTI
    _assert_continues(TorchMLPRegressor(**SMALL), path, mapped, Y_MULTI)


def test_fit_that_stops_before_max_iter(path):
    model = TorchMLPClassifier(**{**SMALL, "max_iter": 500}, tol=0.1)
    continued = _assert_continues(model, path, X, y)
    assert continued.n_iter_ < 500


def test_larger_max_iter_continues_the_fit(path):
    short = TorchMLPClassifier(
        **SMALL, early_stopping=True, learning_rate_init=0.1, callbacks=[checkpoint(path)]
    )
    assert fit_quietly(short, X, y).n_iter_ == 7
    long = clone(short).set_params(max_iter=12)
    expected, warned = fit(clone(long).set_params(callbacks=None), X, y)
    continued, issued = fit(long, X, y)
    assert fitted_values(continued) == fitted_values(expected)
    assert issued == warned
    with pytest.raises(ValueError, match=r"max_iter=5, but the checkpoint .* has 12 epochs"):
        long.set_params(max_iter=5).fit(X, y)
    planned = clone(long).set_params(learning_rate="cosine")
    with pytest.raises(ValueError, match="learning_rate='cosine' instead"):
        planned.fit(X, y)


@pytest.mark.parametrize("make", [lambda: None, lambda: np.random.RandomState(3)])
def test_random_numbers_of_the_file_are_used(make, path):
    model = TorchMLPClassifier(
        **{**SMALL, "random_state": make()},
        early_stopping=True,
        dropout=0.1,
        callbacks=[checkpoint(path)],
    )
    before = np.random.get_state()
    try:
        np.random.seed(3)
        expected = fit_quietly(
            clone(model).set_params(callbacks=None, random_state=np.random.RandomState(3)), X, y
        )
        with interrupted_after(3):
            fit_quietly(model, X, y)
        np.random.seed(99)
        untouched = np.random.get_state()[1].copy()
        if model.random_state is not None:
            model.set_params(random_state=np.random.RandomState(5))
        continued = fit_quietly(model, X, y)
        assert np.array_equal(np.random.get_state()[1], untouched)
    finally:
        np.random.set_state(before)
    assert fitted_values(continued) == fitted_values(expected)
    if model.random_state is not None:  # as a fit without interruption leaves it
        other = np.random.RandomState(3)
        fit_quietly(clone(model).set_params(callbacks=None).set_params(random_state=other), X, y)
        assert model.random_state.randint(1000) == other.randint(1000)


def test_each_fit_of_a_warm_start_continues_from_the_file(path):
    plain = TorchMLPClassifier(**SMALL, warm_start=True, early_stopping=True)
    saved = clone(plain).set_params(callbacks=[checkpoint(path)])
    for _ in range(3):
        expected, warned = fit(plain, X, y)
        stored = pickle.dumps(saved)
        with interrupted_after(4):
            fit_quietly(saved, X, y)
        continued, issued = fit(saved, X, y)
        assert fitted_values(continued) == fitted_values(expected)
        assert issued == warned
        # The same call in a new process
        saved = pickle.loads(stored)
        assert fitted_values(fit(saved, X, y)[0]) == fitted_values(expected)
    plain.set_params(early_stopping=False).partial_fit(X, y)
    saved.set_params(early_stopping=False, callbacks=None).partial_fit(X, y)
    assert fitted_values(saved) == fitted_values(plain)


def test_partial_fit_after_reading_a_finished_file_equals_that_after_the_fit(path):
    parameters = {**SMALL, "max_iter": 500, "tol": 0.1, "average": True, "warm_start": True}
    model = TorchMLPClassifier(**parameters, callbacks=[checkpoint(path)])
    fitted = fit_quietly(clone(model), X, y)
    assert fitted.n_iter_ < 500
    with no_training():
        read = fit_quietly(clone(model), X, y)
    assert fitted_values(read) == fitted_values(fitted)
    for mlp in (fitted, read):
        mlp.set_params(callbacks=None).partial_fit(X, y)
    assert fitted_values(read) == fitted_values(fitted)


def test_fit_stopped_by_the_time_limit_continues(path):
    model = TorchMLPClassifier(**SMALL)
    expected = fit_quietly(clone(model), X, y)
    limited = clone(model).set_params(callbacks=[checkpoint(path)], time_limit=1e-9)
    assert fit_quietly(limited, X, y).n_iter_ == 1
    continued = fit_quietly(limited.set_params(time_limit=100), X, y)
    assert fitted_values(continued) == fitted_values(expected)


def test_fit_interrupted_by_the_user_continues(path, monkeypatch):
    model = TorchMLPClassifier(**SMALL)
    expected = fit_quietly(clone(model), X, y)
    saved = clone(model).set_params(callbacks=[checkpoint(path)])
    monkeypatch.setattr("checkpoints.Interruption", KeyboardInterrupt)
    with pytest.raises(AssertionError, match="not interrupted"), interrupted_after(3):
        fit(saved, X, y)
    monkeypatch.undo()
    assert saved.n_iter_ == 3
    assert fitted_values(fit_quietly(saved, X, y)) == fitted_values(expected)


def test_divergence_is_reported_again(path):
    model = TorchMLPRegressor(
        **SMALL, solver="sgd", learning_rate_init=1e6, callbacks=[checkpoint(path)]
    )
    for _ in range(2):
        with (
            np.errstate(all="ignore"),
            pytest.raises(ValueError, match="non-finite parameter weights"),
        ):
            model.fit(X_REG, Y_REG * 1e6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"alpha": 0.1}, r"alpha=0\.1 instead of 0\.0001"),
        ({"solver": torch.optim.Adam}, r"solver=torch\.optim\.adam\.Adam #\w{8} instead of 'ad"),
        ({"hidden_layer_sizes": (5, 5)}, r"hidden_layer_sizes=\[5, 5\] instead of \[5\]"),
        ({"random_state": 1}, "random_state=1 instead of 0"),
        ({"X": X[:149], "y": y[:149]}, r"X=float64 array of shape \(149, 4\) instead of float64"),
        ({"X": X + 1e-9}, "This fit has other values of X$"),
        ({"X": X.astype("float32")}, "X=float32 array"),
        ({"X": sp.csr_array(X)}, "X=float64 sparse array"),
        ({"y": y[::-1]}, "has other values of y$"),
        ({"y": np.array(["a", "b", "c"])[y]}, "has other classes$"),
        ({"sample_weight": np.ones(150)}, "sample_weight=float64 array .* instead of None"),
        ({"X_val": X, "y_val": y}, r"X_val=float64 array of shape \(150, 4\) instead of None"),
    ],
)
def test_another_fit_is_named(change, named, path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    fit_quietly(model, X, y)
    before = path.read_bytes()
    data = {"X": X, "y": y} | {k: v for k, v in change.items() if k not in model.get_params()}
    other = clone(model).set_params(**{k: v for k, v in change.items() if k not in data})
    with pytest.raises(ValueError, match="belongs to another fit") as error:
        other.fit(**data)
    assert re.search(named, str(error.value).partition(". Use the same")[0])
    assert "'{fit}'" in str(error.value)
    assert path.read_bytes() == before
    assert not hasattr(other, "coefs_")


@pytest.mark.parametrize(
    "same",
    [
        {"alpha": np.float64(0.0001), "hidden_layer_sizes": [np.int64(5)], "random_state": 0},
        {"time_limit": 50, "verbose": "bar"},
        {"batch_size": "auto", "max_iter": 9},
    ],
)
def test_equal_values_of_other_types_are_the_same_fit(same, path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    with interrupted_after(3):
        fit(model, X, y)
    assert fit_quietly(model.set_params(**same), X.tolist(), list(y)).n_iter_ >= 7


def test_class_of_the_estimator_is_compared(path):
    target = (y == 0).astype(float)
    fit_quietly(TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)]), X, target)
    with pytest.raises(ValueError, match="class=TorchMLPRegressor instead of TorchMLPClassifier"):
        TorchMLPRegressor(**SMALL, callbacks=[checkpoint(path)]).fit(X, target)


def test_resume_false_begins_anew(path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path, keep=3)])
    fit_quietly(clone(model).set_params(alpha=1.0), X, y)
    model.set_params(callbacks=[checkpoint(path, keep=3, resume=False)])
    expected = fit_quietly(clone(model).set_params(callbacks=None), X, y)
    with interrupted_after(2):
        fit(model, X, y)
    names = ["fit.ckpt", "fit.ckpt.1", "fit.ckpt.2"]  # the last is that of the other fit
    assert sorted(file.name for file in path.parent.iterdir()) == names
    assert fitted_values(fit_quietly(model, X, y)) == fitted_values(expected)
    continued = clone(model).set_params(callbacks=[checkpoint(path)])
    assert fitted_values(fit_quietly(continued, X, y)) == fitted_values(expected)


def test_any_number_of_files_can_be_kept(path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path, keep=2**70)])
    with interrupted_after(5):
        fit(model, X, y)
    names = ["fit.ckpt", *(f"fit.ckpt.{i}" for i in range(1, 5))]
    assert sorted(file.name for file in path.parent.iterdir()) == names
    fit(model.set_params(callbacks=[checkpoint(path, keep=2**70, resume=False)]), X, y)


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("links", [True, False])
def test_last_files_are_kept(keep, links, path, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", _raises_oserror)
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path, keep=keep)])
    expected = fit_quietly(clone(model).set_params(callbacks=None), X, y)
    with interrupted_after(5):
        fit(model, X, y)
    names = ["fit.ckpt", "fit.ckpt.1", "fit.ckpt.2"][:keep]
    assert sorted(file.name for file in path.parent.iterdir()) == names
    contents = [(path.parent / name).read_bytes() for name in names]
    assert len(set(contents)) == keep
    for content in contents:
        path.write_bytes(content)
        assert fitted_values(fit_quietly(clone(model), X, y)) == fitted_values(expected)


def _raises_oserror(*args, **kwargs):
    raise OSError(95, "not supported")


def _written_epochs(monkeypatch, path, **parameters):
    """Return the epochs after which a fit of 7 epochs writes its file."""
    epochs = []
    monkeypatch.setattr(
        CheckpointMonitor,
        "_replace_file",
        lambda monitor, state: epochs.append(state.progress.n_iter),
    )
    fit_quietly(TorchMLPClassifier(**SMALL, callbacks=[Checkpoint(path, **parameters)]), X, y)
    return epochs


def test_every_counts_epochs(path, monkeypatch):
    assert _written_epochs(monkeypatch, path, every=3, every_seconds=0) == [3, 6, 7]
    assert _written_epochs(monkeypatch, path, every=1, every_seconds=0) == [*range(1, 8)]


def test_every_seconds_counts_time(path, monkeypatch):
    seconds = itertools.count()  # one for each reading of the clock
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    assert _written_epochs(monkeypatch, path, every_seconds=1000) == [7]
    # The clock is read after each epoch, and before and after each write.
    assert _written_epochs(monkeypatch, path, every_seconds=2) == [2, 4, 6, 7]
    assert _written_epochs(monkeypatch, path) == [1, 7]  # 200 times the duration of a write


@pytest.mark.parametrize(
    ("duration", "interval"), [(0.0, 1.0), (0.005, 1.0), (0.05, 10.0), (5.0, 300.0)]
)
def test_default_interval_is_200_times_the_duration_of_a_write(duration, interval):
    monitor = CheckpointMonitor(Checkpoint("fit.ckpt"), {}, 10, [])
    assert monitor._interval(duration) == pytest.approx(interval)
    monitor = CheckpointMonitor(Checkpoint("fit.ckpt", every_seconds=3), {}, 10, [])
    assert monitor._interval(duration) == 3.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"every": 0}, "Checkpoint: every=0 must be an int >= 1"),
        ({"every": 1.5}, r"every=1\.5 must be an int >= 1"),
        ({"every": True}, "every=True must be an int"),
        ({"every_seconds": -1}, "every_seconds=-1 must be None or a number >= 0"),
        ({"every_seconds": float("nan")}, "every_seconds=nan must be None or a number >= 0"),
        ({"every_seconds": "1"}, "every_seconds='1' must be None or a number >= 0"),
        ({"every_seconds": 10**400}, "every_seconds=1000.* must be None or a number >= 0"),
        ({"keep": 0}, "keep=0 must be an int >= 1"),
        ({"resume": "yes"}, "resume='yes' must be a bool"),
        ({"path": 3}, "path=3 must be a str or a path"),
        ({"path": b"fit.ckpt"}, "path=b'fit.ckpt' must be a str or a path"),
        ({"path": ""}, "path='' must end with the name of a file"),
        ({"path": "/"}, "path='/' must end with the name of a file"),
        ({"path": "folder/"}, "path='folder/' must end with the name of a file"),
        ({"path": "."}, r"path='.' cannot be used with keep=1: it is a folder"),
        ({"path": "~"}, "path='~' cannot be used with keep=1: it is a folder"),
        ({"path": "a\0b"}, r"path='a\\x00b' cannot be used with keep=1: .*null"),
        ({"path": "{fits}.ckpt"}, "path='{fits}.ckpt' may only contain the placeholder '{fit}'"),
        ({"path": "x" * 240}, "cannot be used with keep=1: .*File name too long"),
        ({"path": "{fit}"}, r"'{fit}' requires an int as random_state, got random_state=None: sev"),
        ({"path": "no/folder/fit.ckpt"}, "the folder of path='no/folder/fit.ckpt' does not exist"),
    ],
)
def test_invalid_parameters_raise(parameters, message):
    model = TorchMLPClassifier(callbacks=[Checkpoint(**{"path": "fit.ckpt", **parameters})])
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([Checkpoint], "contains the class Checkpoint. Pass an instance"),
        ([Checkpoint("a"), ("b", Checkpoint("b"))], "one Checkpoint at most"),
        ([Checkpoint("a"), LRScheduler("StepLR", step_size=2)], "LRScheduler cannot continue from"),
        ([Checkpoint("a"), EarlyStopping()], "Use the parameter early_stopping of the estimator"),
        (Checkpoint("a"), r"Use callbacks=\[Checkpoint\('a', every=1, every_sec"),
        (["fit.ckpt"], "skorch.callbacks.Callback or torchmlp.callbacks.Checkpoint"),
    ],
)
def test_invalid_callbacks_raise(callbacks, message):
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifier(callbacks=callbacks).fit(X, y, X_val=X, y_val=y)


def test_lbfgs_and_partial_fit_are_refused(path):
    model = TorchMLPClassifier(callbacks=[Checkpoint(path)])
    with pytest.raises(ValueError, match="partial_fit, because each call is a fit of one epoch"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="state of SciPy's solver cannot be restored"):
        model.set_params(solver="lbfgs").fit(X, y)
    ensemble = WeightSharingClassifier(TorchMLPClassifier(callbacks=[Checkpoint(path)]))
    with pytest.raises(ValueError, match=r"callbacks=\[Checkpoint\("):
        ensemble.fit(X, y)
    assert not path.exists()


def test_other_callbacks_see_the_history(path):
    def callbacks(*first):
        return [*first, ("f1", EpochScoring("f1_macro", on_train=True)), Snapshots()]

    model = TorchMLPClassifier(**SMALL, callbacks=callbacks())
    expected = fit_quietly(model, X, y)
    saved = clone(model).set_params(callbacks=callbacks(("file", checkpoint(path))))
    with interrupted_after(4):
        fit(saved, X, y)
    continued = fit_quietly(saved, X, y)
    assert fitted_values(continued) == fitted_values(expected)
    assert [snapshot.epoch for snapshot in find_snapshots(continued)] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (Path("file"), f"{Path('file')!r}"),
        ({1}, "{1}"),
        (1j, "1j"),
        ([1, {"key": {2}}], "[1, {'key': {2}}]"),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([1, 2]), [1, 2]),
        (np.array([None]), "array([None], dtype=object)"),
    ],
)
def test_other_values_in_the_history_are_converted(value, stored, path):
    class Records(EpochScoring):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("thing", value)

    callbacks = [checkpoint(path), Records("accuracy", on_train=True)]
    model = TorchMLPClassifier(**SMALL, callbacks=callbacks)
    _, issued = fit(clone(model), X, y)
    expected = [text for text, _ in issued]
    (text,) = [text for text in expected if "Checkpoint" in text]
    assert f"of type {type(value).__name__} with the key 'thing'" in text
    path.unlink()
    with interrupted_after(3):
        fit(model, X, y)
    continued, issued = fit(model, X, y)
    assert sorted(text for text, _ in issued) == sorted(expected)
    assert continued.history_[:, "thing"] == [stored] * 3 + [value] * 4


def test_list_that_contains_itself_in_the_history_is_converted(path):
    class Records(EpochScoring):
        def on_epoch_end(self, net, **kwargs):
            value = []
            value.append(value)
            net.history.record("thing", value)

    callbacks = [checkpoint(path), Records("accuracy", on_train=True)]
    _, issued = fit(TorchMLPClassifier(**SMALL, callbacks=callbacks), X, y)
    assert [text for text, _ in issued if "with the key 'thing'" in text]


class _OddState(torch.optim.SGD):
    def state_dict(self):
        return {**super().state_dict(), "odd": object()}


def test_state_of_a_solver_that_cannot_be_saved_raises(path):
    model = TorchMLPClassifier(**SMALL, solver=_OddState, callbacks=[checkpoint(path)])
    with pytest.raises(ValueError, match=r"state of the solver, which contains <object .* of type"):
        model.fit(X, y)


def test_estimator_keeps_no_state_of_the_callback(path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    unfitted = pickle.dumps(model.callbacks)
    fit_quietly(model, X, y)
    assert pickle.dumps(model.callbacks) == unfitted
    without = fit_quietly(TorchMLPClassifier(**SMALL), X, y)
    assert len(pickle.dumps(model)) < len(pickle.dumps(without)) + 500
    copy = pickle.loads(pickle.dumps(model))
    assert vars(clone(copy).callbacks[0]) == vars(model.callbacks[0])
    assert repr(copy.callbacks[0]).startswith(f"Checkpoint({path!r}, every=1, every_seconds=0")


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_files_of_their_own_require_a_seed(random_state, tmp_path):
    callbacks = [Checkpoint(tmp_path / "{fit}.ckpt")]
    model = TorchMLPClassifier(callbacks=callbacks, random_state=random_state)
    with pytest.raises(ValueError, match=r"got random_state=.* Set random_state=0"):
        model.fit(X, y)
    assert not list(tmp_path.iterdir())


def test_search_over_functions_has_files_of_its_own(tmp_path):
    def scaled(factor):
        return lambda raw, y: factor * focal_loss(raw, y)

    model = TorchMLPClassifier(**SMALL, callbacks=[Checkpoint(tmp_path / "{fit}.ckpt")])
    losses = [scaled(1.0), scaled(1e-9)]
    search = GridSearchCV(model, {"loss": losses}, cv=2, scoring="neg_log_loss")
    assert len(np.unique(fit_quietly(search, X, y).cv_results_["mean_test_score"])) == 2
    assert len(list(tmp_path.iterdir())) == 5


def test_fits_of_a_search_that_share_a_file_raise(path):
    search = GridSearchCV(
        TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)]),
        {"alpha": [0.1, 1.0]},
        error_score="raise",
    )
    with pytest.raises(ValueError, match=r"belongs to another fit.*each fit has its own file"):
        fit_quietly(search, X, y)


@pytest.mark.parametrize("backend", ["sequential", "torchmlp"])
def test_fits_of_a_search_have_files_of_their_own(backend, tmp_path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(tmp_path / "{fit}.ckpt")])
    search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2)
    with parallel_config(backend=backend):
        first = fit_quietly(clone(search), X, y)
        assert len(list(tmp_path.iterdir())) == 5  # two folds, two values and the refit
        with no_training():
            again = fit_quietly(clone(search), X, y)
    assert fitted_values(again.best_estimator_) == fitted_values(first.best_estimator_)
    scores = "mean_test_score"
    np.testing.assert_array_equal(again.cv_results_[scores], first.cv_results_[scores])


def test_fit_whose_file_is_replaced_by_another_fit_raises(path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    other = clone(model).set_params(alpha=1.0)

    class FitsAnother(EpochScoring):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                path.unlink()
                fit_quietly(other, X, y)

    model.set_params(callbacks=[checkpoint(path), FitsAnother("accuracy", on_train=True)])
    with pytest.raises(ValueError, match=r"alpha=0\.0001 instead of 1"):
        model.fit(X, y)


def test_file_that_is_damaged_during_the_fit_is_replaced(path):
    class Damages(EpochScoring):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                path.write_bytes(b"damaged")

    damages = Damages("accuracy", on_train=True)
    for keep in (1, 3):
        model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path, keep=keep), damages])
        assert fit_quietly(model, X, y).n_iter_ == 7
        with no_training():
            fit_quietly(model, X, y)
        path.unlink()


def test_same_fit_at_the_same_time_shares_its_file(path):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    other, expected = clone(model), fit_quietly(clone(model).set_params(callbacks=None), X, y)

    class FitsTheSame(EpochScoring):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                fit_quietly(other, X, y)

    model.set_params(callbacks=[checkpoint(path), FitsTheSame("accuracy", on_train=True)])
    np.testing.assert_array_equal(fit_quietly(model, X, y).coefs_[0], expected.coefs_[0])
    np.testing.assert_array_equal(other.coefs_[0], expected.coefs_[0])


def test_changed_working_directory_does_not_move_the_file(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    class Moves(EpochScoring):
        def on_epoch_begin(self, net, **kwargs):
            os.chdir(tmp_path / "elsewhere")

    moves = Moves("accuracy", on_train=True)
    fit_quietly(TorchMLPClassifier(**SMALL, callbacks=[checkpoint("a.ckpt"), moves]), X, y)
    assert (tmp_path / "a.ckpt").exists()


def test_partial_is_compared_by_its_arguments(path):
    solver = functools.partial(torch.optim.SGD, momentum=0.9)
    model = TorchMLPClassifier(**SMALL, solver=solver, callbacks=[checkpoint(path)])
    fit_quietly(model, X, y)
    fit_quietly(clone(model), X, y)
    model.set_params(solver=functools.partial(torch.optim.SGD, momentum=0.5))
    with pytest.raises(ValueError, match=r"momentum=0\.5.* instead of .*momentum=0\.9"):
        model.fit(X, y)


@pytest.mark.parametrize("verbose", [False, True])
def test_continuation_is_reported(verbose, path, caplog, capsys):
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    with interrupted_after(3):
        fit(model, X, y)
    model.set_params(verbose=verbose)
    for line in (f"Continues after epoch 3 of {path}.", f"{path} contains the finished fit."):
        caplog.clear()
        with caplog.at_level("INFO", logger="torchmlp"):
            fit_quietly(model, X, y)
        assert line in caplog.messages
        assert (line in capsys.readouterr().out.splitlines()) == verbose


_KINDS = {"kind": torch.optim.Adam}  # a global dict is not compared


def _optimizer(params, lr):
    return _KINDS["kind"](params, lr=lr)


def test_other_optimizer_of_the_same_function_is_refused(path, monkeypatch):
    model = TorchMLPClassifier(**SMALL, solver=_optimizer, callbacks=[checkpoint(path)])
    fit_quietly(model, X, y)
    before = path.read_bytes()
    monkeypatch.setitem(_KINDS, "kind", torch.optim.NAdam)
    with pytest.raises(ValueError, match=r"This fit has solver=NAdam .* instead of Adam .*. Use"):
        model.fit(X, y)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["loss", "activation", "solver"])
def test_fit_with_another_closure_is_refused(name, path):
    make = {
        "loss": lambda factor: lambda raw, y: factor * focal_loss(raw, y),
        "activation": lambda factor: lambda z: torch.sin(factor * z),
        "solver": lambda factor: lambda params, lr: torch.optim.SGD(params, lr=factor * lr),
    }[name]
    model = TorchMLPClassifier(**SMALL, callbacks=[checkpoint(path)])
    fit_quietly(model.set_params(**{name: make(1.0)}), X, y)
    with no_training():
        fit_quietly(model.set_params(**{name: make(1.0)}), X, y)
    with pytest.raises(
        ValueError, match=rf"another fit. This fit has {name}=.*#\w+ instead of .*#"
    ):
        model.set_params(**{name: make(2.0)}).fit(X, y)


def test_progress_bar_begins_at_the_epoch_of_the_file(path, monkeypatch):
    bars = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *args, **kwargs):
            bars.append(self)
            super().__init__(*args, **{**kwargs, "disable": False})

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    model = TorchMLPClassifier(**SMALL, verbose="bar", callbacks=[checkpoint(path)])
    with interrupted_after(3):
        fit(model, X, y)
    fit_quietly(model, X, y)
    assert [(bar.initial, bar.n) for bar in bars] == [(0, 3), (3, 7)]


def test_warm_start_from_a_network_of_scikit_learn(path):
    theirs = MLPClassifier((5,), solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    plain = TorchMLPClassifier.from_sklearn(theirs).set_params(**SMALL, solver="sgd")
    plain.set_params(warm_start=True)
    saved = copy.deepcopy(plain).set_params(callbacks=[checkpoint(path)])
    with interrupted_after(3):
        fit(saved, X, y)
    assert fitted_values(fit_quietly(saved, X, y)) == fitted_values(fit_quietly(plain, X, y))
