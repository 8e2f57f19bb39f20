"""What flows into a layer: the two products that forward and backward need of it."""

import numpy as np
import torch


class DenseInput:
    """Rows in a tensor.

    Parameters
    ----------
    rows : tensor of shape (n_rows, fan_in)
    """

    __slots__ = ("rows", "transposed")

    def __init__(self, rows):
        self.rows = rows
        self.transposed = rows.t()

    def affine(self, coefs, intercepts, out):
        """Out = rows @ coefs + intercepts."""
        torch.addmm(intercepts, self.rows, coefs, out=out)

    def coefs_gradient(self, delta, coefs, decay, scale, out):
        """Out = scale * rows.T @ delta + decay * coefs."""
        torch.addmm(coefs, self.transposed, delta, beta=decay, alpha=scale, out=out)


class SparseInput:
    """Rows in a scipy CSR matrix, on the CPU; never densified.

    Parameters
    ----------
    rows : csr_array or csr_matrix of shape (n_rows, fan_in)
    """

    __slots__ = ("rows",)

    def __init__(self, rows):
        self.rows = rows

    def affine(self, coefs, intercepts, out):
        product = torch.from_numpy(self.rows @ coefs.numpy())
        torch.add(product, intercepts, out=out)

    def coefs_gradient(self, delta, coefs, decay, scale, out):
        product = torch.from_numpy(self.rows.T @ delta.numpy())
        torch.mul(coefs, decay, out=out).add_(product, alpha=scale)


def as_input(rows):
    """Return rows of an array or a CSR matrix as what flows into a layer, without a copy."""
    return DenseInput(as_tensor(rows)) if isinstance(rows, np.ndarray) else SparseInput(rows)


def as_tensor(array):
    """Share the memory of an array, read-only ones included; the tensor must not be written.

    torch warns about every array that is not writeable, such as the memory-mapped ones that
    joblib hands to its workers. Silencing a warning is not safe in threads, so the array is
    described anew without its read-only flag.
    """
    if not array.dtype.isnative or any(s < 0 or s % array.itemsize for s in array.strides):
        # torch knows neither foreign byte orders nor such strides.
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Writeable(array)))


class _Writeable:
    def __init__(self, array):
        self.array = array  # keeps the memory alive
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
