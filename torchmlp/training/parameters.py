"""One flat buffer for all weights of a network, and the per-layer views into it."""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

NARROW = 64  # columns


def by_columns(n_rows, n_columns, dtype):
    """Whether a matrix is stored by columns, which makes its products fast.

    Where columns are few, for BLAS computes along what is contiguous: a product with ten columns
    stored by rows takes two to seven times as long. In float64 also where columns are longer
    than rows (measured with MKL: benchmarks/NOTES.md).
    """
    return n_columns < NARROW or (dtype == torch.float64 and n_rows > n_columns)


def as_matrix(flat, n_rows, n_columns, stack=()):
    """View a vector as a matrix, or a stack of them, in the memory order of `by_columns`."""
    if by_columns(n_rows, n_columns, flat.dtype):
        return flat.view(*stack, n_columns, n_rows).mT
    return flat.view(*stack, n_rows, n_columns)


class Layer(NamedTuple):
    """The weights of one layer: tensors of shape (fan_in, fan_out) and (fan_out,)."""

    coefs: torch.Tensor
    intercepts: torch.Tensor


class Parameters:
    """The weights and biases of a network, or of a stack of networks of one shape.

    All coefficients come first, layer by layer, then all intercepts. A solver thus updates one
    vector, whatever the depth, and the L2 penalty is one dot product. In a stack the members
    follow each other within each layer, so that each layer is one contiguous batch of matrices.

    Parameters
    ----------
    layer_units : sequence of int
        Width of every layer, input and output included.
    dtype : torch.dtype
    device : torch.device
    sparse_input : bool
        Whether the first layer multiplies sparse rows, whose products read it by rows.
    stack : tuple of int, default=()
        ``(n_members,)`` for a stack of networks.

    Attributes
    ----------
    flat : tensor of shape (n_parameters,)
    coefficients : tensor of shape (n_coefficients,)
        The part of `flat` that the L2 penalty shrinks.
    coefs, intercepts : list of tensors
        Views of shape (*stack, fan_in, fan_out) and (*stack, fan_out).
    """

    def __init__(self, layer_units, dtype, device, sparse_input=False, stack=()):
        self.layer_units, self.sparse_input = tuple(layer_units), sparse_input
        self.stack = tuple(stack)
        shapes, n_members = list(pairwise(self.layer_units)), math.prod(self.stack)
        sizes = [n_members * fan_in * fan_out for fan_in, fan_out in shapes]
        self.flat = torch.zeros(
            sum(sizes) + n_members * sum(self.layer_units[1:]), dtype=dtype, device=device
        )
        pieces = self.flat.split([*sizes, *(n_members * n for n in self.layer_units[1:])])
        self.coefs = [
            as_matrix(piece, *shape, stack) for piece, shape in zip(pieces, shapes, strict=False)
        ]
        if sparse_input:
            self.coefs[0] = pieces[0].view(shapes[0])
        self.intercepts = [piece.view(*stack, -1) for piece in pieces[len(shapes) :]]
        self.coefficients = self.flat[: sum(sizes)]

    @property
    def views(self):
        """The coefficients of each layer, then the intercepts of each layer."""
        return self.coefs + self.intercepts

    @property
    def layers(self):
        """One `Layer` each, input side first."""
        return [Layer(*views) for views in zip(self.coefs, self.intercepts, strict=True)]

    def like(self, dtype=None):
        """Return zeros for the same layers."""
        dtype, device = dtype or self.flat.dtype, self.flat.device
        return Parameters(self.layer_units, dtype, device, self.sparse_input, self.stack)

    def per_member(self, values):
        """Return a tensor of shape (*stack,) in a shape that multiplies each of `views`.

        Returns
        -------
        list of tensors of shape (*stack, 1, 1) or (*stack, 1)
        """
        return [values[(...,) + (None,) * (view.ndim - len(self.stack))] for view in self.views]

    def squared_norms(self, views):
        """Return the sum of squares over some of the `views`, of shape (*stack,)."""
        start = len(self.stack)
        return sum(view.square().flatten(start).sum(start) for view in views)

    def torch_views(self):
        """View the weights as torch's modules do.

        Returns
        -------
        list of tensors
            Of each ``nn.Linear`` the weight, of shape (fan_out, fan_in), and the bias, of shape
            (fan_out,): the order of ``module.parameters()``.
        """
        return [view.t() for layer in self.layers for view in layer]

    def by_rows(self, vector):
        """Return an array of a vector that is laid out like `flat`, with every matrix by rows.

        What one fit leaves behind so another one can take up that stores them otherwise, since
        its dtype is another, or its X sparse.
        """
        views = self._views_of(vector.detach().cpu().clone())
        return torch.cat([view.reshape(-1) for view in views]).numpy()

    def from_rows(self, array):
        """Return the vector, on the CPU, that `by_rows` made an array of."""
        by_rows = torch.from_numpy(np.array(array))
        vector = torch.empty_like(by_rows)
        views = self._views_of(vector)
        for view, piece in zip(views, by_rows.split([v.numel() for v in views]), strict=True):
            view.copy_(piece.view(view.shape))
        return vector

    def _views_of(self, vector):
        return [
            vector.as_strided(view.shape, view.stride(), view.storage_offset())
            for view in self.views
        ]

    def assign(self, coefs, intercepts, member=()):
        """Copy the arrays of one network in, layer by layer.

        Parameters
        ----------
        coefs, intercepts : lists of ndarrays
        member : int, default=()
            Which network of a stack.
        """
        for view, array in zip(self.views, [*coefs, *intercepts], strict=True):
            view[member].copy_(torch.from_numpy(np.array(array)))
        return self

    def to_numpy(self, member=()):
        """Return (coefs, intercepts) as lists of arrays that own their memory."""

        def arrays(views):
            return [view[member].cpu().numpy().copy() for view in views]

        return arrays(self.coefs), arrays(self.intercepts)


def initial_weights(init, layer_units, activations, random_state, dtype):
    """Draw initial weights, layer by layer, coefficients before intercepts.

    Parameters
    ----------
    init : {"glorot", "torch", "zeros"}
        "glorot" is scikit-learn's: uniform on [-r, r] with r = sqrt(6 / (fan_in + fan_out)), or
        sqrt(2 / ...) for the logistic activation (Glorot and Bengio, AISTATS 2010). "torch" is
        that of ``nn.Linear``, r = 1 / sqrt(fan_in). Intercepts come from the same interval.
    layer_units : sequence of int
    activations : sequence
        Of the hidden layers; the output layer goes with the last of them.
    random_state : numpy.random.RandomState
    dtype : numpy.dtype

    Returns
    -------
    coefs, intercepts : lists of ndarrays
    """
    coefs, intercepts = [], []
    for i, (fan_in, fan_out) in enumerate(pairwise(layer_units)):
        activation = activations[min(i, len(activations) - 1)] if activations else None
        bound = INITS[init](fan_in, fan_out, activation)
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(dtype))
        intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(dtype))
    return coefs, intercepts


# Bound of the uniform distribution: (fan_in, fan_out, activation) -> float.
INITS = {
    "glorot": lambda fan_in, fan_out, activation: np.sqrt(
        (2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out)
    ),
    "torch": lambda fan_in, fan_out, activation: 1 / np.sqrt(fan_in),
    "zeros": lambda fan_in, fan_out, activation: 0.0,
}
