"""Transfer of the training data to a device: once before the first epoch, or per block."""

import weakref
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import torch

from torchmlp.training.products import as_tensor

MAX_MEMORY_FRACTION = 0.5  # of the free device memory, for `Resident` data
MAX_CHUNK_BYTES = 1 << 26  # of X in float64, when `Resident` copies the data to the device


class Buffers(NamedTuple):
    """Memory for the rows of a block, one batch after the other.

    Attributes that are not needed are None.

    Attributes
    ----------
    X : tensor of shape (n_rows, n_features)
    y : tensor of shape (n_rows, n_outputs), or (n_rows, 1) for class codes
    row_weights : tensor of shape (n_rows, 1)
        The sample weights, divided by their sum over the batch.
    loss_weights : tensor of shape (n_rows,)
        `row_weights` times the number of rows of the batch.
    inverse_weights : tensor of shape (n_batches,)
        1 / (sum of the sample weights of the batch), or 0 if the sum is 0.
    penalty_weights : tensor of shape (n_batches,)
        `inverse_weights` times the number of rows of the batch.
    """

    X: Any
    y: Any
    row_weights: Any = None
    loss_weights: Any = None
    inverse_weights: Any = None
    penalty_weights: Any = None


def empty_targets(y, n_rows, layout):
    """Allocate memory for rows of y: int64 for class codes, else the dtype of the weights."""
    if y.dtype.kind == "i":
        return torch.empty(n_rows, y.shape[1], dtype=torch.int64, device=layout.device)
    return layout.empty(n_rows, y.shape[1])


def gather(source, rows, out):
    """Copy rows of a tensor or a CSR matrix to a tensor on the CPU.

    Parameters
    ----------
    source : tensor or csr matrix of shape (n_samples, n_columns)
    rows : int array of shape (n_rows,) or slice
    out : tensor of shape (n_rows, n_columns)
    """
    if not isinstance(source, torch.Tensor):
        out.copy_(torch.from_numpy(source[rows].toarray()))
    elif isinstance(rows, slice):
        out.copy_(source[rows])
    elif source.dtype == out.dtype:
        torch.index_select(source, 0, torch.from_numpy(rows), out=out)
    else:
        out.copy_(torch.index_select(source, 0, torch.from_numpy(rows)))


def upload(tensor, target):
    """Copy a CPU tensor to a tensor on a device, asynchronously on CUDA.

    On CUDA, the copy uses pinned memory, which torch does not reuse before the copy has finished.
    """
    if target.is_cuda:
        tensor = tensor.pin_memory()
    target.copy_(tensor, non_blocking=target.is_cuda)


_idle: dict[int, list] = defaultdict(list)


def borrow_stream(device, borrower):
    """Return a CUDA stream that no other borrower uses during the lifetime of `borrower`.

    torch has a pool of 32 streams and reuses them, even for a fit in another thread. Therefore the
    streams of finished fits are kept and reused first.
    """
    idle = _idle[torch.cuda.current_device() if device.index is None else device.index]
    try:
        stream = idle.pop()
    except IndexError:
        stream = torch.cuda.Stream(device)
    weakref.finalize(borrower, idle.append, stream)
    return stream


def shares_memory(device):
    """Return whether a device uses the memory of the host."""
    return device.type == "cpu"


def free_memory(device):
    """Return the free memory of a device in bytes."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return 0


class Resident:
    """The complete data set in the memory of a device.

    Parameters
    ----------
    data : Dataset
    layout : Layout
    """

    def __init__(self, data, layout):
        n_rows = len(data)
        self.X = layout.empty_operand(n_rows, data.X.shape[1])
        self.y = empty_targets(data.y, n_rows, layout)
        self.order = None
        step = max(1, MAX_CHUNK_BYTES // (8 * data.X.shape[1]))
        for start in range(0, n_rows, step):
            part = slice(start, start + step)
            rows = part if data.rows is None else data.rows[part]
            X = data.X[rows]
            self.X[part].copy_(as_tensor(X if isinstance(X, np.ndarray) else X.toarray()))
            self.y[part].copy_(as_tensor(data.y[rows]))

    @staticmethod
    def fits(data, layout):
        """Return whether the data need at most `MAX_MEMORY_FRACTION` of the free device memory."""
        row = data.X.shape[1] * layout.product_dtype.itemsize
        row += empty_targets(data.y, 1, layout).nbytes
        return len(data) * row <= MAX_MEMORY_FRACTION * free_memory(layout.device)

    def begin_epoch(self, order):
        """Set the order of the rows in an epoch. None means the order of the data."""
        if order is not None:
            self.order = torch.empty(len(order), dtype=torch.int64, device=self.X.device)
            upload(as_tensor(order), self.order)

    def load(self, part, buffers):
        """Copy a slice of the rows of an epoch into the buffers of a block."""
        if buffers.X is self.X:
            return
        if self.order is None:
            buffers.X.copy_(self.X[part])
            buffers.y.copy_(self.y[part])
        else:
            rows = self.order[part]
            torch.index_select(self.X, 0, rows, out=buffers.X)
            torch.index_select(self.y, 0, rows, out=buffers.y)


class InPlace:
    """Staging on the CPU: the host writes directly to the buffers."""

    def __init__(self, buffers):
        self.host = buffers

    def acquire(self):
        """Wait until the host buffers can be overwritten, and return them."""
        return self.host

    def send(self):
        """Transfer the host buffers to the device."""

    def release(self):
        """Mark the end of the training on the buffers, which can then be overwritten."""


class Copied(InPlace):
    """Staging on other devices: the host writes to host buffers, which are copied."""

    def __init__(self, buffers):
        self.buffers = buffers
        self.host = Buffers(*(None if b is None else self._host_buffer(b) for b in buffers))

    def _host_buffer(self, buffer):
        return torch.empty_like(buffer, device="cpu")

    def _copy(self, non_blocking=False):
        for buffer, host_buffer in zip(self.buffers, self.host, strict=True):
            if buffer is not None:
                buffer.copy_(host_buffer, non_blocking=non_blocking)

    def send(self):
        self._copy()


class Streamed(Copied):
    """Staging on CUDA: pinned host buffers are copied on a separate stream during training.

    The host only waits if the previous copy of the same host buffer has not finished.

    Parameters
    ----------
    buffers : Buffers
    stream : torch.cuda.Stream
        The stream for the copies.
    """

    def __init__(self, buffers, stream):
        super().__init__(buffers)
        self.stream = stream
        self.copied = torch.cuda.Event()
        self.free = torch.cuda.Event()
        self.release()  # earlier work on the same memory may still be running

    def _host_buffer(self, buffer):
        return torch.empty_like(buffer, device="cpu", pin_memory=True)

    def acquire(self):
        self.copied.synchronize()
        return self.host

    def send(self):
        current = torch.cuda.current_stream(self.stream.device)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.free)
            self._copy(non_blocking=True)
            self.copied.record(self.stream)
        current.wait_event(self.copied)

    def release(self):
        self.free.record(torch.cuda.current_stream(self.stream.device))


def staging_for(device):
    """Return a callable that creates the staging object for the `Buffers` of a block."""
    if shares_memory(device):
        return InPlace
    if device.type != "cuda":
        return Copied

    def streamed(buffers):
        return Streamed(buffers, stream)

    stream = borrow_stream(device, streamed)
    return streamed
