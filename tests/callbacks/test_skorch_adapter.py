"""Tests for torchmlp.callbacks.skorch_adapter."""

import pickle

import numpy as np
import pytest
import torch
from helpers import TASKS, assert_identical, assert_same_weights, fit_quietly, iris, muon
from sklearn.base import clone
from sklearn.metrics import make_scorer, mean_absolute_error, roc_auc_score
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    Initializer,
    LoadInitState,
    LRScheduler,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
)

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()

X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = X[::2], X[1::2], y[::2], y[1::2]
_, X_REG, Y_REG, _ = TASKS["regression"]
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}


def mlp(*callbacks, **parameters):
    parameters = {"max_iter": 6, "random_state": 0, "batch_size": 20, **parameters}
    return TorchMLPClassifier((10,), callbacks=list(callbacks), **parameters)


def models_after_each_epoch(model, n_epochs):
    model = clone(model).set_params(callbacks=None)
    for _ in range(n_epochs):
        yield model.partial_fit(X_TRAIN, Y_TRAIN, classes=[0, 1, 2])


def test_epoch_scoring_equals_the_score_after_each_epoch():
    def margin(net, X, y):
        return net.predict_proba(X)[np.arange(len(y)), y].mean()

    model = mlp(
        EpochScoring("accuracy", lower_is_better=False),
        EpochScoring("neg_log_loss", lower_is_better=False, on_train=True),
        EpochScoring("roc_auc_ovr", name="auc", lower_is_better=False),
        EpochScoring(margin, lower_is_better=False),
        EpochScoring(None, name="default", lower_is_better=False),
    )
    history = fit_quietly(model, X_TRAIN, Y_TRAIN, **VALIDATION).history_
    for row, after in zip(history, models_after_each_epoch(model, 6), strict=True):
        assert row["accuracy"] == row["default"] == after.score(X_VAL, Y_VAL)
        loss = -np.log(after.predict_proba(X_TRAIN)[np.arange(75), Y_TRAIN]).mean()
        np.testing.assert_allclose(-row["neg_log_loss"], loss, rtol=1e-12)
        np.testing.assert_allclose(row["margin"], margin(after, X_VAL, Y_VAL), rtol=1e-12)
        assert 0 < row["auc"] <= 1
    assert history[0, "accuracy_best"]
    assert_identical(model, fit_quietly(clone(model).set_params(callbacks=None), X_TRAIN, Y_TRAIN))


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_epoch_scoring_uses_the_method_of_the_classifier(loss):
    model = mlp(EpochScoring("roc_auc", on_train=True, lower_is_better=False), loss=loss)
    fit_quietly(model, X, y > 1)
    scores = model.predict_proba(X)[:, 1] if loss == "log_loss" else model.decision_function(X)
    assert model.history_[-1, "roc_auc"] == roc_auc_score(y > 1, scores)


def test_epoch_scoring_uses_the_split_of_early_stopping():
    scorer = make_scorer(mean_absolute_error)
    seen = []

    def spy(net, X, y):
        seen.append((X.shape, y.shape))
        return scorer(net, X, y)

    model = TorchMLPRegressor(
        max_iter=3,
        early_stopping=True,
        validation_fraction=0.2,
        random_state=0,
        callbacks=[EpochScoring(spy), EpochScoring(spy, on_train=True, name="train_mae")],
    )
    fit_quietly(model, X_REG, Y_REG)
    assert set(seen) == {((50, 10), (50,)), ((200, 10), (200,))}
    assert len(model.history_[:, "train_mae"]) == 3


def test_lr_scheduler_equals_the_cosine_schedule():
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    scheduled = fit_quietly(mlp(LRScheduler(cosine, T_max=6)), X, y)
    planned = fit_quietly(mlp(learning_rate="cosine"), X, y)
    assert_same_weights(scheduled, planned, rtol=1e-10)
    rates = scheduled.history_[:, "event_lr"]
    np.testing.assert_allclose(rates, 0.0005 * (1 + np.cos(np.pi * np.arange(6) / 6)))


def test_lr_scheduler_by_plateau_and_by_name():
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    model = mlp(LRScheduler(plateau, monitor="train_loss", patience=0, threshold=10.0, factor=0.5))
    rates = fit_quietly(model, X, y).history_[:, "event_lr"]
    np.testing.assert_allclose(rates, 0.001 * 0.5 ** np.arange(6))
    restarts = fit_quietly(mlp(LRScheduler("WarmRestartLR", max_lr=0.1)), X, y).history_
    assert len(set(restarts[:, "event_lr"])) == 6


@pytest.mark.parametrize("solver", ["adamw", "sgd", torch.optim.RMSprop])
def test_lr_scheduler_works_with_every_solver_in_one_fit(solver):
    scheduler = LRScheduler("StepLR", step_size=2, gamma=0.1)
    model = fit_quietly(mlp(scheduler, solver=solver, warm_start=True), X, y)
    assert model.history_[:, "event_lr"] == pytest.approx(np.repeat([1e-3, 1e-4, 1e-5], 2))
    for again in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"creates a new schedule.*Use a single fit"):
            again(X, y)


class Reader(Callback):
    """Reads the rate, as loggers do."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("rate", ["cosine", "one_cycle", "invscaling", "adaptive"])
def test_reading_the_rate_does_not_change_the_schedule(rate):
    parameters = {"learning_rate": rate, "solver": "sgd", "tol": 10.0, "n_iter_no_change": 2}
    model = fit_quietly(mlp(Reader(), **parameters), X, y)
    assert len(set(model.history_[:, "lr"])) > 1
    assert_identical(model, fit_quietly(mlp(**parameters), X, y))


def test_checkpoint_loads_into_the_torch_module(tmp_path):
    checkpoint = Checkpoint(
        dirname=tmp_path, f_params="epoch_{last_epoch[epoch]}.pt", monitor=None, sink=print
    )
    model = fit_quietly(mlp(checkpoint, dropout=0.1), X_TRAIN, Y_TRAIN, **VALIDATION)
    assert len(list(tmp_path.glob("epoch_*.pt"))) == 6
    assert {"optimizer.pt", "criterion.pt", "history.json"} <= {p.name for p in tmp_path.iterdir()}
    network = model.to_torch()
    network.load_state_dict(torch.load(tmp_path / "epoch_6.pt", weights_only=True))
    np.testing.assert_allclose(
        network(torch.from_numpy(X)).numpy(force=True), model.predict_proba(X), rtol=1e-12
    )
    network.load_state_dict(torch.load(tmp_path / "epoch_2.pt", weights_only=True))
    *_, second = models_after_each_epoch(model, 2)
    np.testing.assert_allclose(
        network(torch.from_numpy(X)).numpy(force=True), second.predict_proba(X), rtol=1e-12
    )


def test_checkpoint_restores_the_best_weights(tmp_path):
    model = mlp(
        Checkpoint(dirname=tmp_path, load_best=True), learning_rate_init=0.5, max_iter=12, alpha=0
    )
    fit_quietly(model, X_TRAIN, Y_TRAIN, **VALIDATION)
    assert np.argmin(model.validation_loss_curve_) != 11
    probabilities = model.predict_proba(X_VAL)[np.arange(75), Y_VAL]
    assert -np.log(probabilities).mean() == pytest.approx(min(model.validation_loss_curve_))


def test_checkpoint_restores_the_solver(tmp_path):
    saved = TrainEndCheckpoint(dirname=str(tmp_path))
    fit_quietly(mlp(saved, max_iter=3, shuffle=False), X, y)
    resumed = fit_quietly(mlp(LoadInitState(saved), max_iter=3, shuffle=False), X, y)
    assert_identical(resumed, fit_quietly(mlp(max_iter=6, shuffle=False), X, y))


@pytest.mark.parametrize("solver", [torch.optim.Adafactor, muon])
def test_checkpoint_restores_a_torch_optimizer(solver, tmp_path):
    saved = TrainEndCheckpoint(dirname=str(tmp_path))
    settings = {"solver": solver, "shuffle": False, "learning_rate_init": 0.02}
    fit_quietly(mlp(saved, **settings, max_iter=2), X, y)
    resumed = fit_quietly(mlp(LoadInitState(saved), **settings, max_iter=2), X, y)
    assert_identical(resumed, fit_quietly(mlp(**settings, max_iter=4), X, y))


def test_callbacks_see_the_history_of_a_checkpoint(tmp_path):
    saved = Checkpoint("train_loss_best", dirname=tmp_path)
    fit_quietly(mlp(saved, max_iter=5), X, y)
    scores = EpochScoring("accuracy", on_train=True, lower_is_better=False)
    stopper = EarlyStopping("train_loss", patience=2)
    model = fit_quietly(mlp(LoadInitState(saved), scores, stopper, max_iter=10), X, y)
    assert model.history_[:, "epoch"] == list(range(1, 16))
    assert len(model.history_[:, "accuracy"]) == model.n_iter_ == 10
    with pytest.raises(ValueError, match=r"saved with solver .adam.*without f_optimizer"):
        mlp(LoadInitState(saved), solver="sgd").fit(X, y)


def test_best_score_continues_in_partial_fit():
    scores = EpochScoring("accuracy", on_train=True, lower_is_better=False)
    model = mlp(scores, learning_rate_init=5.0)
    for _ in range(6):
        model.partial_fit(X, y, classes=[0, 1, 2])
    accuracy = model.history_[:, "accuracy"]
    best = np.maximum.accumulate([-np.inf, *accuracy])[:-1] < accuracy
    assert model.history_[:, "accuracy_best"] == best.tolist()
    assert not best.all()


def test_early_stopping_of_skorch(capsys):
    stopper = EarlyStopping(patience=2, lower_is_better=True, load_best=True)
    model = mlp(stopper, learning_rate_init=0.5, max_iter=100)
    model.fit(X_TRAIN, Y_TRAIN, **VALIDATION)  # without a warning
    assert model.n_iter_ < 100
    best = stopper.best_epoch_
    assert best == model.n_iter_ - 2
    probabilities = model.predict_proba(X_VAL)[np.arange(75), Y_VAL]
    loss = -np.log(probabilities).mean()
    assert loss == pytest.approx(model.validation_loss_curve_[best - 1])
    assert "Stopping since valid_loss has not improved" in capsys.readouterr().out


def test_gradient_norm_clipping_equals_max_grad_norm():
    clipped = fit_quietly(mlp(GradientNormClipping(0.1), solver="sgd"), X, y)
    own = fit_quietly(mlp(max_grad_norm=0.1, solver="sgd"), X, y)
    assert_same_weights(clipped, own, rtol=1e-4)  # torch adds 1e-6 to the norm
    free = fit_quietly(mlp(solver="sgd"), X, y)
    assert abs(free.coefs_[0] - own.coefs_[0]).max() > 1e-3


def test_progress_bar_counts_batches():
    bar = ProgressBar()
    fit_quietly(mlp(bar, max_iter=2, batch_size=25), X_TRAIN, Y_TRAIN, **VALIDATION)
    assert bar.pbar_.n == bar.pbar_.total == 4  # three batches, and the validation data


def test_print_log_prints_every_epoch(capsys):
    model = mlp(PrintLog(), ("timer", EpochTimer()), n_iter_no_change=2, tol=10.0, max_iter=50)
    model.fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == 2 + model.n_iter_
    assert min(model.history_[:, "dur"]) > 0


class Change(Callback):
    """Changes the weights, in one of the ways that torch has."""

    def __init__(self, how, when):
        self.how, self.when = how, when

    def change(self, net):
        for parameter in net.module_.parameters():
            changed = parameter.clamp(min=0)
            if self.how == "in place":
                parameter.clamp_(min=0)
            elif self.how == "data":
                parameter.data = changed
        if self.how == "state":
            state = {name: v.clamp(min=0) for name, v in net.module_.state_dict().items()}
            net.module_.load_state_dict(state, assign=True)

    def on_epoch_end(self, net, **kwargs):
        if self.when == "epoch":
            self.change(net)

    def on_train_end(self, net, **kwargs):
        if self.when == "train":
            self.change(net)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("when", ["epoch", "train"])
@pytest.mark.parametrize("how", ["in place", "data", "state"])
def test_weights_changed_by_a_callback_are_published(how, when, early_stopping):
    model = fit_quietly(mlp(Change(how, when), early_stopping=early_stopping), X, y)
    assert min(w.min() for w in model.coefs_) == 0
    assert max(w.max() for w in model.coefs_) > 0


def test_initializer_and_changed_gradients_take_effect():
    class Still(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            for _, parameter in named_parameters:
                parameter.grad = torch.zeros_like(parameter)

    zeros = Initializer("*", fn=torch.nn.init.zeros_)
    model = fit_quietly(mlp(zeros, Still(), solver="sgd"), X, y)
    assert not any(w.any() for w in model.coefs_)


class Recorder(Callback):
    """Records the hooks that are called."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def initialize(self):
        self.called_ = []
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.called_.append("train begins")

    def on_epoch_begin(self, net, **kwargs):
        self.called_.append("epoch begins")

    def on_epoch_end(self, net, **kwargs):
        self.called_.append("epoch ends")
        if len(net.history) == self.stop_after:
            raise KeyboardInterrupt

    def on_train_end(self, net, **kwargs):
        self.called_.append("train ends")


def test_hooks_are_called_in_order_until_a_callback_stops():
    recorder = Recorder(stop_after=2)
    model = mlp(recorder, early_stopping=True).fit(X, y)  # without a warning
    epochs = ["epoch begins", "epoch ends"] * 2
    assert recorder.called_ == ["train begins", *epochs, "train ends"]
    assert len(model.validation_scores_) == len(model.loss_curve_) == 2


def test_schedule_continues_after_a_callback_stops():
    parameters = {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1}
    stopped, plain = mlp(Recorder(stop_after=1), **parameters), mlp(**parameters)
    for _ in range(4):
        stopped.callbacks[0].stop_after = len(getattr(stopped, "loss_curve_", [])) + 1
        stopped.partial_fit(X, y, classes=[0, 1, 2])
        plain.partial_fit(X, y, classes=[0, 1, 2])
    assert_identical(stopped, plain)


def test_search_and_pickle_with_callbacks():
    scheduler = LRScheduler("StepLR", step_size=2)
    scores = EpochScoring("accuracy", on_train=True)
    model = mlp(scores, scheduler, EarlyStopping("train_loss"), Recorder())
    search = GridSearchCV(model, {"alpha": [0.0, 1.0], "callbacks": [None, model.callbacks]}, cv=2)
    fit_quietly(search, X, y)
    assert search.best_score_ > 0.5
    fit_quietly(model, X, y)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict_proba(X), model.predict_proba(X))
    large = fit_quietly(
        TorchMLPClassifier((1000,), max_iter=2, callbacks=[scheduler], random_state=0), X, y
    )
    assert len(pickle.dumps(large)) < 1.2 * 8 * large.n_parameters_
