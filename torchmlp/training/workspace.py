"""Shapes of a network, and memory for its values and derivatives, once per batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from torchmlp.training.activations import Activation
from torchmlp.training.parameters import as_matrix
from torchmlp.training.products import DenseInput


@dataclass(frozen=True)
class Layout:
    """Layer sizes, dtypes, device and activations of a network, which determine its tensors.

    Attributes
    ----------
    layer_units : tuple of int
        Number of units in each layer, including the input and output layers.
    dtype : torch.dtype
        Dtype of the weights, targets, outputs and losses.
    product_dtype : torch.dtype
        Dtype of the operands of the matrix products.
    device : torch.device
    activations : sequence of Activation
        Activation of each hidden layer.
    dropout : sequence of float
        Dropout probability of each hidden layer.
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

    @property
    def mixed(self):
        """Whether matrix products use another dtype than the rest (mixed precision)."""
        return self.dtype != self.product_dtype

    @property
    def n_coefficients(self):
        """Number of coefficients of a network: the multiply-adds of a forward pass per row."""
        return sum(fan_in * fan_out for fan_in, fan_out in pairwise(self.layer_units))

    def empty(self, *shape):
        """Allocate a tensor of shape (*stack, *shape)."""
        return torch.empty((*self.stack, *shape), dtype=self.dtype, device=self.device)

    def empty_operand(self, *shape):
        """Allocate an operand of a product, of shape (*stack, *shape)."""
        return torch.empty((*self.stack, *shape), dtype=self.product_dtype, device=self.device)

    def empty_product(self, n_rows, n_columns):
        """Allocate the result of a matrix product, in the memory order of `as_matrix`."""
        flat = self.empty_operand(n_rows * n_columns)
        return as_matrix(flat, n_rows, n_columns, self.stack)

    def empty_outputs(self, n_rows):
        """Allocate the outputs of a batch, in the dtype of the weights."""
        n_outputs = self.layer_units[-1]
        return as_matrix(self.empty(n_rows * n_outputs), n_rows, n_outputs, self.stack)

    def stacked(self, *shape):
        """Return this layout with another `stack`."""
        return replace(self, stack=shape)

    def without_dropout(self):
        """Return the layout for predictions."""
        return replace(self, dropout=[0.0] * len(self.dropout))


class HiddenLayer:
    """The values of one hidden layer for a batch.

    Attributes
    ----------
    z, values : tensors of shape (*stack, n_rows, n_units)
        Values before and after the activation function. Both are the same tensor if the activation
        function works in place.
    mask : tensor of shape (*stack, n_rows, n_units) or None
        Dropout mask: 0 for a dropped unit and 1 / (1 - dropout) for the others (inverted dropout;
        Srivastava et al., Journal of Machine Learning Research 15, 2014). None without dropout.
    drawn_mask : tensor of shape (*stack, n_batch_rows, n_units) or None
        The mask of the whole batch, if this process has a part of its rows. Otherwise, `mask`.
    output : DenseInput
        Values after dropout, as the input of the next layer.
    """

    __slots__ = ("activation", "drawn_mask", "dropout", "mask", "output", "values", "z")

    def __init__(self, n_rows, n_units, activation, layout, dropout=0.0, whole=None):
        self.activation = activation
        self.dropout = dropout
        self.values = layout.empty_product(n_rows, n_units)
        self.z = torch.empty_like(self.values) if activation.needs_input else self.values
        self.mask: Any = torch.empty_like(self.values) if dropout else None
        self.drawn_mask: Any = self.mask
        if dropout and whole is not None:
            n_batch_rows, start = whole
            self.drawn_mask = torch.empty_like(layout.empty_product(n_batch_rows, n_units))
            self.mask = self.drawn_mask[start : start + n_rows]
        self.output = DenseInput(torch.empty_like(self.values) if dropout else self.values)

    def draw_mask(self, generators):
        """Bind the operations that draw the dropout mask.

        Parameters
        ----------
        generators : sequence of torch.Generator
            One generator per network.
        """
        if not self.dropout:
            return []
        keep = 1.0 - self.dropout
        drawn = self.drawn_mask
        members = drawn if drawn.ndim == 3 else [drawn]
        return [
            *(
                partial(mask.bernoulli_, keep, generator=generator)
                for mask, generator in zip(members, generators, strict=True)
            ),
            partial(drawn.div_, keep),
        ]

    def activate(self):
        """Bind the activation function and the dropout mask."""
        calls = self.activation.forward(self.z, self.values)
        if self.dropout:
            calls = [*calls, partial(torch.mul, self.values, self.mask, out=self.output.rows)]
        return calls

    def backpropagate(self, delta):
        """Bind the operations that turn delta, the gradient for `output`, into that for z."""
        masked = [partial(delta.mul_, self.mask)] if self.dropout else []
        return masked + self.activation.backward(delta, self.z)


class Workspace:
    """The values of all hidden layers, for batches of one size.

    Attributes
    ----------
    hidden : list of HiddenLayer
    """

    def __init__(self, n_rows, layout, whole=None):
        self.hidden = [
            HiddenLayer(n_rows, n_units, activation, layout, dropout, whole)
            for n_units, activation, dropout in zip(
                layout.layer_units[1:-1], layout.activations, layout.dropout, strict=True
            )
        ]


class TrainingWorkspace(Workspace):
    """A `Workspace` that also contains the derivatives of the backward pass.

    Attributes
    ----------
    deltas : list of tensors of shape (*stack, n_rows, n_units)
        Derivative of the loss with respect to the values of each layer before its activation.
    scale : float
        Factor for sums over the rows: 1 / n_rows, or 1 if the rows are weighted already.
    row_scales : tensor of shape (*stack, n_rows)
        A vector filled with `scale`.
    inverse_n_rows : tensor of shape (*stack,)
        1 / n_rows.
    raw : tensor of shape (*stack, n_rows, n_outputs) or None
        The raw outputs in `product_dtype`. None if that is the same as `dtype`.
    """

    def __init__(self, n_rows, layout, scale, whole=None):
        super().__init__(n_rows, layout, whole)
        self.deltas = [layout.empty_product(n_rows, n) for n in layout.layer_units[1:]]
        self.scale = scale
        self.row_scales = layout.empty_operand(n_rows).fill_(scale)
        self.inverse_n_rows = layout.empty().fill_(1.0 / max(n_rows, 1))
        self.raw = layout.empty_product(n_rows, layout.layer_units[-1]) if layout.mixed else None


class WorkspaceCache:
    """The training workspaces of a fit. Each is allocated when it is needed for the first time.

    Parameters
    ----------
    layout : Layout
    """

    def __init__(self, layout):
        self._layout = layout
        self._workspaces = {}

    def get(self, n_rows, scale, whole=None):
        """Return the `TrainingWorkspace` for a batch size, a scale, and a part of a batch.

        Parameters
        ----------
        n_rows : int
        scale : float
        whole : (int, int) or None
            Number of rows of the batch and first row of this process, if it has a part of the rows.
        """
        key = n_rows, scale, whole
        if key not in self._workspaces:
            self._workspaces[key] = TrainingWorkspace(n_rows, self._layout, scale, whole)
        return self._workspaces[key]
