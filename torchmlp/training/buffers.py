"""The memory that a network works in, allocated once per batch size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from torchmlp.training.activations import Activation
from torchmlp.training.inputs import DenseInput
from torchmlp.training.parameters import as_matrix


@dataclass(frozen=True)
class Layout:
    """Shapes, dtypes and device of everything a network computes.

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
    """

    layer_units: tuple[int, ...]
    dtype: torch.dtype
    product_dtype: torch.dtype
    device: torch.device
    activations: Sequence[Activation]
    dropout: Sequence[float]
    _spaces: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def mixed(self):
        """Whether products are computed in another dtype than the rest."""
        return self.dtype != self.product_dtype

    def empty(self, *shape):
        return torch.empty(*shape, dtype=self.dtype, device=self.device)

    def empty_operand(self, *shape):
        return torch.empty(*shape, dtype=self.product_dtype, device=self.device)

    def empty_product(self, n_rows, n_columns):
        """Return memory for a product, in the order of `as_matrix`."""
        return as_matrix(self.empty_operand(n_rows * n_columns), n_rows, n_columns)

    def empty_outputs(self, n_rows):
        """Return memory for the outputs, in the dtype of the weights."""
        n_outputs = self.layer_units[-1]
        return as_matrix(self.empty(n_rows * n_outputs), n_rows, n_outputs)

    def space(self, n_rows, scale):
        """Return the `TrainingSpace` for a batch size, made at the first call."""
        key = n_rows, scale
        if key not in self._spaces:
            self._spaces[key] = TrainingSpace(n_rows, self, scale)
        return self._spaces[key]


class HiddenLayer:
    """What one hidden layer puts out.

    Attributes
    ----------
    z, values : tensors of shape (n_rows, n_units)
        Before and after the activation: one tensor where the activation works in place.
    mask : tensor of shape (n_rows, n_units) or None
        In training with dropout, 0 for a dropped unit and 1 / (1 - dropout) for another
        (Srivastava et al., Journal of Machine Learning Research 15, 2014, inverted).
    outflow : DenseInput
        What flows into the next layer.
    """

    __slots__ = ("activation", "dropout", "mask", "outflow", "values", "z")

    def __init__(self, n_rows, n_units, activation, layout, dropout=0.0):
        self.activation, self.dropout = activation, dropout
        self.values = layout.empty_product(n_rows, n_units)
        self.z = torch.empty_like(self.values) if activation.keeps_input else self.values
        self.mask: Any = torch.empty_like(self.values) if dropout else None
        self.outflow = DenseInput(torch.empty_like(self.values) if dropout else self.values)

    def draw_mask(self, generator):
        """Choose the units that this batch drops; the others make up for them."""
        if self.dropout:
            keep = 1.0 - self.dropout
            self.mask.bernoulli_(keep, generator=generator).div_(keep)

    def activate(self):
        """Apply the activation to z, and the mask to its values."""
        self.activation.apply(self.z, self.values)
        if self.dropout:
            torch.mul(self.values, self.mask, out=self.outflow.rows)

    def backpropagate(self, delta):
        """Turn the derivative with respect to the outflow into that with respect to z."""
        if self.dropout:
            delta.mul_(self.mask)
        self.activation.backpropagate(delta, self.z)


class Workspace:
    """What each layer puts out, for batches of one size.

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


class TrainingSpace(Workspace):
    """Beside it, the errors that flow back.

    Attributes
    ----------
    deltas, deltas_transposed : list of tensors
        Derivative of the loss with respect to each layer before its activation, of shape
        (n_rows, n_units), and its transposed view.
    scale : float
        What the sum over the rows of the last delta is multiplied with.
    shares : tensor of shape (n_rows,)
        `scale`, once per row.
    raw : tensor of shape (n_rows, n_outputs) or None
        The raw outputs, where products have a dtype of their own.
    """

    def __init__(self, n_rows, layout, scale):
        super().__init__(n_rows, layout)
        self.deltas = [layout.empty_product(n_rows, n) for n in layout.layer_units[1:]]
        self.deltas_transposed = [delta.t() for delta in self.deltas]
        self.scale = scale
        self.shares = layout.empty_operand(n_rows).fill_(scale)
        self.raw = layout.empty_product(n_rows, layout.layer_units[-1]) if layout.mixed else None
