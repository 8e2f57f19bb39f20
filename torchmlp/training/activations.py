"""Hidden activations: name -> the function and its derivative."""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Activation:
    """A function of what a layer computes, and how an error flows back through it.

    Attributes
    ----------
    apply : callable (z, out) -> None
        Write f(z) to `out`, which is z itself unless `keeps_input`.
    backpropagate : callable (delta, saved) -> None
        Replace delta by delta * f'(z), where `saved` is f(z), or z if `keeps_input`.
    keeps_input : bool
        Whether the derivative is computed from z.
    recordable : bool
        Whether a graph of the device may hold it: see `Loss`.
    """

    apply: Callable[[torch.Tensor, torch.Tensor], object]
    backpropagate: Callable[[torch.Tensor, torch.Tensor], object]
    keeps_input: bool = False
    recordable: bool = True


_aten = torch.ops.aten
_relu_backward = _aten.threshold_backward.grad_input
_leaky_backward = _aten.leaky_relu_backward.grad_input
_elu_backward = _aten.elu_backward.grad_input
_sigmoid_backward = _aten.sigmoid_backward.grad_input
_tanh_backward = _aten.tanh_backward.grad_input
_silu_backward = _aten.silu_backward.grad_input
_gelu_backward = _aten.gelu_backward.grad_input
_softplus_backward = _aten.softplus_backward.grad_input
# Klambauer et al., "Self-Normalizing Neural Networks", 2017, arXiv:1706.02515.
SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1

ACTIVATIONS = {
    "identity": Activation(lambda z, out: None, lambda delta, value: None),
    "logistic": Activation(
        lambda z, out: torch.sigmoid_(z),
        lambda delta, value: _sigmoid_backward(delta, value, grad_input=delta),
    ),
    "tanh": Activation(
        lambda z, out: torch.tanh_(z),
        lambda delta, value: _tanh_backward(delta, value, grad_input=delta),
    ),
    "relu": Activation(
        lambda z, out: torch.relu_(z),
        lambda delta, value: _relu_backward(delta, value, 0, grad_input=delta),
    ),
    "leaky_relu": Activation(
        lambda z, out: _aten.leaky_relu_(z, 0.01),
        lambda delta, value: _leaky_backward(delta, value, 0.01, True, grad_input=delta),
    ),
    "elu": Activation(
        lambda z, out: _aten.elu_(z),
        lambda delta, value: _elu_backward(delta, 1, 1, 1, True, value, grad_input=delta),
    ),
    "selu": Activation(
        lambda z, out: torch.selu_(z),
        lambda delta, value: _elu_backward(delta, *SELU, True, value, grad_input=delta),
    ),
    "silu": Activation(
        lambda z, out: _aten.silu.out(z, out=out),
        lambda delta, z: _silu_backward(delta, z, grad_input=delta),
        keeps_input=True,
    ),
    "gelu": Activation(
        lambda z, out: _aten.gelu.out(z, out=out),
        lambda delta, z: _gelu_backward(delta, z, grad_input=delta),
        keeps_input=True,
    ),
    "softplus": Activation(
        lambda z, out: _aten.softplus.out(z, out=out),
        lambda delta, z: _softplus_backward(delta, z, 1, 20, grad_input=delta),
        keeps_input=True,
    ),
    "mish": Activation(
        lambda z, out: _aten.mish.out(z, out=out),
        lambda delta, z: delta.copy_(_aten.mish_backward(delta, z)),
        keeps_input=True,
    ),
}


def resolve_activations(activation, n_hidden):
    """Return one `Activation` per hidden layer.

    Parameters
    ----------
    activation : str, callable, or list of them
        A callable takes a tensor and returns one of the same shape; autograd differentiates it.
    n_hidden : int

    Raises
    ------
    ValueError
        If an activation is not known, or their number is not that of the hidden layers.
    """
    check_activations(activation, n_hidden)
    return [
        _differentiated(f) if callable(f) else ACTIVATIONS[f]
        for f in per_layer(activation, n_hidden)
    ]


def check_activations(activation, n_hidden):
    """Raise a ValueError if there is not one activation, known or callable, per hidden layer."""
    several = isinstance(activation, (list, tuple))
    if several and len(activation) != n_hidden:
        raise ValueError(
            f"activation={activation!r} names {len(activation)} functions for {n_hidden} hidden "
            "layers. Pass one per hidden layer, or one for all."
        )
    for function in activation if several else [activation]:
        if isinstance(function, torch.nn.Module):
            _check_module(function)
        elif not (callable(function) or (isinstance(function, str) and function in ACTIVATIONS)):
            wrong = f" has {function!r}, which" if several else ""
            raise ValueError(
                f"activation={activation!r}{wrong} is none of {sorted(ACTIVATIONS)}, and not a "
                "callable."
            )


def _check_module(module):
    if any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(
            f"activation={module!r} has parameters of its own, which are not trained. Pass a "
            "function without parameters, such as torch.nn.LeakyReLU(), or keep them as they are "
            "with requires_grad_(False)."
        )


def per_layer(value, n_hidden):
    """Return one value per hidden layer, where one may stand for all."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * n_hidden


def _differentiated(function):
    def apply(z, out):
        try:
            with torch.inference_mode(False):  # the function may keep tensors, or use autograd
                values = function(z.clone())
        except Exception as error:
            raise ValueError(
                f"activation={function!r} could not be computed: {str(error).rstrip('.')}. It "
                f"is called with a tensor of shape {tuple(z.shape)} and dtype {z.dtype}. {_REMEDY}"
            ) from error
        if not isinstance(values, torch.Tensor) or values.shape != z.shape:
            raise ValueError(
                f"activation={function!r} must take a tensor and return one of the same shape; for "
                f"one of shape {tuple(z.shape)} it returned {type(values).__name__} "
                f"{tuple(getattr(values, 'shape', ()))}. {_REMEDY}"
            )
        out.copy_(values)

    def backpropagate(delta, z):
        try:
            with torch.inference_mode(False), torch.enable_grad():
                # Copies, for autograd takes no tensor that was made in inference mode.
                z, flow = z.clone().requires_grad_(), delta.clone()
                (gradient,) = torch.autograd.grad(function(z), z, flow)
        except RuntimeError as error:
            raise ValueError(
                f"activation={function!r} could not be differentiated: {str(error).rstrip('.')}. "
                "Write it with torch's functions, not with NumPy's."
            ) from error
        delta.copy_(gradient)

    return Activation(apply, backpropagate, keeps_input=True, recordable=False)


_REMEDY = "Pass a function such as torch.nn.functional.relu6, not a class of modules."
