"""Averages of the weights of the last steps."""

from typing import Any

import numpy as np
import torch

from torchmlp.training.solvers import Solver

ETA = 8  # about the last 1 / (ETA + 1) of the steps contribute to the average


class AveragingSolver(Solver):
    """Updates the weights with another solver, and averages them with polynomial decay.

    After step t, ``average += (ETA + 1) / (t + ETA) * (weights - average)``. Shamir and Zhang,
    "Stochastic Gradient Descent for Non-smooth Optimization", 2013, arXiv:1212.1824.

    Parameters
    ----------
    solver : Solver
        The solver that updates the weights, before its first step.

    Attributes
    ----------
    average : Parameters
        The average. Before the first step, the weights.
    last_weights : tensor of shape (n_parameters,) or None
        The weights after the last step, if the average has replaced them.
    """

    def __init__(self, solver):
        self.solver = solver
        self.weights, self.gradient = solver.weights, solver.gradient
        self.average = solver.weights.like()
        self.average.flat.copy_(solver.weights.flat)
        self.last_weights: torch.Tensor | None = None
        self.name = f"{solver.name}, averaged"
        self.decoupled_weight_decay = solver.decoupled_weight_decay
        self.capturable = solver.capturable
        self._t = 0

    @property
    def alpha(self):
        return self.solver.alpha

    @alpha.setter
    def alpha(self, alpha):
        self.solver.alpha = alpha

    @property
    def t(self):
        return self._t

    @t.setter
    def t(self, t):
        self._t = self.solver.t = t

    @property
    def vectors(self):
        return [*self.solver.vectors, self.average.flat]

    def factors(self, rate):
        factors = self.solver.factors(rate)
        self._t = self._t + 1
        share: Any = (ETA + 1) / (self._t + ETA)
        if isinstance(rate, np.ndarray):
            share = np.broadcast_to(share, rate.shape)  # the factors of a step have one shape
        return (share, *factors)

    def update(self, share, *factors):
        self.solver.update(*factors)
        self.average.flat.lerp_(self.weights.flat, self._of_parameters(share))

    def use_average(self):
        if self.last_weights is None:  # else the weights of a checkpoint are already the average
            self.last_weights = self.weights.flat.clone()
            self.weights.flat.copy_(self.average.flat)

    def resume(self):
        weights, average = self.weights.flat, self.average.flat
        if self.last_weights is not None and torch.equal(weights, average):
            weights.copy_(self.last_weights)
        else:  # other weights were set after the fit
            average.copy_(weights)
        self.last_weights = None

    def state_dict(self):
        last = self.last_weights
        return {
            "t": self._t,
            "solver": self.solver.state_dict(),
            "average": self.weights.to_row_major(self.average.flat),
            "last_weights": None if last is None else self.weights.to_row_major(last),
        }

    def load_state_dict(self, state_dict):
        self.solver.load_state_dict(state_dict["solver"])
        self._t = state_dict["t"]
        self.average.flat.copy_(self.weights.from_row_major(state_dict["average"]))
        last = state_dict["last_weights"]
        if last is not None:
            last = self.weights.from_row_major(last).to(self.weights.flat.device)
        self.last_weights = last
