"""The weights of a network in one flat tensor, with views for each layer."""

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

MIN_WIDE_COLUMNS = 64  # matrices with fewer columns are narrow


def is_column_major(n_rows, n_columns, dtype):
    """Return whether a matrix is stored in column-major order, for faster products.

    This applies to matrices with few columns: with ten columns, a product in row-major order takes
    two to seven times as long. In float64, it also applies to matrices with more rows than columns
    (measured with MKL, see benchmarks/NOTES.md).
    """
    return n_columns < MIN_WIDE_COLUMNS or (dtype == torch.float64 and n_rows > n_columns)


def as_matrix(flat, n_rows, n_columns, stack=()):
    """View a vector as a matrix, or a stack of them, in the order of `is_column_major`."""
    if is_column_major(n_rows, n_columns, flat.dtype):
        return flat.view(*stack, n_columns, n_rows).mT
    return flat.view(*stack, n_rows, n_columns)


class Layer(NamedTuple):
    """The weights of one layer: tensors of shape (fan_in, fan_out) and (fan_out,)."""

    coefs: torch.Tensor
    intercepts: torch.Tensor


class Parameters:
    """The weights and biases of a network, or of a stack of networks of one shape.

    The flat tensor contains the coefficients of all layers, then the intercepts of all layers. A
    solver therefore updates a single vector, and the squared norm for the L2 penalty is a single
    dot product. In a stack, the networks follow each other within each layer, so that each layer is
    a contiguous batch of matrices.

    Parameters
    ----------
    layer_units : sequence of int
        Number of units in each layer, including the input and output layers.
    dtype : torch.dtype
    device : torch.device
    sparse_input : bool
        Whether X is sparse. The coefficients of the first layer are then stored in row-major order.
    stack : tuple of int, default=()
        ``(n_members,)`` for a stack of networks.

    Attributes
    ----------
    flat : tensor of shape (n_parameters,)
    coefficients : tensor of shape (n_coefficients,)
        The part of `flat` that contains all coefficients, to which the L2 penalty applies.
    coefs, intercepts : list of tensors
        Views of shape (*stack, fan_in, fan_out) and (*stack, fan_out).
    """

    def __init__(self, layer_units, dtype, device, sparse_input=False, stack=()):
        self.layer_units = tuple(layer_units)
        self.sparse_input = sparse_input
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
        self._member_of: torch.Tensor | None = None  # the network of each parameter, see `expand`

    @property
    def views(self):
        """The coefficients of each layer, then the intercepts of each layer."""
        return self.coefs + self.intercepts

    @property
    def layers(self):
        """The weights as a list of `Layer`, starting with the first layer."""
        return [Layer(*views) for views in zip(self.coefs, self.intercepts, strict=True)]

    @property
    def networks(self):
        """The layers of each network of a stack: a list of lists of `Layer`."""
        if not self.stack:
            return [self.layers]
        members = range(*self.stack)
        return [[Layer(w[i], b[i]) for w, b in self.layers] for i in members]

    def like(self, dtype=None):
        """Return `Parameters` of the same shapes that are all zero."""
        dtype, device = dtype or self.flat.dtype, self.flat.device
        return Parameters(self.layer_units, dtype, device, self.sparse_input, self.stack)

    def per_member(self, values):
        """Reshape a tensor of shape (*stack,) to broadcast with each of `views`.

        Returns
        -------
        list of tensors of shape (*stack, 1, 1) or (*stack, 1)
        """
        return [values[(...,) + (None,) * (view.ndim - len(self.stack))] for view in self.views]

    def expand(self, values):
        """Repeat the entry of each network for all of its parameters.

        Parameters
        ----------
        values : tensor of shape (n_members,)

        Returns
        -------
        tensor of shape (n_parameters,)
            It has the layout of `flat`.
        """
        if self._member_of is None:
            self._member_of = torch.empty_like(self.flat, dtype=torch.int64)
            members = torch.arange(*self.stack, device=self.flat.device)
            views = self.views_of(self._member_of)
            for view, index in zip(views, self.per_member(members), strict=True):
                view.copy_(index.expand_as(view))
        return values.index_select(0, self._member_of)

    def bind_squared_norm(self, out):
        """Bind out = sum of squares of the coefficients, a tensor of shape (*stack,)."""
        if not self.stack:
            return [partial(torch.dot, self.coefficients, self.coefficients, out=out)]
        # For each layer, the product of a row and a column needs no temporary memory.
        sizes = [coefs.numel() for coefs in self.coefs]
        pieces = [piece.view(*self.stack, 1, -1) for piece in self.coefficients.split(sizes)]
        total = out.view(*self.stack, 1, 1)
        first, *others = ((piece, piece.mT) for piece in pieces)
        return [
            partial(torch.bmm, *first, out=total),
            *(partial(torch.baddbmm, total, *pair, out=total) for pair in others),
        ]

    def squared_norms(self):
        """Return the sum of squares of all parameters, a tensor of shape (*stack,)."""
        start = len(self.stack)
        return sum(view.square().flatten(start).sum(start) for view in self.views)

    def torch_views(self):
        """Return views of the weights in the shapes of torch modules.

        Returns
        -------
        list of tensors
            For each layer, the weight, of shape (fan_out, fan_in), and the bias, of shape
            (fan_out,), in the order of ``module.parameters()``.
        """
        return [view.t() for layer in self.layers for view in layer]

    def to_row_major(self, vector):
        """Convert a vector with the layout of `flat` to an array with row-major matrices.

        The saved state uses this order, because the memory order of a later fit may be different:
        it depends on the dtype and on whether X is sparse.
        """
        views = self.views_of(vector.detach().cpu().clone())
        return torch.cat([view.reshape(-1) for view in views]).numpy()

    def from_row_major(self, array):
        """Return the vector, on the CPU, that `to_row_major` converts to a given array."""
        row_major = torch.from_numpy(np.array(array))
        vector = torch.empty_like(row_major)
        views = self.views_of(vector)
        for view, piece in zip(views, row_major.split([v.numel() for v in views]), strict=True):
            view.copy_(piece.view(view.shape))
        return vector

    def views_of(self, vector):
        """Return views of a vector with the layout of `flat`, in the order of `views`."""
        return [
            vector.as_strided(view.shape, view.stride(), view.storage_offset())
            for view in self.views
        ]

    def assign(self, coefs, intercepts, member=()):
        """Copy the arrays of a network into the weights. Return the object itself.

        Parameters
        ----------
        coefs, intercepts : lists of ndarrays
        member : int, default=()
            Index of a network in a stack. The default is for a single network, or for arrays of all
            networks.
        """
        for view, array in zip(self.views, [*coefs, *intercepts], strict=True):
            view[member].copy_(torch.from_numpy(np.array(array)))
        return self

    def to_numpy(self, member=()):
        """Return (coefs, intercepts) as lists of arrays that own their memory. See `assign`."""

        def arrays(views):
            return [view[member].cpu().numpy().copy() for view in views]

        return arrays(self.coefs), arrays(self.intercepts)


# Bound of the uniform distribution: (fan_in, fan_out, activation) -> float.
INITS = {
    "glorot": lambda fan_in, fan_out, activation: np.sqrt(
        (2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out)
    ),
    "torch": lambda fan_in, fan_out, activation: 1 / np.sqrt(fan_in),
    "zeros": lambda fan_in, fan_out, activation: 0.0,
}


def initial_weights(init, layer_units, activations, random_state, dtype):
    """Draw initial weights, layer by layer, coefficients before intercepts.

    Parameters
    ----------
    init : {"glorot", "torch", "zeros"}
        Distribution of weights and intercepts, uniform on [-r, r]. "glorot" uses r = sqrt(6 /
        (fan_in + fan_out)), or sqrt(2 / (fan_in + fan_out)) for the logistic activation (Glorot and
        Bengio, AISTATS 2010), as in scikit-learn. "torch" uses r = 1 / sqrt(fan_in), as in
        ``nn.Linear``. "zeros" uses r = 0.
    layer_units : sequence of int
    activations : sequence
        Activations of the hidden layers. The output layer uses the last of them.
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
