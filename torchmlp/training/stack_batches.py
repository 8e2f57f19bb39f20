"""Mini-batches for a stack of networks, each with its own data and order of the samples."""

import numpy as np
import torch

from torchmlp.training.batches import Batch
from torchmlp.training.device.transfer import empty_targets, upload
from torchmlp.training.parameters import as_matrix
from torchmlp.training.products import DenseInput, as_tensor
from torchmlp.training.workspace import WorkspaceCache

MAX_BLOCK_BYTES = 1 << 22  # rows and outputs of a block: about the size of a CPU cache
MAX_DEVICE_BLOCK_BYTES = 1 << 28


class StackData:
    """The training data of several fits of one shape, on the device.

    Parameters
    ----------
    n_places : int
        Number of fits for which memory is allocated.
    example : Dataset
        Data of the same shape and dtype as those of every fit.
    layout : Layout

    Attributes
    ----------
    X : tensor of shape (n_places, n_rows, n_features)
    y : tensor of shape (n_places, n_rows, n_outputs), or (n_places, n_rows, 1) for class codes
    sample_weight : ndarray of shape (n_places, n_rows) or None
    """

    def __init__(self, n_places, example, layout):
        n_rows, n_features = len(example), example.X.shape[1]
        self.n_rows = n_rows
        self.X = torch.empty(
            n_places, n_rows, n_features, dtype=layout.product_dtype, device=layout.device
        )
        targets = empty_targets(example.y, 1, layout)
        self.y = targets.new_empty(n_places, n_rows, targets.shape[-1])
        self.sample_weight = None
        if example.sample_weight is not None:
            self.sample_weight = np.empty((n_places, n_rows), example.sample_weight.dtype)

    def store(self, place, data):
        """Copy the data of a fit to a place."""
        rows = slice(None) if data.rows is None else data.rows
        self.X[place].copy_(as_tensor(data.X[rows]))
        self.y[place].copy_(as_tensor(data.y[rows]))
        if self.sample_weight is not None:
            self.sample_weight[place] = data.sample_weight[rows]


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
        self.X = data.X.new_empty(n_all, data.X.shape[-1])
        self.y = data.y.new_empty(n_all, data.y.shape[-1])
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
            Indices into the rows of all places.
        """
        rows = rows.reshape(self.n_members, self.n_batches, self.n_rows).transpose(1, 0, 2)
        flat = torch.from_numpy(rows.ravel())
        if self.X.device.type != "cpu":
            target = torch.empty_like(flat, device=self.X.device)
            upload(flat, target)
            flat = target
        torch.index_select(self.data.X.flatten(0, 1), 0, flat, out=self.X)
        torch.index_select(self.data.y.flatten(0, 1), 0, flat, out=self.y)
        if self.weighted:
            self._load_weights(self.data.sample_weight.ravel()[rows])

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
    places : sequence of int
        The place of the data of each network.
    batch_size : int
    layout : Layout
        The layout of the stack.
    """

    def __init__(self, data, places, batch_size, layout):
        self.data = data
        self.layout = layout
        self.offsets = np.array(places)[:, None] * data.n_rows
        row_bytes = data.X[0, 0].nbytes + layout.layer_units[-1] * layout.dtype.itemsize
        limit = MAX_BLOCK_BYTES if layout.device.type == "cpu" else MAX_DEVICE_BLOCK_BYTES
        n_batches = max(1, limit // (row_bytes * batch_size * len(places)))
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
                self._blocks[size].load(orders[:, start:stop] + self.offsets)
            yield self._blocks[size]
            start = stop
