"""Checks that skorch callbacks are supported: they must not need single batches."""

from dataclasses import dataclass

from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    ProgressBar,
    SacredLogger,
    TensorBoard,
)
from skorch.utils import freeze_parameter, unfreeze_parameter

# `on_batch_end` methods of skorch that ignore the batch (they only cache predictions or count), and
# those that need it if a parameter says so. The methods are listed instead of the classes, since
# subclasses may override them.
_IGNORES_BATCH = {EpochScoring.on_batch_end, ProgressBar.on_batch_end, TensorBoard.on_batch_end}
_NEEDS_BATCH_IF = {
    LRScheduler.on_batch_end: lambda callback: callback.step_every == "batch",
    MlflowLogger.on_batch_end: lambda callback: callback.log_on_batch_end,
    NeptuneLogger.on_batch_end: lambda callback: callback.log_on_batch_end,
    SacredLogger.on_batch_end: lambda callback: callback.log_on_batch_end,
}


def _needs_batches(callback):
    if isinstance(callback, PassthroughScoring):
        return True
    for hook in ("on_batch_begin", "on_batch_end"):
        method = getattr(type(callback), hook)
        own = method is not getattr(Callback, hook) and method not in _IGNORES_BATCH
        if own and _NEEDS_BATCH_IF.get(method, lambda _: True)(callback):
            return True
    return False


def _callback_of(item):
    """Return the callback of an item, which is a callback or a tuple (name, callback)."""
    if isinstance(item, (list, tuple)) and len(item) == 2:
        _, item = item
    if isinstance(item, type) and issubclass(item, Callback):
        # skorch would create an instance that the user cannot access.
        raise ValueError(
            f"callbacks contains the class {item.__name__}. Pass an instance, {item.__name__}()."
        )
    if not isinstance(item, Callback):
        raise ValueError(
            f"callbacks contains {item!r}, which is not a callback of skorch. Pass instances of "
            "skorch.callbacks.Callback or torchmlp.callbacks.Checkpoint. Pass callbacks of "
            "scikit-learn to set_callbacks()."
        )
    return item


@dataclass(frozen=True)
class Fit:
    """What the checks need to know about a fit.

    Attributes
    ----------
    learning_rate : str or None
        The name of the learning rate schedule, or None if the learning rate is constant.
    with_validation : bool
        Whether the fit has validation data.
    resumed : bool
        Whether training continues from fitted weights.
    saved : bool
        Whether a `Checkpoint` saves the state, without that of skorch callbacks.
    """

    learning_rate: str | None
    with_validation: bool
    resumed: bool
    saved: bool = False


def _batches_are_needed(name, callback, fit):
    if _needs_batches(callback):
        return (
            f"{name} needs the loss and the predictions of single batches, which are not "
            "available. Use callbacks that work per epoch, such as EpochScoring, "
            "LRScheduler(step_every='epoch'), loggers with log_on_batch_end=False, or a callback "
            "with the method on_epoch_end."
        )


def _module_is_changed(name, callback, fit):
    freezes = getattr(callback, "fn", None) in (freeze_parameter, unfreeze_parameter)
    if isinstance(callback, InputShapeSetter) or (isinstance(callback, ParamMapper) and freezes):
        return (
            f"{name} changes how a torch module is trained, which has no effect on the solver. "
            "Remove it."
        )


def _learning_rate_is_set_twice(name, callback, fit):
    if isinstance(callback, LRScheduler) and fit.learning_rate is not None:
        return (
            f"LRScheduler and learning_rate={fit.learning_rate!r} would both set the learning "
            "rate. Use learning_rate='constant', or remove LRScheduler."
        )


def _scheduler_cannot_continue(name, callback, fit):
    if isinstance(callback, LRScheduler) and fit.resumed:
        return (
            "LRScheduler creates a new schedule in each call and cannot continue the previous "
            "one. Use a single fit instead of partial_fit or warm_start, or set "
            "learning_rate_init between the calls."
        )


def _state_is_not_saved(name, callback, fit):
    if fit.saved and isinstance(callback, (LRScheduler, EarlyStopping)):
        instead = "learning_rate" if isinstance(callback, LRScheduler) else "early_stopping"
        return (
            f"{name} cannot continue from a Checkpoint, which does not save its state. Use the "
            f"parameter {instead} of the estimator, or remove one of the two callbacks."
        )


def _net_is_pickled(name, callback, fit):
    if getattr(callback, "f_pickle", None):
        return (
            f"{name}(f_pickle={callback.f_pickle!r}) is not supported, because the net cannot be "
            "used after the fit. Pickle the estimator, or use f_params."
        )


def _scoring_needs_validation_data(name, callback, fit):
    if isinstance(callback, EpochScoring) and not (callback.on_train or fit.with_validation):
        return (
            f"{name}({callback.scoring!r}) needs validation data. Pass X_val and y_val to fit, or "
            "set early_stopping=True or on_train=True."
        )


def _monitor_needs_validation_data(name, callback, fit):
    watched = getattr(callback, "monitor", None)
    if isinstance(watched, str) and watched.startswith("valid_") and not fit.with_validation:
        instead = "train_loss_best" if watched.endswith("_best") else "train_loss"
        return (
            f"{name} monitors {watched!r}, but there are no validation data. Pass X_val and y_val "
            f"to fit, or set early_stopping=True or monitor={instead!r}."
        )


# Each takes the name of a callback, the callback and the `Fit`. It returns an error message, or
# None if the callback is supported.
_CHECKS = [
    _batches_are_needed,
    _module_is_changed,
    _learning_rate_is_set_twice,
    _scheduler_cannot_continue,
    _state_is_not_saved,
    _net_is_pickled,
    _scoring_needs_validation_data,
    _monitor_needs_validation_data,
]


def check_callbacks(callbacks, learning_rate, with_validation, resumed, saved=False):
    """Check that skorch callbacks are supported in combination with the parameters.

    Parameters
    ----------
    callbacks : list
        Callbacks, or tuples (name, callback), as in skorch.
    learning_rate, with_validation, resumed, saved
        See `Fit`.

    Raises
    ------
    ValueError
        If a callback is not supported.
    """
    fit = Fit(learning_rate, with_validation, resumed, saved)
    for callback in map(_callback_of, callbacks):
        for check in _CHECKS:
            message = check(type(callback).__name__, callback, fit)
            if message:
                raise ValueError(f"callbacks: {message}")
