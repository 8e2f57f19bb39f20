"""Mini-batches for a stack of networks, each with its own data and order of the samples."""

import numpy as np
import torch

from torchmlp.training.batches import Batch
from torchmlp.training.device.transfer import empty_targets, upload
from torchmlp.training.parameters import as_matrix
from torchmlp.training.products import DenseInput, as_tensor
from torchmlp.training.workspace import WorkspaceCache

# Maximum size of the rows and the outputs of a block: about the size of a CPU cache, or larger on
# other devices.
MAX_BLOCK_BYTES = 1 << 22
MAX_DEVICE_BLOCK_BYTES = 1 << 28


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


class StackBlock:
    """Consecutive batches of one size for all networks of a stack. See `Block`.

    The rows are ordered by batch, then by network, so that the rows of a batch are contiguous.

    Parameters
    ----------
    n_batches, n_rows : int
        Number of batches, and number of rows in each of them.
    data : StackData
    layout : Layout
        The layout of the stack.
    workspaces : WorkspaceCache
    """

    def __init__(self, n_batches, n_rows, data, layout, workspaces):
        (n_members,) = layout.stack
        self.n_batches = n_batches
        self.n_rows = n_rows
        self.n_members = n_members
        self.data = data
        n_all = n_batches * n_members * n_rows
        self.X = data.X.tensor.new_empty(n_all, data.X.tensor.shape[-1])
        self.y = data.y.tensor.new_empty(n_all, data.y.tensor.shape[-1])
        n_outputs = layout.layer_units[-1]
        flat = torch.empty(n_all * n_outputs, dtype=layout.dtype, device=layout.device)
        # The outputs of all batches, as one stack of n_batches * n_members matrices.
        self.outputs = as_matrix(flat, n_rows, n_outputs, (n_batches * n_members,))
        self.penalties = self._zeros(layout, n_batches, n_members)
        self.weighted = data.sample_weight is not None
        if self.weighted:
            self.row_weights = self._zeros(layout, n_batches, n_members, n_rows)
            self.loss_weights = torch.zeros_like(self.row_weights)
            self.inverse_weights = torch.zeros_like(self.penalties)
            self.penalty_weights = torch.zeros_like(self.penalties)
        self.n_weighted_rows = n_batches * n_rows
        self.is_new = True  # whether the calls of its batches have not been bound yet
        self.batches = [self._batch(i, layout, workspaces) for i in range(n_batches)]

    @staticmethod
    def _zeros(layout, *shape):
        return torch.zeros(shape, dtype=layout.dtype, device=layout.device)

    def _batch(self, i, layout, workspaces):
        shape = self.n_members, self.n_rows, -1
        part = slice(i * self.n_members * self.n_rows, (i + 1) * self.n_members * self.n_rows)
        workspace = workspaces.get(self.n_rows, 1.0 if self.weighted else 1.0 / self.n_rows)
        return Batch(
            inputs=DenseInput(self.X[part].view(shape)),
            y=self.y[part].view(shape),
            outputs=self.outputs[i * self.n_members : (i + 1) * self.n_members],
            penalty=self.penalties[i],
            workspace=workspace,
            inverse_weight=self.inverse_weights[i] if self.weighted else workspace.inverse_n_rows,
            row_weights=self.row_weights[i, :, :, None] if self.weighted else None,
            skipped=(),
        )

    def load(self, rows):
        """Load rows of the data.

        Parameters
        ----------
        rows : int array of shape (n_members, n_batches * n_rows)
        """
        self._gather(self.data.X.tensor, rows + self.data.X_starts, self.X)
        self._gather(self.data.y.tensor, rows + self.data.y_starts, self.y)
        if self.weighted:
            weights = np.take_along_axis(self.data.sample_weight, rows, 1)
            self._load_weights(self._by_batch(weights))

    def _gather(self, source, rows, out):
        index = torch.from_numpy(self._by_batch(rows).ravel())
        if out.device.type != "cpu":
            on_device = torch.empty_like(index, device=out.device)
            upload(index, on_device)
            index = on_device
        torch.index_select(source.flatten(0, 1), 0, index, out=out)

    def _by_batch(self, values):
        """Rearrange values of the rows of each network to (n_batches, n_members, n_rows)."""
        return values.reshape(self.n_members, self.n_batches, self.n_rows).transpose(1, 0, 2)

    def _load_weights(self, weights):
        """Divide the sample weights by their sum over the batch. See `Block`."""
        sums = weights.sum(-1)
        largest = torch.finfo(self.row_weights.dtype).max
        with np.errstate(over="ignore"):
            inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        inverse = np.minimum(inverse, largest / self.n_rows)
        totals = sums[..., None]
        shares = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
        self.row_weights.copy_(torch.from_numpy(shares))
        self.loss_weights.copy_(torch.from_numpy(shares * self.n_rows))
        self.inverse_weights.copy_(torch.from_numpy(inverse))
        self.penalty_weights.copy_(torch.from_numpy(inverse * self.n_rows))
        self.n_weighted_rows = (sums > 0).sum(0) * self.n_rows
        for batch, has_weight in zip(self.batches, sums > 0, strict=True):
            batch.skipped = () if has_weight.all() else np.flatnonzero(~has_weight).tolist()

    def add_losses(self, loss, alpha, total):
        """Add the sum over the batches of loss times number of rows to the total of each network.

        Parameters
        ----------
        loss : Loss
        alpha : float or tensor of shape (n_members,)
        total : tensor of shape (n_members,)
        """
        shape = self.n_batches, self.n_members, self.n_rows
        values = loss.per_sample(self.outputs, self.y.view(-1, self.n_rows, self.y.shape[-1]))
        values, penalties = values.view(shape), self.penalties
        if self.weighted:
            # A row of weight 0 does not count, even if its loss is infinite.
            values = values.masked_fill(self.loss_weights == 0, 0.0).mul_(self.loss_weights)
            penalties = penalties * self.penalty_weights
        total.add_(values.sum((0, 2))).add_(penalties.sum(0).mul_(alpha), alpha=0.5)


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
        limit = MAX_BLOCK_BYTES if layout.device.type == "cpu" else MAX_DEVICE_BLOCK_BYTES
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
