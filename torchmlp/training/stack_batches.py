"""Mini-batches for a stack of networks, each with its own data and order of the samples."""

import numpy as np
import torch

from torchmlp.training.batches import MAX_BLOCK_BYTES, Batch, load_weights
from torchmlp.training.device.transfer import Buffers, empty_targets, upload
from torchmlp.training.products import DenseInput, as_tensor
from torchmlp.training.workspace import WorkspaceCache

MAX_DEVICE_STACK_BYTES = 1 << 28  # `MAX_BLOCK_BYTES` for other devices, for all networks of a stack


class SharedRows:
    """Arrays of several fits on the device. Fits that use the same array share one copy.

    Parameters
    ----------
    empty : callable (n_places) -> tensor of shape (n_places, n_rows, n_columns)
        Allocates memory.

    Attributes
    ----------
    tensor : tensor of shape (n_places, n_rows, n_columns)
    """

    def __init__(self, empty):
        self.empty = empty
        self.tensor = empty(0)
        self._places: dict[tuple, int] = {}

    def store(self, arrays):
        """Store arrays, unless they are stored already. Places of arrays not passed become free.

        Parameters
        ----------
        arrays : list of (array of shape (n_samples, n_columns), int array or None)
            The array of each fit, and the rows to use, or None for all rows.

        Returns
        -------
        list of int
            The place of each array.
        """
        wanted = {_identity(array, rows): (array, rows) for array, rows in arrays}
        self._places = {key: place for key, place in self._places.items() if key in wanted}
        free = sorted(set(range(len(wanted))) - set(self._places.values()), reverse=True)
        n_places = max([len(wanted), *(place + 1 for place in self._places.values())])
        if n_places > len(self.tensor):
            self.tensor = torch.cat([self.tensor, self.empty(n_places - len(self.tensor))])
        for key, (array, rows) in wanted.items():
            if key not in self._places:
                self._places[key] = free.pop()
                source = array if rows is None else array[rows]
                self.tensor[self._places[key]].copy_(as_tensor(source))
        return [self._places[_identity(array, rows)] for array, rows in arrays]


def _identity(array, rows):
    """Return a key that is equal for views of the same memory, while they exist."""
    interface = array.__array_interface__
    return (
        interface["data"][0],
        array.shape,
        array.strides,
        array.dtype.str,
        None if rows is None else id(rows),
    )


class StackData:
    """The training data of the fits in a stack, on the device.

    Parameters
    ----------
    example : Dataset
        Data of the same shape and dtype as those of every fit.
    layout : Layout

    Attributes
    ----------
    n_rows : int
    X, y : SharedRows
    X_starts, y_starts : int arrays of shape (n_members, 1)
        Index of the first row of each fit among the rows of all places.
    sample_weight : array of shape (n_members, n_rows) or None
    """

    def __init__(self, example, layout):
        self.n_rows = n_rows = len(example)
        row = layout.empty_operand(1, example.X.shape[1])
        target = empty_targets(example.y, 1, layout)
        self.X = SharedRows(lambda n_places: row.new_empty(n_places, n_rows, row.shape[-1]))
        self.y = SharedRows(lambda n_places: target.new_empty(n_places, n_rows, target.shape[-1]))

    def store(self, datasets):
        """Store the data of the fits, in the order of the networks."""
        X_places = self.X.store([(data.X, data.rows) for data in datasets])
        y_places = self.y.store([(data.y, data.rows) for data in datasets])
        self.X_starts = np.array(X_places)[:, None] * self.n_rows
        self.y_starts = np.array(y_places)[:, None] * self.n_rows
        self.sample_weight = None
        if datasets[0].sample_weight is not None:
            self.sample_weight = np.stack(
                [
                    data.sample_weight[slice(None) if data.rows is None else data.rows]
                    for data in datasets
                ]
            )

    def buffers(self, n_rows, layout):
        """Allocate memory for `n_rows` rows of each network.

        Returns
        -------
        Buffers
            The shapes of its tensors begin with ``layout.stack``.
        """
        shape = *layout.stack, n_rows
        X, y = (rows.tensor.new_empty(*shape, rows.tensor.shape[-1]) for rows in (self.X, self.y))
        if self.sample_weight is None:
            return Buffers(X, y)
        return Buffers(
            X,
            y,
            row_weights=layout.empty(n_rows, 1),
            loss_weights=layout.empty(n_rows),
            inverse_weights=layout.empty(),
            penalty_weights=layout.empty(),
        )


class StackBlock:
    """Consecutive batches of one size for all networks of a stack. See `Block`.

    Its tensors have the shape (n_batches, n_members, ...), so that the rows of a batch are
    contiguous.

    Parameters
    ----------
    n_batches, batch_size : int
        Number of batches, and number of rows in each of them.
    data : StackData
    layout : Layout
        The layout of the stack.
    workspaces : WorkspaceCache
    """

    def __init__(self, n_batches, batch_size, data, layout, workspaces):
        self.n_batches = n_batches
        self.batch_size = batch_size
        self.n_rows = self.n_weighted_rows = n_batches * batch_size
        self.data = data
        layout = layout.stacked(n_batches, *layout.stack)
        weighted = data.sample_weight is not None
        self.buffers = data.buffers(batch_size, layout)
        self.outputs = layout.empty_outputs(batch_size)
        self.penalties = layout.empty().zero_()
        self.is_new = True  # whether the calls of its batches have not been bound yet
        workspace = workspaces.get(batch_size, 1.0 if weighted else 1.0 / batch_size)
        self.batches = [self._batch(i, workspace) for i in range(n_batches)]

    def _batch(self, i, workspace):
        X, y, row_weights, _, inverse_weights, _ = self.buffers
        weighted = row_weights is not None
        return Batch(
            inputs=DenseInput(X[i]),
            y=y[i],
            outputs=self.outputs[i],
            penalty=self.penalties[i],
            workspace=workspace,
            inverse_weight=inverse_weights[i] if weighted else workspace.inverse_n_rows,
            row_weights=row_weights[i] if weighted else None,
        )

    def load(self, rows):
        """Load rows of the data.

        Parameters
        ----------
        rows : int array of shape (n_members, n_rows)
        """
        self._gather(self.data.X.tensor, rows + self.data.X_starts, self.buffers.X)
        self._gather(self.data.y.tensor, rows + self.data.y_starts, self.buffers.y)
        if self.data.sample_weight is not None:
            self._load_weights(rows)

    def _gather(self, source, rows, out):
        index = torch.from_numpy(self._by_batch(rows))
        if out.device.type != "cpu":
            on_device = torch.empty_like(index, device=out.device)
            upload(index, on_device)
            index = on_device
        torch.index_select(source.flatten(0, 1), 0, index, out=out.flatten(0, 2))

    def _by_batch(self, values):
        """Return values of the rows of each network in the order of the buffers, as a vector."""
        shape = len(values), self.n_batches, self.batch_size
        return values.reshape(shape).transpose(1, 0, 2).ravel()

    def _load_weights(self, rows):
        weights = self._by_batch(np.take_along_axis(self.data.sample_weight, rows, 1))
        sizes = np.full(self.penalties.numel(), self.batch_size)
        has_weight = load_weights(weights, sizes, self.buffers).reshape(self.penalties.shape)
        self.n_weighted_rows = has_weight.sum(0) * self.batch_size
        for batch, has in zip(self.batches, has_weight, strict=True):
            batch.skipped = False if has.all() else ~has


class StackLoader:
    """Yields the batches of an epoch for all networks of a stack, in blocks.

    Parameters
    ----------
    data : StackData
    batch_size : int
    layout : Layout
        The layout of the stack.
    """

    def __init__(self, data, batch_size, layout):
        self.data = data
        self.layout = layout
        row_bytes = sum(layout.layer_units[i] for i in (0, -1)) * layout.dtype.itemsize
        limit = MAX_BLOCK_BYTES if layout.device.type == "cpu" else MAX_DEVICE_STACK_BYTES
        n_batches = max(1, limit // (row_bytes * batch_size * layout.stack[0]))
        n_full, n_rest = divmod(data.n_rows, batch_size)
        # Number of batches and of rows per batch of each block.
        self.sizes = [
            (min(n_batches, n_full - first), batch_size) for first in range(0, n_full, n_batches)
        ]
        if n_rest:
            self.sizes.append((1, n_rest))
        self._workspaces = WorkspaceCache(layout)
        self._blocks = {}

    def blocks(self, orders, same_order):
        """Yield the blocks of an epoch, with data.

        Parameters
        ----------
        orders : int array of shape (n_members, n_rows)
            The order of the rows for each network.
        same_order : bool
            Whether the order is that of the previous epoch.
        """
        keeps_data = same_order and len(set(self.sizes)) == len(self.sizes)
        start = 0
        for size in self.sizes:
            stop = start + size[0] * size[1]
            is_new = size not in self._blocks
            if is_new:
                self._blocks[size] = StackBlock(*size, self.data, self.layout, self._workspaces)
            if is_new or not keeps_data:
                self._blocks[size].load(orders[:, start:stop])
            yield self._blocks[size]
            start = stop


class SharedLoader:
    """Yields the same batches to all networks of a stack, in blocks. See `BatchLoader`.

    Parameters
    ----------
    data : Dataset
    batch_size : int
    layout : Layout
        The layout of the stack.
    """

    def __init__(self, data, batch_size, layout):
        stack_data = StackData(data, layout)
        stack_data.store([data] * layout.stack[0])
        self._loader = StackLoader(stack_data, batch_size, layout)
        self._ordered = batch_size >= len(data)  # with a single batch, the order does not matter
        self._shape = *layout.stack, len(data)

    def blocks(self, order=None):
        """Yield the blocks of an epoch, with data. See `BatchLoader.blocks`."""
        ordered = self._ordered or order is None
        orders = np.broadcast_to(np.arange(self._shape[-1]) if ordered else order, self._shape)
        for block in self._loader.blocks(orders, same_order=ordered):
            # These are equal for all networks.
            block.n_weighted_rows = int(np.max(block.n_weighted_rows))
            for batch in block.batches:
                batch.skipped = bool(np.all(batch.skipped))
            yield block
