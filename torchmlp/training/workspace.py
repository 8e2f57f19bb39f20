"""The memory that a network computes in, allocated once per batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from torchmlp.training.activations import Activation
from torchmlp.training.parameters import as_matrix
from torchmlp.training.products import DenseInput


@dataclass(frozen=True)
class Layout:
    """Shapes, dtypes and device of everything that a network computes.

    Attributes
    ----------
    layer_units : tuple of int
        Width of every layer, input and output included.
    dtype : torch.dtype
        Of weights, targets, outputs and sums.
    product_dtype : torch.dtype
        Of the operands of the matrix products.
    device : torch.device
    activations : sequence of Activation
        Of each hidden layer.
    dropout : sequence of float
        Share of the units of each hidden layer that training drops.
    stack : tuple of int, default=()
        ``(n_members,)`` for a stack of networks.
    """

    layer_units: tuple[int, ...]
    dtype: torch.dtype
    product_dtype: torch.dtype
    device: torch.device
    activations: Sequence[Activation]
    dropout: Sequence[float]
    stack: tuple[int, ...] = ()
    _workspaces: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def mixed(self):
        """Whether products are computed in another dtype than the rest."""
        return self.dtype != self.product_dtype

    def empty(self, *shape):
        """Allocate a tensor of shape (*stack, *shape)."""
        return torch.empty((*self.stack, *shape), dtype=self.dtype, device=self.device)

    def empty_operand(self, *shape):
        """Allocate an operand of a product, of shape (*stack, *shape)."""
        return torch.empty((*self.stack, *shape), dtype=self.product_dtype, device=self.device)

    def empty_product(self, n_rows, n_columns):
        """Allocate the result of a product, in the memory order of `as_matrix`."""
        flat = self.empty_operand(n_rows * n_columns)
        return as_matrix(flat, n_rows, n_columns, self.stack)

    def empty_outputs(self, n_rows):
        """Allocate the outputs of a batch, in the dtype of the weights."""
        n_outputs = self.layer_units[-1]
        return as_matrix(self.empty(n_rows * n_outputs), n_rows, n_outputs, self.stack)

    def workspace(self, n_rows, scale):
        """Return the `TrainingWorkspace` for a batch size, allocated at the first call."""
        key = n_rows, scale
        if key not in self._workspaces:
            self._workspaces[key] = TrainingWorkspace(n_rows, self, scale)
        return self._workspaces[key]


class HiddenLayer:
    """The values of one hidden layer for a batch.

    Attributes
    ----------
    z, values : tensors of shape (*stack, n_rows, n_units)
        Before and after the activation: one tensor where the activation works in place.
    mask : tensor of shape (*stack, n_rows, n_units) or None
        In training with dropout, 0 for a dropped unit and 1 / (1 - dropout) for another
        (Srivastava et al., Journal of Machine Learning Research 15, 2014, inverted).
    outflow : DenseInput
        What enters the next layer.
    """

    __slots__ = ("activation", "dropout", "mask", "outflow", "values", "z")

    def __init__(self, n_rows, n_units, activation, layout, dropout=0.0):
        self.activation, self.dropout = activation, dropout
        self.values = layout.empty_product(n_rows, n_units)
        self.z = torch.empty_like(self.values) if activation.keeps_input else self.values
        self.mask: Any = torch.empty_like(self.values) if dropout else None
        self.outflow = DenseInput(torch.empty_like(self.values) if dropout else self.values)

    def draw_mask(self, generators):
        """Bind the choice of the units that this batch drops.

        Parameters
        ----------
        generators : sequence of torch.Generator
            One for each member of a stack.
        """
        if not self.dropout:
            return []
        keep = 1.0 - self.dropout
        members = self.mask if self.mask.ndim == 3 else [self.mask]
        return [
            *(
                partial(mask.bernoulli_, keep, generator=generator)
                for mask, generator in zip(members, generators, strict=True)
            ),
            partial(self.mask.div_, keep),
        ]

    def activate(self):
        """Bind the activation of z, and the mask on its values."""
        calls = self.activation.forward(self.z, self.values)
        if self.dropout:
            calls = [*calls, partial(torch.mul, self.values, self.mask, out=self.outflow.rows)]
        return calls

    def backpropagate(self, delta):
        """Bind the step from the derivative with respect to the outflow to that of z."""
        masked = [partial(delta.mul_, self.mask)] if self.dropout else []
        return masked + self.activation.backward(delta, self.z)


class Workspace:
    """The values of all hidden layers, for batches of one size.

    Attributes
    ----------
    hidden : list of HiddenLayer
    """

    def __init__(self, n_rows, layout):
        self.hidden = [
            HiddenLayer(n_rows, n_units, activation, layout, dropout)
            for n_units, activation, dropout in zip(
                layout.layer_units[1:-1], layout.activations, layout.dropout, strict=True
            )
        ]


class TrainingWorkspace(Workspace):
    """Besides these, the derivatives of the backward pass.

    Attributes
    ----------
    deltas : list of tensors of shape (*stack, n_rows, n_units)
        Derivative of the loss with respect to each layer before its activation.
    scale : float
        Factor of the sum over the rows of the last delta.
    shares : tensor of shape (*stack, n_rows)
        `scale`, once per row.
    inverse_n_rows : tensor of shape (*stack,)
        1 / the number of rows.
    raw : tensor of shape (*stack, n_rows, n_outputs) or None
        The raw outputs, where products have a dtype of their own.
    """

    def __init__(self, n_rows, layout, scale):
        super().__init__(n_rows, layout)
        self.deltas = [layout.empty_product(n_rows, n) for n in layout.layer_units[1:]]
        self.scale = scale
        self.shares = layout.empty_operand(n_rows).fill_(scale)
        self.inverse_n_rows = layout.empty().fill_(1.0 / n_rows)
        self.raw = layout.empty_product(n_rows, layout.layer_units[-1]) if layout.mixed else None
