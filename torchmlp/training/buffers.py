"""The memory that a network works in, allocated once per batch size."""

from dataclasses import dataclass, field

import torch

from torchmlp.training.inputs import DenseInput


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
    """

    layer_units: tuple[int, ...]
    dtype: torch.dtype
    product_dtype: torch.dtype
    device: torch.device
    _spaces: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def mixed(self):
        """Whether products are computed in another dtype than the rest."""
        return self.dtype != self.product_dtype

    def empty(self, *shape):
        return torch.empty(*shape, dtype=self.dtype, device=self.device)

    def empty_operand(self, *shape):
        return torch.empty(*shape, dtype=self.product_dtype, device=self.device)

    def space(self, n_rows, scale):
        """Return the `TrainingSpace` for a batch size, made at the first call."""
        key = n_rows, scale
        if key not in self._spaces:
            self._spaces[key] = TrainingSpace(n_rows, self, scale)
        return self._spaces[key]


class Workspace:
    """What each layer puts out, for batches of one size.

    Attributes
    ----------
    hidden : list of tensors of shape (n_rows, n_units)
        Values of the hidden layers.
    inputs : list of DenseInput
        The same, as what flows into the next layer.
    """

    def __init__(self, n_rows, layout):
        self.hidden = [layout.empty_operand(n_rows, n) for n in layout.layer_units[1:-1]]
        self.inputs = [DenseInput(values) for values in self.hidden]


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
        self.deltas = [layout.empty_operand(n_rows, n) for n in layout.layer_units[1:]]
        self.deltas_transposed = [delta.t() for delta in self.deltas]
        self.scale = scale
        self.shares = layout.empty_operand(n_rows).fill_(scale)
        self.raw = layout.empty_operand(n_rows, layout.layer_units[-1]) if layout.mixed else None
