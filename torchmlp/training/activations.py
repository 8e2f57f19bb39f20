"""Hidden activations: name -> the function and its derivative, both in place."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Activation:
    """An activation whose derivative is a function of its own value.

    Attributes
    ----------
    apply_ : callable (z) -> None
        Replace z by f(z).
    backpropagate_ : callable (delta, value) -> None
        Replace delta by delta * f'(z), where value = f(z).
    """

    apply_: Callable[[torch.Tensor], object]
    backpropagate_: Callable[[torch.Tensor, torch.Tensor], object]


def _nothing(*tensors):
    return None


_relu_backward = torch.ops.aten.threshold_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input

ACTIVATIONS = {
    "identity": Activation(_nothing, _nothing),
    "logistic": Activation(
        torch.sigmoid_, lambda delta, value: _sigmoid_backward(delta, value, grad_input=delta)
    ),
    "tanh": Activation(
        torch.tanh_, lambda delta, value: _tanh_backward(delta, value, grad_input=delta)
    ),
    "relu": Activation(
        torch.relu_, lambda delta, value: _relu_backward(delta, value, 0, grad_input=delta)
    ),
}
