"""Fits that are interrupted after an epoch, and the comparison of fits to the last bit."""

import warnings
from contextlib import contextmanager
from unittest import mock

import numpy as np

from torchmlp import base
from torchmlp.callbacks import Checkpoint
from torchmlp.callbacks.monitors import monitors_of
from torchmlp.training.loop import Monitor
from torchmlp.training.stochastic import EpochTrainer


class Interruption(Exception):
    """Raised after an epoch."""


class Interrupts(Monitor):
    """Raises an exception when an epoch begins."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, inputs, state):
        if state.progress.n_iter == self.epoch:
            raise Interruption


@contextmanager
def interrupted_after(epoch):
    """Interrupt the fits of the `with` block after an epoch, and expect that."""

    def monitors(*args):
        return [*monitors_of(*args), Interrupts(epoch)]

    with mock.patch.object(base, "monitors_of", monitors):
        try:
            yield
        except Interruption:
            return
    raise AssertionError("the fit was not interrupted")


@contextmanager
def no_training():
    """Fail if a fit of the `with` block trains an epoch."""
    with mock.patch.object(EpochTrainer, "run_epoch", side_effect=AssertionError("trained")):
        yield


def checkpoint(path, **parameters):
    """Return a `Checkpoint` that writes after each epoch by default."""
    return Checkpoint(path, **{"every_seconds": 0, **parameters})


def fit(model, *args, **kwargs):
    """Fit, and return the model and the texts of the warnings."""
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        model.fit(*args, **kwargs)
    return model, [(str(warning.message), warning.category) for warning in issued]


def fitted_values(model):
    """Return everything that a fit has set, as comparable values."""
    return {
        name: _comparable(value)
        for name, value in vars(model).items()
        if name not in model.get_params(deep=False) and name != "_encoder"
    }


def _comparable(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.RandomState):
        return _comparable(value.get_state(legacy=False))
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_comparable(item) for item in value]
    if hasattr(value, "__dict__"):
        return type(value).__name__, _comparable(vars(value))
    return repr(value)  # equal for NaN, different for 1 and 1.0
