"""One flat buffer for all weights of a network, and the per-layer views into it."""

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


def as_matrix(flat, n_rows, n_columns):
    """View a vector as a matrix of this shape, in the memory order of `by_columns`."""
    if by_columns(n_rows, n_columns, flat.dtype):
        return flat.view(n_columns, n_rows).t()
    return flat.view(n_rows, n_columns)


class Layer(NamedTuple):
    """The weights of one layer: tensors of shape (fan_in, fan_out) and (fan_out,)."""

    coefs: torch.Tensor
    intercepts: torch.Tensor


class Parameters:
    """The weights and biases of one network, or anything laid out like them.

    All coefficients come first, layer by layer, then all intercepts, so that a solver updates
    one vector whatever the depth, and the penalty is one dot product.

    Parameters
    ----------
    layer_units : sequence of int
        Width of every layer, input and output included.
    dtype : torch.dtype
    device : torch.device
    sparse_input : bool
        Whether the first layer meets sparse rows, whose products read it by rows.

    Attributes
    ----------
    flat : tensor of shape (n_parameters,)
    coefficients : tensor of shape (n_coefficients,)
        The part of `flat` that the L2 penalty shrinks.
    coefs, intercepts : list of tensors
        Views of shape (fan_in, fan_out) and (fan_out,).
    """

    def __init__(self, layer_units, dtype, device, sparse_input=False):
        self.layer_units, self.sparse_input = tuple(layer_units), sparse_input
        shapes = list(pairwise(self.layer_units))
        sizes = [fan_in * fan_out for fan_in, fan_out in shapes] + [n for _, n in shapes]
        self.flat = torch.zeros(sum(sizes), dtype=dtype, device=device)
        pieces = self.flat.split(sizes)
        self.coefs = [as_matrix(w, *shape) for w, shape in zip(pieces, shapes, strict=False)]
        if sparse_input:
            self.coefs[0] = pieces[0].view(shapes[0])
        self.intercepts = list(pieces[len(shapes) :])
        self.coefficients = self.flat[: sum(sizes[: len(shapes)])]

    @property
    def layers(self):
        """One `Layer` each, input side first."""
        return [Layer(*views) for views in zip(self.coefs, self.intercepts, strict=True)]

    def torch_views(self, vector=None):
        """View a vector that is laid out like `flat`, or `flat` itself, as torch's modules do.

        Returns
        -------
        list of tensors
            Of each ``nn.Linear`` the weight, of shape (fan_out, fan_in), and the bias, of shape
            (fan_out,): the order of ``module.parameters()``.
        """
        views = self._views_of(self.flat if vector is None else vector)
        coefs, intercepts = views[: len(self.coefs)], views[len(self.coefs) :]
        return [view.t() for layer in zip(coefs, intercepts, strict=True) for view in layer]

    def like(self, dtype=None):
        """Zeros for the same layers."""
        dtype, device = dtype or self.flat.dtype, self.flat.device
        return Parameters(self.layer_units, dtype, device, self.sparse_input)

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
            for view in self.coefs + self.intercepts
        ]

    def assign(self, coefs, intercepts):
        """Copy NumPy arrays in, layer by layer."""
        for view, array in zip(self.coefs + self.intercepts, [*coefs, *intercepts], strict=True):
            view.copy_(torch.from_numpy(np.array(array)))
        return self

    def to_numpy(self):
        """Return (coefs, intercepts) as lists of arrays that own their memory."""

        def arrays(views):
            return [view.cpu().numpy().copy() for view in views]

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
        bound = _BOUNDS[init](fan_in, fan_out, activation)
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(dtype))
        intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(dtype))
    return coefs, intercepts


_BOUNDS = {
    "glorot": lambda fan_in, fan_out, activation: np.sqrt(
        (2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out)
    ),
    "torch": lambda fan_in, fan_out, activation: 1 / np.sqrt(fan_in),
    "zeros": lambda fan_in, fan_out, activation: 0.0,
}
