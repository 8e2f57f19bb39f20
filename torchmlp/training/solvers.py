"""Stochastic solvers: name -> update of one flat vector of weights."""

import math

import torch

from torchmlp.training.inputs import as_tensor


class SGD:
    """Gradient descent with momentum; the rate is inside the velocity, as in scikit-learn.

    v = momentum * v - rate * g;  w += v, or with Nesterov's momentum
    w += momentum * v - rate * g.
    """

    def __init__(self, settings, weights):
        self.momentum = settings.momentum
        self.nesterov = settings.nesterovs_momentum
        self.velocity = torch.zeros_like(weights)

    def step(self, weights, gradient, rate):
        velocity = self.velocity.mul_(self.momentum).add_(gradient, alpha=-rate)
        if self.nesterov:
            weights.add_(velocity, alpha=self.momentum).add_(gradient, alpha=-rate)
        else:
            weights.add_(velocity)

    def state(self):
        return {"velocity": self.velocity.cpu().numpy().copy()}

    def restore(self, state):
        self.velocity.copy_(as_tensor(state["velocity"]))


class Adam:
    """Adam with scikit-learn's epsilon, which stands outside the bias correction.

    w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon): Kingma and Ba's
    own remark after their algorithm 1 (arXiv:1412.6980, section 2). torch corrects v first and
    adds its epsilon to the corrected root, so it gets epsilon / sqrt(1 - beta_2^t).
    """

    def __init__(self, settings, weights):
        self.beta_1, self.beta_2 = settings.beta_1, settings.beta_2
        self.epsilon = settings.epsilon
        self.moment_1 = torch.zeros_like(weights)
        self.moment_2 = torch.zeros_like(weights)
        self.t = 0
        self._step = torch.zeros((), device=weights.device)
        self._update = self._fused if hasattr(torch, "_fused_adam_") else self._in_place

    def step(self, weights, gradient, rate):
        self.t += 1
        self._update(weights, gradient, rate, math.sqrt(1 - self.beta_2**self.t))

    def _fused(self, weights, gradient, rate, correction):
        self._step.fill_(self.t)
        torch._fused_adam_(
            [weights],
            [gradient],
            [self.moment_1],
            [self.moment_2],
            [],
            [self._step],
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=0.0,
            eps=self.epsilon / correction,
            amsgrad=False,
            maximize=False,
        )

    def _in_place(self, weights, gradient, rate, correction):
        self.moment_1.mul_(self.beta_1).add_(gradient, alpha=1 - self.beta_1)
        self.moment_2.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        rate *= correction / (1 - self.beta_1**self.t)
        weights.addcdiv_(self.moment_1, self.moment_2.sqrt().add_(self.epsilon), value=-rate)

    def state(self):
        return {
            "t": self.t,
            "moment_1": self.moment_1.cpu().numpy().copy(),
            "moment_2": self.moment_2.cpu().numpy().copy(),
        }

    def restore(self, state):
        self.t = state["t"]
        self.moment_1.copy_(as_tensor(state["moment_1"]))
        self.moment_2.copy_(as_tensor(state["moment_2"]))


SOLVERS: dict[str, type[SGD] | type[Adam]] = {"adam": Adam, "sgd": SGD}
