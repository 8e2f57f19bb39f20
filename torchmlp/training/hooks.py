"""What skorch's callbacks ask of a net: which of them can have it, and in what form."""

import functools
from typing import TYPE_CHECKING, Any

import torch
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
from torch import nn

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


def check_callbacks(callbacks, learning_rate, with_validation, resumed):
    """Make sure that skorch's callbacks find what they need, and do what they say.

    Parameters
    ----------
    callbacks : list
        As skorch takes them.
    learning_rate : str
    with_validation : bool
        Whether there will be validation data.
    resumed : bool
        Whether training goes on with a fitted network.

    Raises
    ------
    ValueError
        If one of them cannot work.
    """
    for callback in map(_callback_of, callbacks):
        name = type(callback).__name__
        if _needs_batches(callback) or isinstance(callback, PassthroughScoring):
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
        if isinstance(callback, LRScheduler) and learning_rate != "constant":
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
        watched = getattr(callback, "monitor", None)
        if isinstance(watched, str) and watched.startswith("valid_") and not with_validation:
            instead = "train_loss_best" if watched.endswith("_best") else "train_loss"
            raise ValueError(
                f"callbacks: {name} watches {watched!r}, but there is no validation data. Pass "
                f"X_val and y_val to fit, set early_stopping=True, or monitor={instead!r}."
            )


class SolverHandle(torch.optim.Optimizer):
    """A solver in the form of a torch optimizer, for schedulers and checkpoints.

    The rate in its group is that of the next epoch, its state that of the solver. Its `step`
    does nothing: the kernel steps the solver.

    Parameters
    ----------
    solver : SGD, Adam or TorchSolver
    flat : tensor of shape (n_parameters,)
    rate : float
    """

    def __init__(self, solver, flat, rate):
        super().__init__([flat], {"lr": rate})
        self.solver = solver

    @property
    def rate(self):
        return self.param_groups[0]["lr"]

    @rate.setter
    def rate(self, rate):
        self.param_groups[0]["lr"] = rate

    def step(self, closure=None):
        """Do nothing, but be seen: torch's schedulers want a step before theirs."""

    def state_dict(self):
        """Return the rate and the state of the solver, in torch's layout."""
        state = {"name": self.solver.name, **with_tensors(self.solver.state())}
        return {"state": state, "param_groups": [{"lr": self.rate}]}

    def load_state_dict(self, state_dict):
        """Take the rate and the state of the solver from a checkpoint.

        Raises
        ------
        ValueError
            If it is that of another solver.
        """
        state = without_tensors(state_dict["state"])
        if state.get("name") != self.solver.name:
            raise ValueError(
                f"The checkpoint is of solver {state.get('name')!r}, and this is "
                f"{self.solver.name!r}. Use the same, or save and load without f_optimizer."
            )
        self.solver.restore(state)
        self.rate = state_dict["param_groups"][0]["lr"]

    def release(self):
        """Let go of the weights and the solver: a callback may be kept, and pickled."""
        del self.solver
        for group in self.param_groups:
            group["params"] = []


class CallbackView:
    """What callbacks see of a net that has a `task`, a `kernel`, a `solver` and a `schedule`.

    Module and optimizer are made when somebody asks: the latter takes torch a while.
    """

    if TYPE_CHECKING:  # the net's own

        def __getattr__(self, name: str) -> Any: ...

    @property
    def history(self):
        return self.task.progress.history

    @history.setter
    def history(self, rows):  # from a checkpoint
        self.task.progress.history[:] = rows

    @functools.cached_property
    def module_(self):
        """The network as a torch module that shares its memory with the weights."""
        module = self.task.model().to_torch().requires_grad_(False)
        for parameter, weights, gradient in self._shared_memory(module):
            parameter.data, parameter.grad = weights, gradient
        return module

    def _shared_memory(self, module):
        """Return (parameter, weights, gradient) for each parameter of a module."""
        layers = zip(self.task.weights.layers, self.kernel.gradient.layers, strict=True)
        own = [
            (weights.t(), gradient.t())
            for layer in layers
            for weights, gradient in zip(*layer, strict=True)
        ]
        return [(p, *pair) for p, pair in zip(module.parameters(), own, strict=True)]

    def take_over_weights(self):
        """Copy what a callback has put in the place of the weights in the module."""
        if "module_" not in vars(self):
            return
        for parameter, weights, _ in self._shared_memory(self.module_):
            if parameter.data_ptr() != weights.data_ptr():
                weights.copy_(parameter.detach())
                parameter.data = weights

    def take_over_gradient(self):
        """Copy what a callback has put in the place of the gradient in the module."""
        for parameter, _, gradient in self._shared_memory(self.module_):
            if parameter.grad.data_ptr() != gradient.data_ptr():
                gradient.copy_(parameter.grad)
                parameter.grad = gradient

    def get_all_learnable_params(self):
        """Return the named parameters, as `ParamMapper` wants them."""
        return self.module_.named_parameters()

    @functools.cached_property
    def optimizer_(self):
        """The solver as a torch optimizer."""
        return SolverHandle(self.solver, self.task.weights.flat, self.schedule.rate)

    @property
    def _has_optimizer(self):
        return "optimizer_" in vars(self)

    @property
    def rate(self):
        """Learning rate of the next epoch: a scheduler's, if there is one."""
        return self.optimizer_.rate if self._has_optimizer else self.schedule.rate

    def set_rate(self, rate):
        """Let the optimizer know of a rate that the schedule has chosen."""
        if self._has_optimizer:
            self.optimizer_.rate = rate

    def step_optimizer(self):
        """Let torch's schedulers see that the optimizer did something."""
        if self._has_optimizer:
            self.optimizer_.step()

    def release_optimizer(self):
        if self._has_optimizer:
            self.optimizer_.release()

    @property
    def criterion_(self):
        """A module without parameters: checkpoints save one."""
        return nn.Module()

    @property
    def classes_(self):
        return self.task.model().classes_

    def predict(self, X):
        return self.task.model().predict(X)

    def predict_proba(self, X):
        return self.task.model().predict_proba(X)

    def decision_function(self, X):
        return self.task.model().decision_function(X)

    def score(self, X, y):
        return self.task.model().score(X, y)

    def __sklearn_tags__(self):
        return self.task.model().__sklearn_tags__()
