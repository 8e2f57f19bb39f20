"""Checks that skorch callbacks are supported: they must not need single batches."""

from skorch.callbacks import (
    Callback,
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

# `on_batch_end` methods of skorch that do not need the batch (they only cache predictions or
# count), or that depend on a parameter. The methods are listed, since subclasses may override them.
_HARMLESS = {EpochScoring.on_batch_end, ProgressBar.on_batch_end, TensorBoard.on_batch_end}
_IF_TOLD = {
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
        own = method is not getattr(Callback, hook) and method not in _HARMLESS
        if own and _IF_TOLD.get(method, lambda _: True)(callback):
            return True
    return False


def _callback_of(item):
    """Return the callback of an item, which is a callback or a tuple (name, callback)."""
    if isinstance(item, (list, tuple)) and len(item) == 2:
        _, item = item
    if isinstance(item, type) and issubclass(item, Callback):
        # skorch would create an instance that the user cannot access.
        raise ValueError(f"callbacks holds the class {item.__name__}. Give {item.__name__}().")
    if not isinstance(item, Callback):
        raise ValueError(
            f"callbacks holds {item!r}, which is no callback of skorch's. Give instances of "
            "skorch.callbacks.Callback; those of scikit-learn go to set_callbacks()."
        )
    return item


def check_callbacks(callbacks, learning_rate, with_validation, resumed):
    """Check that skorch callbacks are supported in combination with the parameters.

    Parameters
    ----------
    callbacks : list
        Callbacks, or tuples (name, callback), as in skorch.
    learning_rate : str or None
        The name of the learning rate schedule, or None if the learning rate is constant.
    with_validation : bool
        Whether the fit has validation data.
    resumed : bool
        Whether training continues from fitted weights.

    Raises
    ------
    ValueError
        If a callback is not supported.
    """
    for callback in map(_callback_of, callbacks):
        name = type(callback).__name__
        if _needs_batches(callback):
            raise ValueError(
                f"callbacks: {name} needs single batches, and the loss and predictions of each; "
                "batches are trained without such a stop. Use what works by epoch: "
                "EpochScoring, LRScheduler(step_every='epoch'), log_on_batch_end=False, or "
                "on_epoch_end in a callback of your own."
            )
        freezes = getattr(callback, "fn", None) in (freeze_parameter, unfreeze_parameter)
        if isinstance(callback, InputShapeSetter) or (
            isinstance(callback, ParamMapper) and freezes
        ):
            raise ValueError(
                f"callbacks: {name} changes how a torch module learns, but the solver updates all "
                "weights at once, whatever the module says. Leave it out."
            )
        if isinstance(callback, LRScheduler) and learning_rate is not None:
            raise ValueError(
                f"callbacks: LRScheduler and learning_rate={learning_rate!r} would both set the "
                "rate. Use learning_rate='constant', or leave LRScheduler out."
            )
        if isinstance(callback, LRScheduler) and resumed:
            raise ValueError(
                "callbacks: LRScheduler makes a new schedule at each call, from the number of "
                "epochs so far but without its rate. Instead of partial_fit or warm_start use one "
                "fit, or set learning_rate_init between the calls."
            )
        if getattr(callback, "f_pickle", None):
            raise ValueError(
                f"callbacks: {name}(f_pickle={callback.f_pickle!r}) would pickle the net of one "
                "fit, which is of no use without it. Pickle the estimator, or save f_params."
            )
        if isinstance(callback, EpochScoring) and not (callback.on_train or with_validation):
            raise ValueError(
                f"callbacks: {name}({callback.scoring!r}) scores validation data, but there are "
                "none. Pass X_val and y_val to fit, set early_stopping=True, or on_train=True."
            )
        watched = getattr(callback, "monitor", None)
        if isinstance(watched, str) and watched.startswith("valid_") and not with_validation:
            instead = "train_loss_best" if watched.endswith("_best") else "train_loss"
            raise ValueError(
                f"callbacks: {name} watches {watched!r}, but there are no validation data. Pass "
                f"X_val and y_val to fit, set early_stopping=True, or monitor={instead!r}."
            )
