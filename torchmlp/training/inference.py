"""Predictions: the forward pass for all rows of X, computed in blocks."""

import functools
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import torch

from torchmlp.training.forward import bind_forward, bind_hidden
from torchmlp.training.parameters import Layer, is_column_major
from torchmlp.training.products import DenseInput, SparseInput, as_tensor
from torchmlp.training.threads import n_threads_for, one_thread
from torchmlp.training.workspace import Layout, Workspace

# Maximum size of the values of the widest layer for the rows of a block: about the size of a CPU
# cache. On other devices it is larger, so that the overhead per block is small.
MAX_LAYER_BYTES = 1 << 21
MAX_DEVICE_LAYER_BYTES = 1 << 26
MIN_ROWS_FOR_COPY = 256  # number of rows from which `_in_memory_order` saves time


def as_layers(coefs, intercepts, dtype, device):
    """Return the weights as a list of `Layer`, which share memory with the arrays if possible.

    Parameters
    ----------
    coefs, intercepts : lists of ndarrays
    dtype : numpy.dtype
    device : torch.device
    """

    def tensor(array):
        return as_tensor(np.asarray(array, dtype=dtype)).to(device)

    return [Layer(tensor(w), tensor(b)) for w, b in zip(coefs, intercepts, strict=True)]


def raw_outputs(X, layers, activations):
    """Return the raw outputs for all rows of X.

    Parameters
    ----------
    X : ndarray or csr matrix of shape (n_rows, n_features)
    layers : list of Layer
    activations : sequence of Activation

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        In the dtype of the weights.
    """
    raw = np.empty((X.shape[0], len(layers[-1].intercepts)), _numpy_dtype(layers[0].coefs.dtype))

    def copy(rows, hidden, out):
        torch.from_numpy(raw[rows]).copy_(out)

    _forward_in_blocks(X, layers, activations, copy)
    return raw


def largest_outputs(X, layers, activations):
    """Return the index of the largest raw output of each row, an int array of shape (n_rows,).

    Unlike `raw_outputs`, it does not store the outputs of all rows.
    """
    codes = np.empty(X.shape[0], dtype=np.int64)

    def largest(rows, hidden, out):
        torch.from_numpy(codes[rows]).copy_(out.argmax(1))

    _forward_in_blocks(X, layers, activations, largest)
    return codes


def hidden_values(X, layers, activations):
    """Return the values of each hidden layer, arrays of shape (n_rows, n_units).

    Parameters
    ----------
    X : ndarray or csr matrix of shape (n_rows, n_features)
    layers : list of Layer
    activations : sequence of Activation
    """
    dtype = _numpy_dtype(layers[0].coefs.dtype)
    values = [np.empty((X.shape[0], len(layer.intercepts)), dtype) for layer in layers[:-1]]

    def copy(rows, hidden, out):
        for array, layer in zip(values, hidden, strict=True):
            torch.from_numpy(array[rows]).copy_(layer.values)

    _forward_in_blocks(X, layers, activations, copy)
    return values


def _forward_in_blocks(X, layers, activations, handle_block):
    """Compute the forward pass for all rows of X in blocks, on several threads if that is faster.

    Each thread takes the next block and computes it alone. Multithreaded matrix products would be
    slower, because their threads wait for each other at the end of every product, for example if
    one of them waits for a page of a memory-mapped X or for a busy processor.

    Parameters
    ----------
    X, layers, activations
        See `raw_outputs`.
    handle_block : callable (rows, hidden, out) -> None
        Called for each block with the slice of its rows, its `HiddenLayer` objects and its raw
        outputs. The memory of the last two is reused for the next block, so values must be copied.
    """
    layout, n_rows = _layout(X, layers, activations), X.shape[0]
    if n_rows >= MIN_ROWS_FOR_COPY:
        layers = _in_memory_order(layers, sparse_input=not isinstance(X, np.ndarray))
    n_workers = _n_workers(n_rows, layout)
    n_block = min(_block_rows(layout), max(1, -(-n_rows // n_workers)))
    starts = range(0, n_rows, n_block)

    def work(starts):
        block = None
        for start in starts:
            rows = slice(start, min(start + n_block, n_rows))
            if block is None or block.n_rows != rows.stop - rows.start:
                block = _InferenceBlock(X[rows], layers, layout)
            else:
                block.inputs.replace(_operand(X[rows], layout))
            for call in block.calls:
                call()
            handle_block(rows, block.hidden, block.out)

    if n_workers == 1:
        work(starts)
    else:
        _work_on_threads(work, deque(starts), n_workers)


def _work_on_threads(work, pending, n_workers):
    """Take items from the left of a deque on several Python threads until it is empty."""

    def run():
        with one_thread():
            work(_drain(pending))

    others = []
    try:
        with suppress(RuntimeError):  # no thread can be started while the interpreter exits
            others += [_pool(n_workers).submit(run) for _ in range(n_workers - 1)]
        work(_drain(pending))
    finally:
        pending.clear()  # after an error or an interrupt the others stop too
        for other in others:
            if not other.cancel():
                other.result()


@functools.cache
def _pool(n_workers):
    """Return the threads that predictions share.

    They are kept: while a thread ends, the memory manager of MKL holds a lock for a moment, and a
    process that is forked in that moment would wait for it forever.
    """
    return ThreadPoolExecutor(n_workers - 1, thread_name_prefix="torchmlp")


if hasattr(os, "register_at_fork"):  # the threads do not exist in the child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _drain(pending):
    """Yield items from the left of a deque until it is empty. Several threads may use it."""
    while True:
        try:
            item = pending.popleft()
        except IndexError:
            return
        yield item


def _block_rows(layout):
    units, on_cpu = layout.layer_units, layout.device.type == "cpu"
    # On the CPU, rows of X are used in place. On other devices, they are copied to dense tensors.
    widest = max(units[1:] if on_cpu else units)
    limit = MAX_LAYER_BYTES if on_cpu else MAX_DEVICE_LAYER_BYTES
    return max(1, limit // (widest * layout.dtype.itemsize))


def _n_workers(n_rows, layout):
    if layout.device.type != "cpu":
        return 1
    work = n_rows * layout.n_coefficients
    return min(n_threads_for(work, layout.dtype), max(1, n_rows))


def _in_memory_order(layers, sparse_input):
    """Return layers in the memory order of `Parameters`, copied if necessary."""

    def in_order(i, layer):
        fan_in, fan_out = layer.coefs.shape
        sparse_product = sparse_input and i == 0
        if sparse_product or not is_column_major(fan_in, fan_out, layer.coefs.dtype):
            return layer
        return Layer(layer.coefs.t().contiguous().t(), layer.intercepts)

    return [in_order(i, layer) for i, layer in enumerate(layers)]


def _layout(X, layers, activations):
    """Return the `Layout` for a prediction, without mixed precision and dropout."""
    like = layers[0].coefs
    units = (X.shape[1], *(len(bias) for _, bias in layers))
    no_dropout = [0.0] * len(activations)
    return Layout(units, like.dtype, like.dtype, like.device, activations, no_dropout)


def _numpy_dtype(dtype):
    return np.dtype(str(dtype).removeprefix("torch."))


def _operand(rows, layout):
    """Return rows of X for matrix products: a tensor, or a CSR matrix on the CPU."""
    if isinstance(rows, np.ndarray):
        return as_tensor(rows).to(layout.device, layout.dtype)
    if layout.device.type == "cpu":
        return rows.astype(_numpy_dtype(layout.dtype), copy=False)
    return torch.from_numpy(rows.toarray()).to(layout.device, layout.dtype)


class _InferenceBlock:
    """Memory and bound calls of a prediction, for blocks of one size."""

    def __init__(self, rows, layers, layout):
        self.n_rows, rows = rows.shape[0], _operand(rows, layout)
        self.inputs = DenseInput(rows) if isinstance(rows, torch.Tensor) else SparseInput(rows)
        workspace, self.out = Workspace(self.n_rows, layout), layout.empty_outputs(self.n_rows)
        self.hidden = workspace.hidden
        hidden_calls = bind_hidden(layers, workspace)
        self.calls = bind_forward(layers, self.inputs, workspace, hidden_calls, self.out)
