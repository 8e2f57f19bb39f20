"""Stochastic solvers, which update the weights with the gradient of a batch."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch


class Solver:
    """Base class of the solvers, which update the weights in place.

    A step is ``update(*factors(rate))``, with the learning rate of the epoch. `factors` returns the
    numbers that change from step to step, such as the learning rate with the bias correction of
    Adam. `update` changes the weights. They are separate because a CUDA graph contains only
    `update`: the factors of all steps of a block are written to device memory before the replay,
    and `update` gets tensors. Otherwise, it gets Python numbers. For a stack of networks with
    different rates, the rate and the factors are arrays with one entry per network.

    Parameters
    ----------
    settings : Settings
    weights : Parameters
        Weights to update.
    gradient : Parameters
        Gradient of the current batch.

    Attributes
    ----------
    alpha : float, or array of shape (n_members,) for a stack of networks
        Strength of the L2 regularization, if `update` applies the penalty.
    average : Parameters or None
        Average of the weights, if the solver computes it. Its vector is the last of `vectors`.
    """

    name: str
    decoupled_weight_decay = False  # whether `update` applies the penalty, not the gradient
    capturable = True  # whether a CUDA graph may contain the update
    average: Any = None
    # Number of steps, if the update depends on it: an int, or an array for the networks of a stack.
    t: Any = 0

    def __init__(self, settings, weights, gradient):
        self.weights = weights
        self.gradient = gradient
        self.alpha: Any = settings.alpha

    @property
    def vectors(self):
        """State of the solver: vectors with the layout of the weights."""
        return []

    def factors(self, rate):
        """Begin a step. Return the arguments of `update`."""
        return (rate,)

    def update(self, *factors):
        """Update the weights with the gradient."""
        raise NotImplementedError

    def use_average(self):
        """Set the weights to their average, if the solver computes it."""

    def resume(self):
        """Set the weights to those before `use_average`, after `load_state_dict`."""

    def state_dict(self):
        """Return the state of the solver, without tensors, for a later `partial_fit`."""
        raise NotImplementedError

    def load_state_dict(self, state_dict):
        """Restore a state that `state_dict` returned."""
        raise NotImplementedError

    def _of_parameters(self, factor):
        """Return the factor of each parameter, or a single factor if the networks share it.

        Parameters
        ----------
        factor : float, array of shape (n_members,), or tensor of shape () or (n_members,)

        Returns
        -------
        float, or tensor of shape () or (n_parameters,)
        """
        if isinstance(factor, np.ndarray):
            flat = self.weights.flat
            factor = torch.from_numpy(factor).to(flat.device, flat.dtype)
        if isinstance(factor, torch.Tensor) and factor.ndim > 0:
            return self.weights.expand(factor)
        return factor


class SGD(Solver):
    """Gradient descent with momentum. The velocity contains the rate, as in scikit-learn.

    v = momentum * v - rate * g;  w += v, or with Nesterov's momentum
    w += momentum * v - rate * g.
    """

    name = "sgd"

    def __init__(self, settings, weights, gradient):
        super().__init__(settings, weights, gradient)
        self.momentum = settings.momentum
        self.nesterov = settings.nesterovs_momentum
        self.velocity = torch.zeros_like(weights.flat)

    @property
    def vectors(self):
        return [self.velocity]

    def update(self, rate):
        gradient = self.gradient.flat
        if not isinstance(rate, float):  # torch does not accept a tensor as `alpha`
            gradient, rate = gradient * self._of_parameters(rate), 1.0
        velocity = self.velocity.mul_(self.momentum).add_(gradient, alpha=-rate)
        if self.nesterov:
            self.weights.flat.add_(velocity, alpha=self.momentum).add_(gradient, alpha=-rate)
        else:
            self.weights.flat.add_(velocity)

    def state_dict(self):
        return {"velocity": self.weights.to_row_major(self.velocity)}

    def load_state_dict(self, state_dict):
        self.velocity.copy_(self.weights.from_row_major(state_dict["velocity"]))


class Adam(Solver):
    """Adam with epsilon outside of the bias correction, as in scikit-learn.

    The update is w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon), as in
    section 2 of Kingma and Ba (arXiv:1412.6980). torch corrects v before it adds epsilon. Therefore
    `factors` includes both corrections in the rate, and those of torch are disabled.
    """

    name = "adam"

    def __init__(self, settings, weights, gradient):
        super().__init__(settings, weights, gradient)
        self.beta_1 = settings.beta_1
        self.beta_2 = settings.beta_2
        self.epsilon = settings.epsilon
        self.moment_1 = torch.zeros_like(weights.flat)
        self.moment_2 = torch.zeros_like(weights.flat)
        # On a GPU, the fused kernel of torch accepts a rate in device memory only in float32.
        exact = weights.flat.device.type == "cpu" or weights.flat.dtype == torch.float32
        fused = exact and hasattr(torch, "_fused_adam_")
        self._fused = self._bind_fused() if fused else None

    @property
    def vectors(self):
        return [self.moment_1, self.moment_2]

    def factors(self, rate):
        self.t = self.t + 1
        sqrt = np.sqrt if isinstance(self.t, np.ndarray) else math.sqrt  # faster for a number
        correction = sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        return (rate * correction,)

    def _bind_fused(self):
        weights = self.weights.flat
        return partial(
            torch._fused_adam_,
            [weights],
            [self.gradient.flat],
            [self.moment_1],
            [self.moment_2],
            [],
            # With an infinite step, the bias corrections of torch are 1. Ours are in the rate.
            [torch.full((), math.inf, dtype=torch.float32, device=weights.device)],
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def update(self, rate):
        if self._fused is not None and (isinstance(rate, float) or rate.ndim == 0):
            self._fused(lr=rate)
            return
        gradient = self.gradient.flat
        self.moment_1.mul_(self.beta_1).add_(gradient, alpha=1 - self.beta_1)
        self.moment_2.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        denominator = self.moment_2.sqrt().add_(self.epsilon)
        direction = torch.div(self.moment_1, denominator, out=denominator)
        if not isinstance(rate, float):
            direction, rate = direction.mul_(self._of_parameters(rate)), 1.0
        self.weights.flat.sub_(direction, alpha=rate)

    def state_dict(self):
        return {
            "t": self.t,
            "moment_1": self.weights.to_row_major(self.moment_1),
            "moment_2": self.weights.to_row_major(self.moment_2),
        }

    def load_state_dict(self, state_dict):
        self.t = state_dict["t"]
        self.moment_1.copy_(self.weights.from_row_major(state_dict["moment_1"]))
        self.moment_2.copy_(self.weights.from_row_major(state_dict["moment_2"]))


class AdamW(Adam):
    """Adam with decoupled weight decay: coefs -= rate * alpha * coefs before each step.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, arXiv:1711.05101.
    """

    name = "adamw"
    decoupled_weight_decay = True

    def factors(self, rate):
        return (*super().factors(rate), 1 - rate * self.alpha)

    def update(self, rate, kept=1.0):
        kept, coefficients = self._of_parameters(kept), self.weights.coefficients
        is_vector = isinstance(kept, torch.Tensor) and kept.ndim > 0
        coefficients.mul_(kept[: len(coefficients)] if is_vector else kept)
        super().update(rate)


SOLVERS: dict[str, type[Solver]] = {solver.name: solver for solver in (Adam, AdamW, SGD)}
