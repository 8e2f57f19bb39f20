"""Loaders, which yield the training data in blocks of batches."""

import mmap

import numpy as np

from torchmlp.training.batches import MAX_BLOCK_BYTES, Block, Source
from torchmlp.training.device.transfer import (
    Buffers,
    Resident,
    empty_targets,
    shares_memory,
    staging_for,
)
from torchmlp.training.products import as_tensor
from torchmlp.training.shares import shares_of_batches, shares_of_parts
from torchmlp.training.stack_batches import SharedLoader
from torchmlp.training.workspace import WorkspaceCache

MAX_DEVICE_BLOCK_BYTES = 1 << 26  # `MAX_BLOCK_BYTES` for other devices; a fraction of their memory
MAX_BLOCK_BATCHES = 256
# Maximum number of multiply-adds in the forward passes of a block, which take some tenths of a
# second. `time_limit` is checked after each block.
MAX_BLOCK_WORK = 1 << 32
MAX_DEVICE_BLOCK_WORK = 1 << 40


def _is_memory_mapped(array):
    while array is not None:
        if isinstance(array, (np.memmap, mmap.mmap)):
            return True
        array = getattr(array, "base", None)
    return False


class BatchLoader:
    """Yields the samples of a data set in blocks of batches, once per epoch.

    Base class of `HostLoader` and `DeviceLoader`. Use `loader_for` to create a loader.

    Parameters
    ----------
    data : Dataset
    batch_size : int
    layout : Layout
    shuffle : bool
        Whether each epoch has a new order.

    Attributes
    ----------
    ordered : bool
        Whether all epochs have the order of the data.
    gathers : bool
        Whether rows of X are copied to buffers. Otherwise, the matrix products read them in place.
    batches_per_block, block_rows : int
        Number of batches and of rows of a block.
    single_block : bool
        Whether one block contains the same data in all epochs, so that it is loaded once.
    source : Source
    resident : Resident or None
        The data, if they are stored on the device.
    n_buffer_sets : int
        Number of buffers for blocks of one size, which are used in turn.
    """

    source: Source
    resident: Resident | None = None
    n_buffer_sets = 1

    def __init__(self, data, batch_size, layout, shuffle):
        self.data = data
        self.batch_size = batch_size
        self.layout = layout
        self.n_rows = len(data)
        # With a single batch, the order does not matter.
        self.ordered = not shuffle or self._n_batches() == 1
        self.gathers = not self._usable_in_place()
        self.batches_per_block = self._batches_per_block()
        self.block_rows = batch_size * self.batches_per_block
        self.single_block = self.ordered and self.batches_per_block >= self._n_batches()
        self.staging = staging_for(layout.device)
        self._workspaces = WorkspaceCache(layout)
        self._blocks = {}

    def blocks(self, order=None):
        """Yield the blocks of an epoch, with data.

        Parameters
        ----------
        order : int array of shape (n_rows,) or None
            Permutation of the rows. None means the order of the data.
        """
        if self.single_block and self._blocks:
            yield from self._blocks.values()
            return
        order = None if self.ordered else order
        if self.resident is not None:
            self.resident.begin_epoch(order)
        for block, *arguments in self._parts(order):
            block.load(*arguments)
            yield block
            block.staging.release()

    def _parts(self, order):
        """Yield each block of an epoch, without data, and the arguments of `Block.load`."""
        for i, start in enumerate(range(0, self.n_rows, self.block_rows)):
            positions = slice(start, min(start + self.block_rows, self.n_rows))
            block = self._block(positions.stop - positions.start, i % self.n_buffer_sets)
            yield block, self._rows(positions, order), positions

    def _n_batches(self):
        return -(-self.n_rows // self.batch_size)

    def _usable_in_place(self):
        """Return whether matrix products can use slices of X, or rows of a CSR matrix, in place."""
        raise NotImplementedError

    def _max_bytes_and_work(self):
        """Return the limits for the size of a block and for its number of multiply-adds."""
        raise NotImplementedError

    def _source(self, copy):
        """Return the `Source`. If `copy` is true, a column-major X is copied to row-major order."""
        X = self.data.X
        if isinstance(X, np.ndarray):
            if copy and not _is_memory_mapped(X):
                # Gathering rows is slow in column-major order: for 50 columns, ten times as slow.
                X = np.ascontiguousarray(X)
            X = as_tensor(X)
        return Source(X, as_tensor(self.data.y), self.data.sample_weight)

    def _batches_per_block(self):
        X, layout = self.data.X, self.layout
        row_bytes = layout.layer_units[-1] * layout.dtype.itemsize
        if self.gathers:
            row_bytes += X.shape[1] * layout.product_dtype.itemsize
        elif not isinstance(X, np.ndarray):
            row_bytes += X.data.nbytes // X.shape[0]
        max_bytes, max_work = self._max_bytes_and_work()
        n_rows = min(max_bytes // row_bytes, max_work // layout.n_coefficients)
        return min(max(n_rows // self.batch_size, 1), MAX_BLOCK_BATCHES)

    def _rows(self, positions, order):
        if self.data.rows is None:
            return positions if order is None else order[positions]
        return self.data.rows[positions if order is None else order[positions]]

    def _block(self, n_rows, buffer_set):
        key = n_rows, buffer_set
        if key not in self._blocks:
            full, rest = divmod(n_rows, self.batch_size)
            self._blocks[key] = self._new_block([self.batch_size] * full + [rest] * (rest > 0))
        return self._blocks[key]

    def _new_block(self, sizes, parts=None):
        weighted = self.data.sample_weight is not None or parts is not None
        buffers = self._buffers(sum(sizes), len(sizes), weighted)
        written = buffers if self.resident is None else buffers._replace(X=None, y=None)
        return Block(
            sizes,
            self.source,
            self.layout,
            self._workspaces,
            buffers,
            self.staging(written),
            self.resident,
            parts,
        )

    def _buffers(self, n_rows, n_batches, weighted):
        X, y = self._sample_buffers(n_rows)
        if not weighted:
            return Buffers(X=X, y=y)
        return Buffers(
            X=X,
            y=y,
            row_weights=self.layout.empty(n_rows, 1),
            loss_weights=self.layout.empty(n_rows),
            inverse_weights=self.layout.empty(n_batches),
            penalty_weights=self.layout.empty(n_batches),
        )

    def _sample_buffers(self, n_rows):
        """Return memory for rows of X, or None if they are used in place, and for rows of y."""
        n_features = self.data.X.shape[1]
        X = self.layout.empty_operand(n_rows, n_features) if self.gathers else None
        return X, empty_targets(self.data.y, n_rows, self.layout)


class HostLoader(BatchLoader):
    """Loader for the CPU. Rows are gathered into buffers, or used in place."""

    def __init__(self, data, batch_size, layout, shuffle):
        super().__init__(data, batch_size, layout, shuffle)
        self.source = self._source(copy=not self.ordered)

    def _usable_in_place(self):
        X, layout = self.data.X, self.layout
        if not isinstance(X, np.ndarray):
            return not layout.mixed
        return (
            self.ordered
            and self.data.rows is None
            and as_tensor(X[:1]).dtype == layout.product_dtype
        )

    def _max_bytes_and_work(self):
        return MAX_BLOCK_BYTES, MAX_BLOCK_WORK


class DeviceLoader(BatchLoader):
    """Loader for other devices.

    All rows are copied to the device before the first epoch if they fit into its memory. Otherwise
    each block is transferred separately, on CUDA while the previous block is used for training.
    """

    def __init__(self, data, batch_size, layout, shuffle):
        super().__init__(data, batch_size, layout, shuffle)
        if self._keeps_data_on_device():
            self.resident = Resident(data, layout)
        self.source = self._source(copy=not self.ordered and self.resident is None)
        if self.resident is None or data.sample_weight is not None:
            self.n_buffer_sets = 2  # the host writes the next block during training

    def _keeps_data_on_device(self):
        return self.single_block or Resident.fits(self.data, self.layout)

    def _usable_in_place(self):
        return False

    def _max_bytes_and_work(self):
        return MAX_DEVICE_BLOCK_BYTES, MAX_DEVICE_BLOCK_WORK

    def _sample_buffers(self, n_rows):
        if self.resident is not None and self.single_block:
            return self.resident.X, self.resident.y
        return super()._sample_buffers(n_rows)


class ProcessLoader(BatchLoader):
    """Loader of the rows of one process in the batches of all processes.

    The rows are always weighted: the weight of a batch is that of its rows in all processes.

    Parameters
    ----------
    data, batch_size, layout, shuffle
        See `BatchLoader`. `batch_size` is the number of rows over all processes.
    processes : Processes
    """

    def __init__(self, data, batch_size, layout, shuffle, processes):
        self.processes = processes
        if processes.own_rows:
            self.shares = shares_of_parts(processes.counts(len(data)), batch_size, processes.rank)
        else:
            size = processes.world_size
            self.shares = shares_of_batches(len(data), batch_size, processes.rank, size)
        super().__init__(data, batch_size, layout, shuffle)

    def _parts(self, order):
        step = self.batches_per_block
        for i, start in enumerate(range(0, len(self.shares), step)):
            batches = slice(start, min(start + step, len(self.shares)))
            positions = self.shares.positions(batches)
            block = self._block(batches, i % self.n_buffer_sets)
            rows = self._rows(positions, order)
            yield block, rows, positions, self._sums_of_weights(batches, order, rows)

    def _n_batches(self):
        return len(self.shares)

    def _keeps_data_on_device(self):
        return False

    def _batches_per_block(self):
        return int(self.processes.broadcast_numbers([super()._batches_per_block()])[0])

    def _block(self, batches, buffer_set):
        shares = self.shares
        sizes, totals, offsets = (
            numbers[batches] for numbers in (shares.sizes, shares.totals, shares.offsets)
        )
        key = sizes.tobytes(), totals.tobytes(), buffer_set
        if key not in self._blocks:
            self._blocks[key] = self._new_block(sizes.tolist(), (totals, offsets))
        return self._blocks[key]

    def _sums_of_weights(self, batches, order, rows):
        """Return the sum of the weights of each batch, over all processes."""
        weights, totals = self.data.sample_weight, self.shares.totals[batches]
        if weights is None:
            return totals.astype(np.float64)
        if self.processes.own_rows:
            index = np.repeat(np.arange(len(totals)), self.shares.sizes[batches])
            return self.processes.sum(np.bincount(index, weights[rows], minlength=len(totals)))
        start = batches.start * self.batch_size
        rows = self._rows(slice(start, start + int(totals.sum())), order)
        return np.add.reduceat(weights[rows].astype(np.float64), np.cumsum(totals) - totals)


class HostProcessLoader(ProcessLoader, HostLoader):
    """Loader of one of several processes, for the CPU."""


class DeviceProcessLoader(ProcessLoader, DeviceLoader):
    """Loader of one of several processes, for other devices. Each block is transferred."""


def loader_for(data, batch_size, layout, shuffle, processes=None):
    """Return the loader for a network, or for networks that share weights. See `BatchLoader`."""
    if layout.stack:
        return SharedLoader(data, batch_size, layout)
    on_host = shares_memory(layout.device)
    if processes is not None:
        kind = HostProcessLoader if on_host else DeviceProcessLoader
        return kind(data, batch_size, layout, shuffle, processes)
    return (HostLoader if on_host else DeviceLoader)(data, batch_size, layout, shuffle)
