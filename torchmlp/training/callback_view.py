"""What skorch's callbacks see of a net: a torch module, an optimizer, predictions."""

import functools

import torch
from torch import nn

from torchmlp.training.solvers import with_tensors, without_tensors


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

    Module and optimizer are made when somebody asks: for the first optimizer torch imports its
    compiler, which takes more than a second.
    """

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
        weights, gradient = self.task.weights.torch_views(), self.kernel.gradient.torch_views()
        return list(zip(module.parameters(), weights, gradient, strict=True))

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

    @property
    def predict_proba(self):  # as properties: there only where the estimator has them
        return self.task.model().predict_proba

    @property
    def decision_function(self):
        return self.task.model().decision_function

    def score(self, X, y):
        return self.task.model().score(X, y)

    def __sklearn_tags__(self):
        return self.task.model().__sklearn_tags__()
