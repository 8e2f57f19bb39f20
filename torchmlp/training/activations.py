"""Activation functions of the hidden layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

_REMEDY = "Pass a function such as torch.nn.functional.relu6, not a module class."

Call = Callable[[], object]  # an operation that is bound to its tensors


@dataclass(frozen=True)
class Activation:
    """An activation function f: forward and backward pass, torch module and ONNX nodes.

    Attributes
    ----------
    forward : callable (z, out) -> list of Call
        Binds the operations that write f(z) to `out`. `out` is z itself unless `needs_input`.
    backward : callable (delta, saved) -> list of Call
        Binds the operations that multiply delta by f'(z) in place. `saved` is f(z), or z if
        `needs_input`.
    module : callable () -> torch.nn.Module
        Creates the module for `to_torch`.
    onnx : callable (graph, z) -> str, or None
        Adds the nodes of f to a `torchmlp.export.onnx_converters.Graph` and returns the name of
        their output. None if there is no ONNX form.
    needs_input : bool
        Whether the backward pass needs z. Otherwise f(z) overwrites z.
    capturable : bool
        Whether the operations can be captured in a CUDA graph. See `Loss.capturable`.
    describe_not_finite : callable (z) -> str, or None
        Describes an element of z for which a user-defined f or its derivative is not finite.
        Returns an empty string if there is none. None for the other functions.
    """

    forward: Callable[[torch.Tensor, torch.Tensor], list[Call]]
    backward: Callable[[torch.Tensor, torch.Tensor], list[Call]]
    module: Callable[[], nn.Module]
    onnx: Callable[[Any, str], str] | None = None
    needs_input: bool = False
    capturable: bool = True
    describe_not_finite: Callable[[torch.Tensor], str] | None = None


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
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _mish_backward(delta, z):
    delta.copy_(_aten.mish_backward(delta, z))


# onnxruntime supports LeakyRelu, Elu, Selu, Softplus, Mish and Gelu in float32 only, and the last
# two need a recent opset. They are composed of operators that support both precisions.
def _onnx_elu(graph, z, alpha=1.0):
    below = graph("Sub", graph("Exp", graph("Min", z, 0.0)), 1.0)
    return graph("Add", graph("Relu", z), graph("Mul", below, alpha))


def _onnx_gelu(graph, z):
    # onnxruntime has no Erf in float64, so the result has the accuracy of float32.
    erf = graph("Erf", graph.cast(graph("Mul", z, 0.5**0.5), "float32"))
    return graph("Mul", graph("Mul", z, 0.5), graph("Add", graph.cast(erf, graph.dtype), 1.0))


def _onnx_softplus(graph, z):
    # As in torch, the function is the identity above 20, because exp might overflow.
    below = graph("Log", graph("Add", graph("Exp", z), 1.0))
    return graph("Where", graph("Greater", z, 20.0), z, below)


ACTIVATIONS = {
    "identity": Activation(
        lambda z, out: [],
        lambda delta, values: [],
        nn.Identity,
        lambda graph, z: z,
    ),
    "logistic": Activation(
        lambda z, out: [partial(torch.sigmoid_, z)],
        lambda delta, values: [partial(_sigmoid_backward, delta, values, grad_input=delta)],
        nn.Sigmoid,
        lambda graph, z: graph("Sigmoid", z),
    ),
    "tanh": Activation(
        lambda z, out: [partial(torch.tanh_, z)],
        lambda delta, values: [partial(_tanh_backward, delta, values, grad_input=delta)],
        nn.Tanh,
        lambda graph, z: graph("Tanh", z),
    ),
    "relu": Activation(
        lambda z, out: [partial(torch.relu_, z)],
        lambda delta, values: [partial(_relu_backward, delta, values, 0, grad_input=delta)],
        nn.ReLU,
        lambda graph, z: graph("Relu", z),
    ),
    "leaky_relu": Activation(
        lambda z, out: [partial(_aten.leaky_relu_, z, 0.01)],
        lambda delta, values: [
            partial(_leaky_backward, delta, values, 0.01, True, grad_input=delta)
        ],
        nn.LeakyReLU,
        lambda graph, z: graph("Max", z, graph("Mul", z, 0.01)),
    ),
    "elu": Activation(
        lambda z, out: [partial(_aten.elu_, z)],
        lambda delta, values: [
            partial(_elu_backward, delta, 1, 1, 1, True, values, grad_input=delta)
        ],
        nn.ELU,
        _onnx_elu,
    ),
    "selu": Activation(
        lambda z, out: [partial(torch.selu_, z)],
        lambda delta, values: [
            partial(_elu_backward, delta, SELU_ALPHA, SELU_SCALE, 1, True, values, grad_input=delta)
        ],
        nn.SELU,
        lambda graph, z: graph("Mul", _onnx_elu(graph, z, SELU_ALPHA), SELU_SCALE),
    ),
    "silu": Activation(
        lambda z, out: [partial(_aten.silu.out, z, out=out)],
        lambda delta, z: [partial(_silu_backward, delta, z, grad_input=delta)],
        nn.SiLU,
        # Not z * sigmoid(z), which onnxruntime may replace by a node that does not take float64.
        lambda graph, z: graph("Div", z, graph("Add", graph("Exp", graph("Neg", z)), 1.0)),
        needs_input=True,
    ),
    "gelu": Activation(
        lambda z, out: [partial(_aten.gelu.out, z, out=out)],
        lambda delta, z: [partial(_gelu_backward, delta, z, grad_input=delta)],
        nn.GELU,
        _onnx_gelu,
        needs_input=True,
    ),
    "softplus": Activation(
        lambda z, out: [partial(_aten.softplus.out, z, out=out)],
        lambda delta, z: [partial(_softplus_backward, delta, z, 1, 20, grad_input=delta)],
        nn.Softplus,
        _onnx_softplus,
        needs_input=True,
    ),
    "mish": Activation(
        lambda z, out: [partial(_aten.mish.out, z, out=out)],
        lambda delta, z: [partial(_mish_backward, delta, z)],
        nn.Mish,
        lambda graph, z: graph("Mul", z, graph("Tanh", _onnx_softplus(graph, z))),
        needs_input=True,
    ),
}


class Apply(nn.Module):
    """A torch module that applies a function.

    Parameters
    ----------
    function : callable (tensor) -> tensor
    """

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, values):
        """Apply the function."""
        return self.function(values)


def resolve_activations(activation, n_hidden):
    """Return one `Activation` per hidden layer.

    Parameters
    ----------
    activation : str, callable, or list of them
        A callable takes a tensor and returns a tensor of the same shape. Autograd differentiates
        it.
    n_hidden : int

    Raises
    ------
    ValueError
        If an activation is unknown, or if the number of activations is not `n_hidden`.
    """
    check_activations(activation, n_hidden)
    return [
        autograd_activation(f) if callable(f) else ACTIVATIONS[f]
        for f in per_layer(activation, n_hidden)
    ]


def check_activations(activation, n_hidden):
    """Raise a ValueError for an unknown activation or a wrong number of activations."""
    several = isinstance(activation, (list, tuple))
    if several and len(activation) != n_hidden:
        raise ValueError(
            f"activation={activation!r} has {len(activation)} functions for {n_hidden} hidden "
            "layers. Pass one per hidden layer, or a single function."
        )
    for function in activation if several else [activation]:
        if isinstance(function, torch.nn.Module):
            _check_module(function)
        elif not (callable(function) or (isinstance(function, str) and function in ACTIVATIONS)):
            wrong = f" has {function!r}, which" if several else ""
            raise ValueError(
                f"activation={activation!r}{wrong} is neither one of {sorted(ACTIVATIONS)} nor a "
                "callable."
            )


def _check_module(module):
    if any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(
            f"activation={module!r} has trainable parameters, which would not be trained. Pass a "
            "function without parameters, such as torch.nn.LeakyReLU(), or freeze them with "
            "requires_grad_(False)."
        )


def per_layer(value, n_hidden):
    """Return one value per hidden layer; a single value is repeated."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * n_hidden


def autograd_activation(function):
    """Return the `Activation` of a callable, with its derivative by autograd."""

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
                f"activation={function!r} must return a tensor of the same shape as its input. For "
                f"an input of shape {tuple(z.shape)}, it returned {type(values).__name__} "
                f"{tuple(getattr(values, 'shape', ()))}. {_REMEDY}"
            )
        out.copy_(values.detach())

    def backpropagate(delta, z):
        try:
            with torch.inference_mode(False), torch.enable_grad():
                # Copies: autograd does not accept tensors that were made in inference mode.
                z, flow = z.clone().requires_grad_(), delta.clone()
                (gradient,) = torch.autograd.grad(function(z), z, flow)
        except RuntimeError as error:
            raise ValueError(
                f"activation={function!r} could not be differentiated: {str(error).rstrip('.')}. "
                "Write it with torch's functions, not with NumPy's."
            ) from error
        delta.copy_(gradient)

    return Activation(
        lambda z, out: [partial(apply, z, out)],
        lambda delta, z: [partial(backpropagate, delta, z)],
        partial(Apply, function),
        needs_input=True,
        capturable=False,
        describe_not_finite=partial(_describe_not_finite, function),
    )


def _describe_not_finite(function, z):
    with torch.inference_mode(False), torch.enable_grad():
        z = z.clone().requires_grad_()
        values = function(z)
        (derivatives,) = torch.autograd.grad(values.sum(), z)
    for has, numbers in (("returned values", values), ("has derivatives", derivatives)):
        wrong = ~numbers.isfinite()
        if wrong.any():
            return (
                f"activation={function!r} {has} that are not finite for finite inputs, "
                f"for example {numbers[wrong][0].item():.3g} for {z[wrong][0].item():.3g}. Check "
                "it for divisions by zero and for logarithms and roots of invalid values."
            )
    return ""
