"""Stochastic solvers: name -> update of one flat vector of weights."""

import math
from typing import Any

import numpy as np
import torch


class Solver:
    """A step is ``update(gradient, *factors(rate))``, for a gradient and a learning rate.

    The factors change from step to step. A recorded step reads them from the memory of the
    device, where they are put before it is replayed; any other takes them as they are.
    """

    name: str
    decouples_penalty = False  # whether the penalty is the solver's business, not the gradient's
    recordable = True  # whether a graph of the device may hold the updates
    update: Any

    def factors(self, rate):
        """Begin a step, and return what `update` needs beside the gradient."""
        return (rate,)


class SGD(Solver):
    """Gradient descent with momentum; the rate is inside the velocity, as in scikit-learn.

    v = momentum * v - rate * g;  w += v, or with Nesterov's momentum
    w += momentum * v - rate * g.

    Parameters
    ----------
    settings : Settings
    weights : Parameters
        What `update` changes.
    """

    name = "sgd"

    def __init__(self, settings, weights):
        self.parameters, self.weights = weights, weights.flat
        self.momentum = settings.momentum
        self.nesterov = settings.nesterovs_momentum
        self.velocity = torch.zeros_like(self.weights)

    def update(self, gradient, rate):
        if isinstance(rate, torch.Tensor):  # which torch takes as a factor, but not as `alpha`
            gradient, rate = gradient * rate, 1.0
        velocity = self.velocity.mul_(self.momentum).add_(gradient, alpha=-rate)
        if self.nesterov:
            self.weights.add_(velocity, alpha=self.momentum).add_(gradient, alpha=-rate)
        else:
            self.weights.add_(velocity)

    def state(self):
        """Return what a later fit needs to go on, without tensors."""
        return {"velocity": self.parameters.by_rows(self.velocity)}

    def restore(self, state):
        self.velocity.copy_(self.parameters.from_rows(state["velocity"]))


class Adam(Solver):
    """Adam with scikit-learn's epsilon, which stands outside the bias correction.

    w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon): Kingma and Ba's
    own remark after their algorithm 1 (arXiv:1412.6980, section 2). torch corrects v first and
    adds its epsilon to the corrected root, so both corrections enter with the rate.
    """

    name = "adam"

    def __init__(self, settings, weights):
        self.parameters, self.weights = weights, weights.flat
        self.beta_1, self.beta_2 = settings.beta_1, settings.beta_2
        self.epsilon = settings.epsilon
        self.moment_1 = torch.zeros_like(self.weights)
        self.moment_2 = torch.zeros_like(self.weights)
        self.t = 0
        # After so many steps torch's bias corrections are 1: they are in the rate already.
        self._steps = torch.full((), math.inf, dtype=torch.float32, device=self.weights.device)
        # On a GPU torch's kernel reads a rate from memory in float32 only.
        exact = self.weights.device.type == "cpu" or self.weights.dtype == torch.float32
        fused = exact and hasattr(torch, "_fused_adam_")
        self.update = self._fused if fused else self._in_place

    def factors(self, rate):
        self.t += 1
        return (rate * (math.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)),)

    def _fused(self, gradient, rate):
        torch._fused_adam_(
            [self.weights],
            [gradient],
            [self.moment_1],
            [self.moment_2],
            [],
            [self._steps],
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def _in_place(self, gradient, rate):
        self.moment_1.mul_(self.beta_1).add_(gradient, alpha=1 - self.beta_1)
        self.moment_2.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        denominator = self.moment_2.sqrt().add_(self.epsilon)
        self.weights.sub_(self.moment_1.div(denominator).mul_(rate))

    def state(self):
        return {
            "t": self.t,
            "moment_1": self.parameters.by_rows(self.moment_1),
            "moment_2": self.parameters.by_rows(self.moment_2),
        }

    def restore(self, state):
        self.t = state["t"]
        self.moment_1.copy_(self.parameters.from_rows(state["moment_1"]))
        self.moment_2.copy_(self.parameters.from_rows(state["moment_2"]))


class AdamW(Adam):
    """Adam with decoupled decay: w -= rate * alpha * w before the step, intercepts excepted.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, arXiv:1711.05101.
    """

    name = "adamw"
    decouples_penalty = True

    def __init__(self, settings, weights):
        super().__init__(settings, weights)
        self.coefficients, self.alpha = weights.coefficients, settings.alpha
        self._adam, self.update = self.update, self._decayed

    def factors(self, rate):
        return (*super().factors(rate), 1 - rate * self.alpha)

    def _decayed(self, gradient, rate, kept):
        self.coefficients.mul_(kept)
        self._adam(gradient, rate)


class TorchSolver(Solver):
    """Any torch optimizer, over the flat vector.

    Parameters
    ----------
    factory : callable (parameters, lr) -> torch.optim.Optimizer
    settings : Settings
    weights : Parameters
    """

    recordable = False  # some read their state on the host

    def __init__(self, factory, settings, weights):
        self.parameters, self.parameter = weights, torch.nn.Parameter(weights.flat)
        self.optimizer = _created(factory, self.parameter, settings.learning_rate_init)
        self.name = type(self.optimizer).__name__

    @torch.inference_mode(False)
    def update(self, gradient, rate):
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.parameter.grad = gradient
        self.optimizer.step()

    def state(self):
        return {"optimizer": without_tensors(self.optimizer.state_dict(), self._to_array)}

    def _to_array(self, tensor):
        whole = tensor.shape == self.parameter.shape
        return self.parameters.by_rows(tensor) if whole else _to_array(tensor)

    def _to_tensor(self, array):
        whole = array.shape == self.parameter.shape
        return self.parameters.from_rows(array) if whole else _to_tensor(array)

    def restore(self, state):
        state = with_tensors(state["optimizer"], self._to_tensor)
        self.optimizer.load_state_dict(state)
        # torch casts what it loads to the dtype of the weights, and would go on less exactly.
        own = self.optimizer.state[self.parameter]
        for key, value in state["state"].get(0, {}).items():
            if isinstance(value, torch.Tensor):
                own[key] = value.to(own[key].device)


def _created(factory, parameter, rate):
    """Return the optimizer that a callable makes for a parameter.

    Raises
    ------
    ValueError
        If it fails, or does not return an optimizer of this parameter.
    """
    try:
        optimizer = factory([parameter], lr=rate)
    except Exception as error:
        raise ValueError(
            f"solver={factory!r} could not be created: {str(error).rstrip('.')}. It is called with "
            f"a list of parameters and lr={rate}. Pass a class of torch.optim, or a "
            "functools.partial of one."
        ) from error
    groups = optimizer.param_groups if isinstance(optimizer, torch.optim.Optimizer) else []
    if not any(held is parameter for group in groups for held in group["params"]):
        raise ValueError(
            f"solver={factory!r} must return a torch.optim.Optimizer of the parameters that it is "
            f"called with, got {optimizer!r}. Pass a class of torch.optim, or a functools.partial "
            "of one."
        )
    return optimizer


def _to_array(tensor):
    return tensor.detach().cpu().numpy().copy()


def _to_tensor(array):
    return torch.from_numpy(np.array(array))


def without_tensors(state, to_array=_to_array):
    """Return what a solver's state holds with NumPy arrays for tensors: what an estimator keeps."""
    if isinstance(state, dict):
        return {key: without_tensors(value, to_array) for key, value in state.items()}
    if isinstance(state, list):
        return [without_tensors(value, to_array) for value in state]
    return to_array(state) if isinstance(state, torch.Tensor) else state


def with_tensors(state, to_tensor=_to_tensor):
    """Return it with tensors again."""
    if isinstance(state, dict):
        return {key: with_tensors(value, to_tensor) for key, value in state.items()}
    if isinstance(state, list):
        return [with_tensors(value, to_tensor) for value in state]
    return to_tensor(state) if isinstance(state, np.ndarray) else state


SOLVERS: dict[str, type[SGD] | type[Adam]] = {solver.name: solver for solver in (Adam, AdamW, SGD)}


def make_solver(settings, weights):
    """Return the solver that ``settings.solver`` names, or that wraps a torch optimizer."""
    if callable(settings.solver):
        return TorchSolver(settings.solver, settings, weights)
    return SOLVERS[settings.solver](settings, weights)
