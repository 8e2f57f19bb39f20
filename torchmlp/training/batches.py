"""Mini-batches of the training data, and blocks of several batches."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from torchmlp.training.device.transfer import gather
from torchmlp.training.products import DenseInput, SparseInput
from torchmlp.training.workspace import TrainingWorkspace

# Maximum size of the rows and the outputs of a block on the CPU: about the size of its cache. On
# other devices, blocks are larger, so that copies are fast and launches are few.
MAX_BLOCK_BYTES = 1 << 22


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
    unscaled_y : ndarray of shape (n_samples, n_outputs) or None
        The encoded targets in the original units, if a `TargetScale` has scaled y, else None.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    rows: np.ndarray | None = None
    unscaled_y: np.ndarray | None = None

    def __len__(self):
        return self.X.shape[0] if self.rows is None else len(self.rows)

    def targets_and_weights(self):
        """Return the targets of the rows to use, and their sample weights or None."""
        rows = slice(None) if self.rows is None else self.rows
        return self.y[rows], None if self.sample_weight is None else self.sample_weight[rows]

    @property
    def original_y(self):
        """The encoded targets in the original units."""
        return self.y if self.unscaled_y is None else self.unscaled_y

    @property
    def n_bytes(self):
        """Size of the samples and targets in bytes."""
        X = self.X
        size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes
        return size + self.y.nbytes + (0 if self.unscaled_y is None else self.unscaled_y.nbytes)


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
    skipped : bool, or bool array of shape (n_members,)
        Whether no row has any weight, so that there is no step to make. For a stack, an array
        unless this is False for all networks.
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
    skipped: Any = False
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
    workspaces : WorkspaceCache
    buffers : Buffers
        If its X is None, the matrix products read the data in place.
    staging : InPlace
        Transfers data from the host to the buffers.
    resident : Resident or None
        The data, if they are stored on the device.
    parts : (int array, int array) or None
        If `sizes` are those of one process: the number of rows of each batch over all processes,
        and the number of rows of the processes before this one.

    Attributes
    ----------
    batches : list of Batch
    n_rows : int
        Number of rows over all processes.
    n_weighted_rows : int
        Number of rows in batches that are not skipped, over all processes.
    is_new : bool
        Whether the calls of its batches have not been bound yet.
    """

    def __init__(
        self, sizes, source, layout, workspaces, buffers, staging, resident=None, parts=None
    ):
        self.source = source
        self.sizes = np.array(sizes)
        self.buffers = buffers
        self.staging = staging
        self.resident = resident
        self.stops = np.cumsum(sizes)
        self.starts = self.stops - sizes
        self.parts = parts
        self.totals = self.sizes if parts is None else parts[0]
        self.n_rows = self.n_weighted_rows = int(self.totals.sum())
        self.is_new = True
        self.penalties = layout.empty(len(sizes)).zero_()
        self.batches = [
            self._batch(i, slice(start, stop), layout, workspaces)
            # Python ints, because torch is slow with NumPy ints.
            for i, (start, stop) in enumerate(
                zip(self.starts.tolist(), self.stops.tolist(), strict=True)
            )
        ]
        # Outputs in column-major order are concatenated along the columns, which is faster.
        transposed = [batch.outputs.t() for batch in self.batches]
        self._transposed_outputs = transposed if transposed[0].is_contiguous() else None

    def _batch(self, i, rows, layout, workspaces):
        n_rows, buffers = rows.stop - rows.start, self.buffers
        weighted = buffers.row_weights is not None
        # Sample weights are already divided by their sum over the batch.
        whole = None
        if self.parts is not None and any(layout.dropout):
            whole = tuple(int(numbers[i]) for numbers in self.parts)
        workspace = workspaces.get(n_rows, 1.0 if weighted else 1.0 / n_rows, whole)
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
        if self._transposed_outputs is None:
            return torch.cat([batch.outputs for batch in self.batches])
        return torch.cat(self._transposed_outputs, 1).t()

    def load(self, rows, positions, sums=None):
        """Load rows into the buffers.

        Parameters
        ----------
        rows : int array of shape (n_rows,) or slice
            Indices of the samples of this block.
        positions : slice
            Positions of these samples in the epoch.
        sums : ndarray of shape (n_batches,) or None
            Sum of the weights of each batch over all processes. None means one process.
        """
        host = self.staging.acquire()
        if self.resident is not None:
            self.resident.load(positions, self.buffers)
        else:
            gather(self.source.y, rows, host.y)
            if host.X is not None:
                gather(self.source.X, rows, host.X)
            else:
                self._use_in_place(self.source.X[rows])
        if host.row_weights is not None:
            known = self.source.sample_weight
            weights = np.ones(self.sizes.sum()) if known is None else known[rows]
            has_weight = load_weights(weights, self.sizes, host, sums, self.totals)
            for batch, has in zip(self.batches, has_weight.tolist(), strict=True):
                batch.skipped = not has
            self.n_weighted_rows = int(self.totals[has_weight].sum())
        self.staging.send()

    def _use_in_place(self, X):
        for batch, start, stop in zip(self.batches, self.starts, self.stops, strict=True):
            batch.inputs.replace(X[start:stop])


def load_weights(weights, sizes, buffers, sums=None, totals=None):
    """Divide the sample weights of each batch by their sum, and write them to the buffers.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
        The sample weights of one batch after the other.
    sizes : int array of shape (n_batches,)
        Number of rows of each batch.
    buffers : Buffers
        All attributes but X and y are written. Dimensions may be split or added, in the same order.
    sums : ndarray of shape (n_batches,), default=None
        Sum of the weights of each batch over all processes. None means one process.
    totals : int array of shape (n_batches,), default=None
        Number of rows of each batch over all processes. None means one process.

    Returns
    -------
    bool array of shape (n_batches,)
        Whether any row of the batch has a weight.
    """
    if sums is None:
        sums = np.add.reduceat(weights, np.cumsum(sizes) - sizes)
    totals = sizes if totals is None else totals
    has_weight = sums > 0
    # Zeros instead of 0 / 0 in a batch without any weight, which is skipped. The inverse of a tiny
    # sum overflows.
    largest = torch.finfo(buffers.row_weights.dtype).max
    with np.errstate(over="ignore"):
        inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=has_weight)
    inverse = np.minimum(inverse, largest / max(totals))
    divisors = np.repeat(sums, sizes)
    shares = np.divide(weights, divisors, out=np.zeros_like(weights), where=divisors > 0)
    for buffer, values in (
        (buffers.row_weights, shares),
        (buffers.loss_weights, shares * np.repeat(totals, sizes)),
        (buffers.inverse_weights, inverse),
        (buffers.penalty_weights, inverse * totals),
    ):
        buffer.copy_(torch.from_numpy(values).view(buffer.shape))
    return has_weight
