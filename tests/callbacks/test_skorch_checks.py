"""Tests for torchmlp.callbacks.skorch_checks."""

import io

import numpy as np
import pytest
from helpers import fit_quietly, iris
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
)
from skorch.utils import freeze_parameter

from torchmlp import TorchMLPClassifier

X, y = iris()


class PerBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        """Do something with the batch."""


@pytest.mark.parametrize(
    ("callbacks", "parameters", "match"),
    [
        ([BatchScoring("accuracy")], {}, "BatchScoring needs .* of single batches.*EpochScoring"),
        ([("mine", PerBatch())], {}, "PerBatch needs .* of single batches.*on_epoch_end"),
        ([LRScheduler(step_every="batch")], {}, "LRScheduler needs .* of single batches"),
        ([PassthroughScoring("loss")], {}, "PassthroughScoring needs .* of single batches"),
        ([Freezer("*")], {}, "Freezer changes how a torch module is trained"),
        ([ParamMapper("*", freeze_parameter)], {}, "ParamMapper changes how"),
        ([Checkpoint()], {}, "Checkpoint monitors 'valid_loss_best'.*monitor='train_loss_best'"),
        ([LRScheduler()], {"learning_rate": "cosine"}, "LRScheduler and learning_rate='cosine'"),
        ([Checkpoint(f_pickle="net.pkl")], {}, "Pickle the estimator, or use f_params"),
        ([EarlyStopping()], {}, "monitors 'valid_loss', but there are no validation data"),
        ([EpochTimer()], {"solver": "lbfgs"}, "not supported with solver='lbfgs'.*set_callbacks"),
        (["timer"], {}, "contains 'timer', which is not a callback of skorch"),
        ([PrintLog], {}, r"contains the class PrintLog. Pass an instance, PrintLog\(\)"),
        ([EpochScoring("f1")], {}, r"EpochScoring\('f1'\) needs validation data.*on_train=True"),
    ],
)
def test_unusable_callbacks_raise_before_training(callbacks, parameters, match):
    model = TorchMLPClassifier(callbacks=callbacks, **parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


def test_lr_scheduler_beside_an_ignored_schedule_is_accepted():
    scheduler = LRScheduler("StepLR", step_size=3, gamma=0.5)
    model = TorchMLPClassifier(
        (10,), learning_rate="adaptive", callbacks=[scheduler], max_iter=6, random_state=0
    )
    rates = fit_quietly(model, X, y).history_[:, "event_lr"]
    assert rates == pytest.approx(np.repeat([1e-3, 5e-4], 3))


def test_checkpoint_accepts_the_validation_data_of_early_stopping():
    file = io.BytesIO()
    checkpoint = Checkpoint(f_params=file, f_optimizer=None, f_criterion=None, f_history=None)
    model = TorchMLPClassifier(
        (10,), early_stopping=True, callbacks=[checkpoint], max_iter=6, random_state=0
    )
    fit_quietly(model, X, y)
    assert file.tell() > 0
