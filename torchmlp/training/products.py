"""The matrix products of a layer, as bound calls.

Every function returns a list of functions without arguments, which a training step calls in order.
A single network uses `addmm`, `mm` and `mv`, a stack of networks uses `baddbmm` and `bmm`, and
sparse rows use the products of SciPy.
"""

from functools import partial

import numpy as np
import torch


class DenseInput:
    """Dense input of a layer.

    Parameters
    ----------
    rows : tensor of shape (*stack, n_rows, fan_in)
    """

    __slots__ = ("rows", "transposed")

    def __init__(self, rows):
        self.rows = rows
        self.transposed = rows.mT

    def replace(self, rows):
        """Make the bound operations read other rows, a tensor of the same shape."""
        self.rows.set_(rows)
        self.transposed.set_(rows.mT)

    def affine(self, coefs, intercepts, out):
        """Bind out = rows @ coefs + intercepts."""
        if coefs.ndim == 3:
            return _stacked(torch.baddbmm, [intercepts.unsqueeze(1)], self.rows, coefs, out)
        return [partial(torch.addmm, intercepts, self.rows, coefs, out=out)]

    def coefs_gradient(self, delta, coefs, decay, scale, out):
        """Bind out = scale * rows.T @ delta + decay * coefs."""
        factors = {"beta": decay, "alpha": scale}
        if coefs.ndim == 3:
            return _stacked(torch.baddbmm, [coefs], self.transposed, delta, out, **factors)
        return [partial(torch.addmm, coefs, self.transposed, delta, out=out, **factors)]


class SparseInput:
    """Sparse input of the first layer: a SciPy CSR matrix on the CPU.

    Parameters
    ----------
    rows : csr_array or csr_matrix of shape (n_rows, fan_in), or None
    """

    __slots__ = ("rows",)

    def __init__(self, rows=None):
        self.rows = rows

    def replace(self, rows):
        """Make the bound operations read other rows, a CSR matrix with as many columns."""
        self.rows = rows

    def affine(self, coefs, intercepts, out):
        """Bind out = rows @ coefs + intercepts."""
        return [partial(self._affine, coefs.numpy(), intercepts, out)]

    def _affine(self, coefs, intercepts, out):
        torch.add(torch.from_numpy(self.rows @ coefs), intercepts, out=out)

    def coefs_gradient(self, delta, coefs, decay, scale, out):
        """Bind out = scale * rows.T @ delta + decay * coefs."""
        return [partial(self._coefs_gradient, delta.numpy(), coefs, decay, scale, out)]

    def _coefs_gradient(self, delta, coefs, decay, scale, out):
        product = torch.from_numpy(self.rows.T @ delta)
        torch.mul(coefs, decay, out=out).add_(product, alpha=scale)


def intercepts_gradient(delta, row_scales, out):
    """Bind out = row_scales @ delta, the weighted sum of the rows of delta.

    Parameters
    ----------
    delta : tensor of shape (*stack, n_rows, n_units)
    row_scales : tensor of shape (*stack, n_rows)
    out : tensor of shape (*stack, n_units)
    """
    if delta.ndim == 3:
        return [partial(torch.bmm, row_scales.unsqueeze(1), delta, out=out.unsqueeze(1))]
    return [partial(torch.mv, delta.mT, row_scales, out=out)]


def input_gradient(delta, coefs, out):
    """Bind out = delta @ coefs.T, the derivative with respect to the input of the layer."""
    if delta.ndim == 3:
        return _stacked(torch.bmm, [], delta, coefs.mT, out)
    return [partial(torch.mm, delta, coefs.mT, out=out)]


def _stacked(product, summands, left, right, out, **factors):
    """Bind a product of stacks of matrices.

    If `out` is in column-major order, torch computes the products one by one. Therefore the
    transpose of `out`, which is in row-major order, is computed as the product of the transposes.
    """
    if out.is_contiguous():
        return [partial(product, *summands, left, right, out=out, **factors)]
    summands = [summand.mT for summand in summands]
    return [partial(product, *summands, right.mT, left.mT, out=out.mT, **factors)]


def as_tensor(array):
    """Return a tensor that shares the memory of an array. The tensor must not be modified.

    torch warns about arrays that are not writeable, such as the memory-mapped arrays that joblib
    passes to its workers. Suppressing warnings is not thread-safe. Instead, an array interface
    without the read-only flag is created for the same memory.
    """
    try:
        return torch.from_numpy(array if array.flags.writeable else np.asarray(_Writeable(array)))
    except (TypeError, ValueError):
        # torch supports neither non-native byte orders nor strides that are not multiples of the
        # item size.
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


class _Writeable:
    """The memory of an array, with an array interface that claims it is writeable."""

    def __init__(self, array):
        self.array = array  # keeps the memory alive
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
