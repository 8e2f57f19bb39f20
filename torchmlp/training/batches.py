"""Mini-batches of the training data, which are loaded in blocks of several batches."""

import mmap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from torchmlp.training.device.transfer import (
    Buffers,
    Resident,
    empty_targets,
    gather,
    shares_memory,
    staging_for,
)
from torchmlp.training.products import DenseInput, SparseInput, as_tensor
from torchmlp.training.workspace import TrainingWorkspace

# Maximum size of the rows and the outputs of a block: about the size of a CPU cache. On other
# devices, it is larger, so that copies are fast and launches are few, but small compared to the
# device memory.
MAX_BLOCK_BYTES = 1 << 22
MAX_DEVICE_BLOCK_BYTES = 1 << 26
MAX_BLOCK_BATCHES = 256
# Maximum number of multiply-adds in the forward passes of a block, which take some tenths of a
# second. `time_limit` is checked after each block.
MAX_BLOCK_WORK = 1 << 32
MAX_DEVICE_BLOCK_WORK = 1 << 40


@dataclass(frozen=True)
class Dataset:
    """Samples and their targets.

    Attributes
    ----------
    X : ndarray or csr matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples, n_outputs), or (n_samples, 1) for class codes
        Encoded targets: floats for a regressor, bool for two classes and for multilabel targets,
        and integer codes for more than two classes.
    sample_weight : ndarray of shape (n_samples,) or None
    rows : int array of shape (n_rows,) or None
        Indices of the samples to use. None means all samples.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self):
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def n_bytes(self):
        """Size of the samples and targets in bytes."""
        X = self.X
        size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes
        return size + self.y.nbytes


class Source(NamedTuple):
    """The samples of a `Dataset` as tensors that share memory with its arrays.

    Attributes
    ----------
    X : tensor or csr matrix of shape (n_samples, n_features)
    y : tensor of shape (n_samples, n_outputs), or (n_samples, 1) for class codes
    sample_weight : ndarray of shape (n_samples,) or None
    """

    X: Any
    y: torch.Tensor
    sample_weight: np.ndarray | None


@dataclass(slots=True)
class Batch:
    """A mini-batch: views of the buffers of its block, and its outputs.

    For a stack of networks, every tensor has a leading dimension with one entry per network.

    Attributes
    ----------
    inputs : DenseInput or SparseInput
    y : tensor of shape (n_rows, n_outputs), or (n_rows, 1) for class codes
    outputs : tensor of shape (n_rows, n_outputs)
    penalty : tensor of shape ()
        Receives the squared norm of the coefficients before the update.
    workspace : TrainingWorkspace
    inverse_weight : tensor of shape ()
        1 / (sum of the sample weights in the batch), or 0 if all are zero.
    row_weights : tensor of shape (n_rows, 1) or None
        The sample weights divided by their sum over the batch. None without sample weights.
    skipped : bool
        Whether no row has any weight, so that there is no step to make.
    calls : list of Call
        The operations of the forward and the backward pass, once they are bound.
    """

    inputs: Any
    y: torch.Tensor
    outputs: torch.Tensor
    penalty: torch.Tensor
    workspace: TrainingWorkspace
    inverse_weight: torch.Tensor
    row_weights: torch.Tensor | None = None
    skipped: bool = False
    calls: list = field(default_factory=list)

    def __len__(self):
        return self.outputs.shape[-2]


class Block:
    """Consecutive batches of an epoch, and the memory that they share.

    Parameters
    ----------
    sizes : list of int
        Number of rows of each batch.
    source : Source
    layout : Layout
    buffers : Buffers
        If its X is None, the matrix products read the data in place.
    staging : InPlace
        Transfers data from the host to the buffers.
    resident : Resident or None
        The data, if they are stored on the device.

    Attributes
    ----------
    batches : list of Batch
    n_rows : int
    n_weighted_rows : int
        Number of rows in batches that are not skipped.
    is_new : bool
        Whether the calls of its batches have not been bound yet.
    """

    def __init__(self, sizes, source, layout, buffers, staging, resident=None):
        self.source, self.sizes, self.buffers = source, np.array(sizes), buffers
        self.staging, self.resident = staging, resident
        self.stops = np.cumsum(sizes)
        self.starts = self.stops - sizes
        self.n_rows = self.n_weighted_rows = sum(sizes)
        self.is_new = True
        self.penalties = layout.empty(len(sizes)).zero_()
        self.batches = [
            self._batch(i, slice(start, stop), layout)
            # Python ints, because torch is slow with NumPy ints.
            for i, (start, stop) in enumerate(
                zip(self.starts.tolist(), self.stops.tolist(), strict=True)
            )
        ]
        # Outputs in column-major order are concatenated along the columns, which is faster.
        columns = [batch.outputs.t() for batch in self.batches]
        self._by_columns = columns if columns[0].is_contiguous() else None

    def _batch(self, i, rows, layout):
        n_rows, buffers = rows.stop - rows.start, self.buffers
        weighted = buffers.row_weights is not None
        # Sample weights are already divided by their sum over the batch.
        workspace = layout.workspace(n_rows, 1.0 if weighted else 1.0 / n_rows)
        return Batch(
            inputs=self._inputs(rows),
            y=buffers.y[rows],
            outputs=layout.empty_outputs(n_rows),
            penalty=self.penalties[i],
            workspace=workspace,
            inverse_weight=buffers.inverse_weights[i] if weighted else workspace.inverse_n_rows,
            row_weights=buffers.row_weights[rows] if weighted else None,
        )

    def _inputs(self, rows):
        if self.buffers.X is not None:
            return DenseInput(self.buffers.X[rows])
        if isinstance(self.source.X, torch.Tensor):
            return DenseInput(self.source.X[rows])
        return SparseInput()

    @property
    def outputs(self):
        """The outputs of all rows, of shape (n_rows, n_outputs)."""
        if len(self.batches) == 1:
            return self.batches[0].outputs
        if self._by_columns is None:
            return torch.cat([batch.outputs for batch in self.batches])
        return torch.cat(self._by_columns, 1).t()

    def load(self, rows, part):
        """Load rows into the buffers.

        Parameters
        ----------
        rows : int array of shape (n_rows,) or slice
            Indices of the samples of this block.
        part : slice
            Positions of these samples in the epoch.
        """
        host = self.staging.open()
        if self.resident is not None:
            self.resident.load(part, self.buffers)
        else:
            gather(self.source.y, rows, host.y)
            if host.X is not None:
                gather(self.source.X, rows, host.X)
            else:
                self._use_in_place(self.source.X[rows])
        if host.row_weights is not None:
            self._share_weights(self.source.sample_weight[rows], host)
        self.staging.send()

    def _use_in_place(self, X):
        for batch, start, stop in zip(self.batches, self.starts, self.stops, strict=True):
            batch.inputs.replace(X[start:stop])

    def _share_weights(self, weights, host):
        sums = np.add.reduceat(weights, self.starts)
        # Zeros instead of 0 / 0 in a batch without any weight, which is skipped. The inverse of a
        # tiny sum overflows.
        largest = torch.finfo(host.row_weights.dtype).max
        with np.errstate(over="ignore"):
            inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        inverse = np.minimum(inverse, largest / max(self.sizes))
        totals = np.repeat(sums, self.sizes)
        shares = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
        host.row_weights.copy_(torch.from_numpy(shares[:, None]))
        host.loss_weights.copy_(torch.from_numpy(shares * np.repeat(self.sizes, self.sizes)))
        host.inverse_weights.copy_(torch.from_numpy(inverse))
        host.penalty_weights.copy_(torch.from_numpy(inverse * self.sizes))
        for batch, has_weight in zip(self.batches, (sums > 0).tolist(), strict=True):
            batch.skipped = not has_weight
        self.n_weighted_rows = int(self.sizes[sums > 0].sum())


def _is_memory_mapped(array):
    while array is not None:
        if isinstance(array, (np.memmap, mmap.mmap)):
            return True
        array = getattr(array, "base", None)
    return False


class BatchLoader:
    """Yields the samples of a data set in blocks of batches, once per epoch.

    On the CPU, rows are gathered into buffers, or used in place. On another device, all rows are
    copied before the first epoch if they fit into its memory. Otherwise each block is transferred
    separately, on CUDA while the previous block is used for training.

    Parameters
    ----------
    data : Dataset
    batch_size : int
    layout : Layout
    shuffle : bool
        Whether each epoch has a new order.
    """

    def __init__(self, data, batch_size, layout, shuffle):
        self.n_rows, self.batch_size, self.layout = len(data), batch_size, layout
        # With a single batch, the order does not matter.
        self.ordered = not shuffle or batch_size >= self.n_rows
        self.data, self.on_host = data, shares_memory(layout.device)
        self.gathers = not self._usable_in_place()
        self.block_rows = batch_size * self._batches_per_block()
        self._one_block = self.ordered and self.block_rows >= self.n_rows
        stays = not self.on_host and (self._one_block or Resident.fits(data, layout))
        self.resident = Resident(data, layout) if stays else None
        X = data.X
        if isinstance(X, np.ndarray) and not (self.ordered or stays or _is_memory_mapped(X)):
            # Rows of a column-major array are slow to gather: ten times, for 50 columns.
            X = np.ascontiguousarray(X)
        X = as_tensor(X) if isinstance(X, np.ndarray) else X
        self.source = Source(X, as_tensor(data.y), data.sample_weight)
        self.staging = staging_for(layout.device)
        waits = not self.on_host and (not stays or data.sample_weight is not None)
        self.n_turns = 2 if waits else 1  # the next block is loaded during training
        self._blocks = {}

    def blocks(self, order=None):
        """Yield the blocks of an epoch, with data.

        Parameters
        ----------
        order : int array of shape (n_rows,) or None
            Permutation of the rows. None means the order of the data.
        """
        if self._one_block and self._blocks:
            yield from self._blocks.values()
            return
        order = None if self.ordered else order
        if self.resident is not None:
            self.resident.begin_epoch(order)
        for i, start in enumerate(range(0, self.n_rows, self.block_rows)):
            part = slice(start, min(start + self.block_rows, self.n_rows))
            block = self._block(part.stop - part.start, i % self.n_turns)
            block.load(self._rows(part, order), part)
            yield block
            block.staging.trained()

    def _batches_per_block(self):
        X, layout = self.data.X, self.layout
        row_bytes = layout.layer_units[-1] * layout.dtype.itemsize
        if self.gathers:
            row_bytes += X.shape[1] * layout.product_dtype.itemsize
        elif not isinstance(X, np.ndarray):
            row_bytes += X.data.nbytes // X.shape[0]
        row_work = sum(fan_in * fan_out for fan_in, fan_out in pairwise(layout.layer_units))
        max_bytes = MAX_BLOCK_BYTES if self.on_host else MAX_DEVICE_BLOCK_BYTES
        max_work = MAX_BLOCK_WORK if self.on_host else MAX_DEVICE_BLOCK_WORK
        n_rows = min(max_bytes // row_bytes, max_work // row_work)
        return min(max(n_rows // self.batch_size, 1), MAX_BLOCK_BATCHES)

    def _usable_in_place(self):
        """Return whether matrix products can use slices of X, or rows of a CSR matrix, in place."""
        X, layout = self.data.X, self.layout
        if not self.on_host:
            return False
        if not isinstance(X, np.ndarray):
            return not layout.mixed
        return (
            self.ordered
            and self.data.rows is None
            and as_tensor(X[:1]).dtype == layout.product_dtype
        )

    def _rows(self, part, order):
        if self.data.rows is None:
            return part if order is None else order[part]
        return self.data.rows[part if order is None else order[part]]

    def _block(self, n_rows, turn):
        key = n_rows, turn
        if key not in self._blocks:
            full, rest = divmod(n_rows, self.batch_size)
            sizes = [self.batch_size] * full + [rest] * (rest > 0)
            buffers = self._buffers(n_rows, len(sizes))
            written = buffers if self.resident is None else buffers._replace(X=None, y=None)
            self._blocks[key] = Block(
                sizes, self.source, self.layout, buffers, self.staging(written), self.resident
            )
        return self._blocks[key]

    def _buffers(self, n_rows, n_batches):
        data, layout = self.data, self.layout
        if self.resident is not None and self._one_block:
            X, y = self.resident.X, self.resident.y
        else:
            X = layout.empty_operand(n_rows, data.X.shape[1]) if self.gathers else None
            y = empty_targets(data.y, n_rows, layout)
        if data.sample_weight is None:
            return Buffers(X, y)
        return Buffers(
            X,
            y,
            layout.empty(n_rows, 1),
            layout.empty(n_rows),
            layout.empty(n_batches),
            layout.empty(n_batches),
        )
