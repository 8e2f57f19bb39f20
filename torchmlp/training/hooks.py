"""What skorch's callbacks ask of a net: which of them can have it, and in what form."""

import torch
from skorch.callbacks import (
    Callback,
    EpochScoring,
    Freezer,
    InputShapeSetter,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    Unfreezer,
)

from torchmlp.training.solvers import with_tensors, without_tensors

_PER_BATCH = ("on_batch_begin", "on_batch_end")


def _logs_batches(callback):
    return callback.log_on_batch_end


def _never(callback):
    return False


# Method of skorch -> whether the callback that has it looks at the batches.
_LOOKS_AT_BATCHES = {
    EpochScoring.on_batch_end: _never,  # it would cache predictions
    LRScheduler.on_batch_end: lambda callback: callback.step_every == "batch",
    MlflowLogger.on_batch_end: _logs_batches,
    NeptuneLogger.on_batch_end: _logs_batches,
    ProgressBar.on_batch_end: _never,  # it counts them
    SacredLogger.on_batch_end: _logs_batches,
    TensorBoard.on_batch_end: _never,
}


def overrides(callback, hook):
    """Whether a callback does anything in this method."""
    return getattr(type(callback), hook) is not getattr(Callback, hook)


def _needs_batches(callback):
    methods = (getattr(type(callback), hook) for hook in _PER_BATCH if overrides(callback, hook))
    return any(_LOOKS_AT_BATCHES.get(method, lambda _: True)(callback) for method in methods)


def _callback_of(item):
    """Return the instance for what skorch accepts: an instance, a class, or (name, either)."""
    if isinstance(item, (list, tuple)) and len(item) == 2:
        _, item = item
    if isinstance(item, type) and issubclass(item, Callback):
        item = item()
    if not isinstance(item, Callback):
        raise ValueError(
            f"callbacks holds {item!r}, which is no callback of skorch's. Give instances of "
            "skorch.callbacks.Callback; those of scikit-learn go to set_callbacks()."
        )
    return item


def check_callbacks(callbacks, learning_rate, with_validation, incremental):
    """Make sure that skorch's callbacks find what they need, and do what they say.

    Parameters
    ----------
    callbacks : list
        As skorch takes them.
    learning_rate : str
    with_validation : bool
        Whether there will be validation data.
    incremental : bool
        Whether this is a step of `partial_fit`.

    Raises
    ------
    ValueError
        If one of them cannot work.
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
        if isinstance(callback, (Freezer, Unfreezer, InputShapeSetter)):
            raise ValueError(
                f"callbacks: {name} changes a torch module, but the solver updates all weights "
                "at once, whatever a module says. Leave it out."
            )
        if isinstance(callback, LRScheduler) and learning_rate != "constant":
            raise ValueError(
                f"callbacks: LRScheduler and learning_rate={learning_rate!r} would both set the "
                "rate. Use learning_rate='constant', or leave LRScheduler out."
            )
        if isinstance(callback, LRScheduler) and incremental:
            raise ValueError(
                "callbacks: LRScheduler makes its schedule anew at each call, so that partial_fit "
                "would stay at its beginning. Use fit, or set learning_rate_init between calls."
            )
        if getattr(callback, "f_pickle", None):
            raise ValueError(
                f"callbacks: {name}(f_pickle={callback.f_pickle!r}) would pickle the net of one "
                "fit, which is of no use without it. Pickle the estimator, or save f_params."
            )
        watched = getattr(callback, "monitor", None)
        if isinstance(watched, str) and watched.startswith("valid_") and not with_validation:
            raise ValueError(
                f"callbacks: {name} watches {watched!r}, but there is no validation data. Pass "
                "X_val and y_val to fit, set early_stopping=True, or monitor='train_loss'."
            )


class SolverHandle(torch.optim.Optimizer):
    """A solver in the form of a torch optimizer, for schedulers and checkpoints.

    The rate in its group is that of the next epoch, its state that of the solver. Its `step`
    does nothing: the kernel steps the solver.

    Parameters
    ----------
    solver : SGD, Adam or TorchSolver
    flat : tensor of shape (n_parameters,)
    rate, initial_rate : float
    """

    def __init__(self, solver, flat, rate, initial_rate):
        super().__init__([flat], {"lr": rate, "initial_lr": initial_rate})
        self.solver = solver

    @property
    def rate(self):
        return self.param_groups[0]["lr"]

    def step(self, closure=None):
        """Do nothing, but be seen: torch's schedulers want a step before theirs."""

    def state_dict(self):
        """Return the rate and the state of the solver, in torch's layout."""
        return {"state": with_tensors(self.solver.state()), "param_groups": [{"lr": self.rate}]}

    def load_state_dict(self, state_dict):
        self.solver.restore(without_tensors(state_dict["state"]))
        self.param_groups[0]["lr"] = state_dict["param_groups"][0]["lr"]

    def release(self):
        """Let go of the weights and the solver: a callback may be kept, and pickled."""
        del self.solver
        for group in self.param_groups:
            group["params"] = []
