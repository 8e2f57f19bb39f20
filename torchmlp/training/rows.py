"""The rows of an epoch, gathered a block of batches at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torchmlp.training.buffers import TrainingSpace
from torchmlp.training.inputs import DenseInput, as_input, as_tensor

BLOCK_BYTES = 1 << 22  # of gathered rows: about what a processor's cache holds
BLOCK_BATCHES = 256


@dataclass(frozen=True)
class Data:
    """What a network learns from.

    Attributes
    ----------
    X : ndarray or csr matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs)
        Bool for classes.
    sample_weight : ndarray of shape (n_samples,) or None
    rows : int array of shape (n_rows,) or None
        The rows that count; None stands for all of them.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self):
        return self.X.shape[0] if self.rows is None else len(self.rows)


@dataclass(slots=True)
class Batch:
    """One batch: views into the buffers of its block.

    Attributes
    ----------
    inputs : DenseInput or SparseInput
    y, outputs : tensors of shape (n_rows, n_outputs)
    row_weights : tensor of shape (n_rows, 1) or None
        Each row's share of the weight of the batch.
    weight_sum : float
        Weight of the whole batch; its number of rows if there are no weights.
    penalty : tensor of shape ()
        Receives the squared norm of the coefficients before the update.
    space : TrainingSpace
    """

    inputs: Any
    y: torch.Tensor
    outputs: torch.Tensor
    row_weights: torch.Tensor | None
    weight_sum: float
    penalty: torch.Tensor
    space: TrainingSpace


class Block:
    """Consecutive batches of an epoch, and the memory they share.

    Parameters
    ----------
    sizes : list of int
        Rows of each batch.
    data : Data
    layout : Layout
    gather : bool
        Whether rows are copied into a buffer; else each batch takes them from the data, where
        they already are what the products want.

    Attributes
    ----------
    batches : list of Batch
    n_weighted_rows : int
        Rows in batches that carry any weight.
    """

    def __init__(self, sizes, data, layout, gather):
        self.data, self.sizes = data, np.array(sizes)
        self.stops = np.cumsum(sizes)
        self.starts = self.stops - sizes
        n_rows = self.n_weighted_rows = sum(sizes)
        self.X: Any = layout.empty_operand(n_rows, data.X.shape[1]) if gather else None
        self.y = layout.empty(n_rows, layout.layer_units[-1])
        self.penalties = layout.empty(len(sizes)).zero_()
        weighted = data.sample_weight is not None
        self.row_weights: Any = layout.empty(n_rows, 1) if weighted else None
        self.loss_weights: Any = layout.empty(n_rows) if weighted else None
        self.penalty_weights: Any = layout.empty(len(sizes)) if weighted else None
        self.batches = [
            self._batch(slice(start, stop), penalty, layout)
            for start, stop, penalty in zip(
                self.starts, self.stops, self.penalties.unbind(), strict=True
            )
        ]

    def _batch(self, rows, penalty, layout):
        n_rows = int(rows.stop - rows.start)  # torch reads NumPy's numbers slowly
        weighted = self.row_weights is not None
        return Batch(
            inputs=None if self.X is None else DenseInput(self.X[rows]),
            y=self.y[rows],
            outputs=layout.empty_outputs(n_rows),
            row_weights=self.row_weights[rows] if weighted else None,
            weight_sum=n_rows,
            penalty=penalty,
            # Weighted rows bring their share of the batch with them.
            space=layout.space(n_rows, 1.0 if weighted else 1.0 / n_rows),
        )

    @property
    def outputs(self):
        """Those of all rows, of shape (n_rows, n_outputs)."""
        if len(self.batches) == 1:
            return self.batches[0].outputs
        return torch.cat([batch.outputs for batch in self.batches])

    def load(self, rows):
        """Fill the buffers.

        Parameters
        ----------
        rows : int array of shape (n_rows,) or slice
            Where in the data the rows of this block stand.
        """
        self.y.copy_(as_tensor(self.data.y[rows]))
        if self.X is not None:
            self._gather(rows)
        else:
            X = self.data.X[rows]
            for batch, start, stop in zip(self.batches, self.starts, self.stops, strict=True):
                batch.inputs = as_input(X[start:stop])
        if self.row_weights is not None:
            self._share_weights(self.data.sample_weight[rows])

    def _gather(self, rows):
        X = self.data.X
        if not isinstance(X, np.ndarray):
            self.X.copy_(torch.from_numpy(X[rows].toarray()))
        elif isinstance(rows, slice):
            self.X.copy_(as_tensor(X[rows]))
        else:
            X, rows = as_tensor(X), as_tensor(rows)
            if X.dtype == self.X.dtype and X.device == self.X.device:
                torch.index_select(X, 0, rows, out=self.X)
            else:
                self.X.copy_(torch.index_select(X, 0, rows))

    def _share_weights(self, weights):
        sums = np.add.reduceat(weights, self.starts)
        # A batch without any weight takes part in nothing: shares of 0, not 0 / 0.
        inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        shares = weights * np.repeat(inverse, self.sizes)
        self.row_weights.copy_(torch.from_numpy(shares[:, None]))
        self.loss_weights.copy_(torch.from_numpy(shares * np.repeat(self.sizes, self.sizes)))
        self.penalty_weights.copy_(torch.from_numpy(inverse * self.sizes))
        for batch, weight_sum in zip(self.batches, sums.tolist(), strict=True):
            batch.weight_sum = weight_sum
        self.n_weighted_rows = int(self.sizes[sums > 0].sum())


class Epoch:
    """All rows of the data, once, as blocks of batches.

    Parameters
    ----------
    data : Data
    batch_size : int
    layout : Layout
    shuffle : bool
        Whether `blocks` will be asked for a new order each time.
    """

    def __init__(self, data, batch_size, layout, shuffle):
        self.n_rows, self.batch_size, self.layout = len(data), batch_size, layout
        # One batch holds the same rows in any order.
        self.ordered = not shuffle or batch_size >= self.n_rows
        if isinstance(data.X, np.ndarray) and not self.ordered:
            # Rows of a column-major array are slow to gather: ten times, for 50 columns.
            data = Data(np.ascontiguousarray(data.X), data.y, data.sample_weight, data.rows)
        self.data = data
        self.gather = not self._usable_in_place()
        copied = self.gather or not self.ordered
        limit = BLOCK_BYTES // (batch_size * self._row_bytes()) if copied else BLOCK_BATCHES
        self.block_rows = batch_size * min(max(limit, 1), BLOCK_BATCHES)
        self._blocks = {}

    def blocks(self, order=None):
        """Yield each block, filled.

        Parameters
        ----------
        order : int array of shape (n_rows,) or None
            Permutation of the rows; None stands for the order of the data.
        """
        one_block = self.ordered and self.block_rows >= self.n_rows
        if one_block and self._blocks:
            yield self._blocks[self.n_rows]
            return
        for start in range(0, self.n_rows, self.block_rows):
            rows = slice(start, min(start + self.block_rows, self.n_rows))
            block = self._block(rows.stop - rows.start)
            block.load(self._rows(rows, None if self.ordered else order))
            yield block

    def _row_bytes(self):
        X = self.data.X
        if not self.gather and not isinstance(X, np.ndarray):
            return 1 + X.data.nbytes // X.shape[0]
        return X.shape[1] * self.layout.product_dtype.itemsize

    def _usable_in_place(self):
        """Whether slices of the data, or rows of a CSR matrix, can enter the products so."""
        X, layout = self.data.X, self.layout
        if layout.device.type != "cpu":
            return False
        if not isinstance(X, np.ndarray):
            return not layout.mixed
        return (
            self.ordered
            and self.data.rows is None
            and as_tensor(X[:1]).dtype == layout.product_dtype
        )

    def _rows(self, rows, order):
        if self.data.rows is None:
            return rows if order is None else order[rows]
        return self.data.rows[rows if order is None else order[rows]]

    def _block(self, n_rows):
        if n_rows not in self._blocks:
            full, rest = divmod(n_rows, self.batch_size)
            sizes = [self.batch_size] * full + [rest] * (rest > 0)
            self._blocks[n_rows] = Block(sizes, self.data, self.layout, self.gather)
        return self._blocks[n_rows]
