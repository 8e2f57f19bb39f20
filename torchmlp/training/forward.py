"""From rows to outputs, in training and in prediction."""

import numpy as np
import torch

from torchmlp.training.buffers import Layout, Workspace
from torchmlp.training.inputs import DenseInput, SparseInput, as_tensor
from torchmlp.training.parameters import Layer, by_columns

# Of the widest layer, for the rows that a prediction holds at once: what a processor's cache
# holds, and on another device enough to make little of the wait for each block.
BLOCK_BYTES = 1 << 21
DEVICE_BLOCK_BYTES = 1 << 26
COPY_PAYS_OFF = 256  # rows, from which on the coefficients are brought into memory order


def forward(layers, inputs, space, out):
    """Propagate one batch: a = f(a W + b) in each hidden layer, raw outputs at the end.

    Parameters
    ----------
    layers : list of Layer
    inputs : DenseInput or SparseInput
        Rows of X.
    space : Workspace
    out : tensor of shape (n_rows, n_outputs)
        Receives the raw outputs, before the output activation.
    """
    *hidden, last = layers
    for weights, layer in zip(hidden, space.hidden, strict=True):
        inputs.affine(weights.coefs, weights.intercepts, layer.z)
        layer.activate()
        inputs = layer.outflow
    inputs.affine(last.coefs, last.intercepts, out)


def as_layers(coefs, intercepts, dtype, device):
    """Return the weights as a list of `Layer`, in the memory of the arrays where possible.

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
    """Return the raw outputs for all rows of X, computed a block of rows at a time.

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
    like, layout = layers[0].coefs, _layout(X, layers, activations)
    units, on_cpu, n_rows = layout.layer_units, like.device.type == "cpu", X.shape[0]
    # On the CPU rows of X are used where they are; elsewhere they are copied, dense.
    widest = max(units[1:] if on_cpu else units)
    limit = BLOCK_BYTES if on_cpu else DEVICE_BLOCK_BYTES
    n_block = max(1, min(n_rows, limit // (widest * like.itemsize)))
    if n_rows >= COPY_PAYS_OFF:
        layers = _in_memory_order(layers, sparse_input=not isinstance(X, np.ndarray))
    raw = torch.empty(n_rows, units[-1], dtype=like.dtype, device="cpu")
    space = Workspace(n_block, layout)
    out = layout.empty_outputs(n_block)
    for start in range(0, n_rows, n_block):
        target = raw[start : start + n_block]
        if len(target) != n_block:
            space, out = Workspace(len(target), layout), layout.empty_outputs(len(target))
        forward(layers, _inputs(X[start : start + n_block], like), space, out)
        target.copy_(out)
    return raw.numpy()


def _in_memory_order(layers, sparse_input):
    """Return layers in the memory order of `Parameters`, copied where theirs is another."""
    return [
        Layer(coefs.t().contiguous().t(), intercepts)
        if by_columns(len(coefs), len(intercepts), coefs.dtype) and not (sparse_input and i == 0)
        else Layer(coefs, intercepts)
        for i, (coefs, intercepts) in enumerate(layers)
    ]


def hidden_values(X, layers, activations):
    """Return the values of each hidden layer, arrays of shape (n_rows, n_units).

    Parameters
    ----------
    X : ndarray or csr matrix of shape (n_rows, n_features)
    layers : list of Layer
        On the CPU.
    activations : sequence of Activation
    """
    layout, n_rows = _layout(X, layers, activations), X.shape[0]
    space = Workspace(n_rows, layout)
    forward(layers, _inputs(X, layers[0].coefs), space, layout.empty_outputs(n_rows))
    return [np.ascontiguousarray(layer.values.numpy()) for layer in space.hidden]


def _layout(X, layers, activations):
    """Describe a prediction: products in the dtype of the weights, and no dropout."""
    like = layers[0].coefs
    units = (X.shape[1], *(len(bias) for _, bias in layers))
    no_dropout = [0.0] * len(activations)
    return Layout(units, like.dtype, like.dtype, like.device, activations, no_dropout)


def _inputs(rows, like):
    if isinstance(rows, np.ndarray):
        return DenseInput(as_tensor(rows).to(like))
    if like.device.type == "cpu":
        return SparseInput(rows.astype(like.numpy().dtype, copy=False))
    return DenseInput(torch.from_numpy(rows.toarray()).to(like))
