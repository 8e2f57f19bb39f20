"""The forward pass of a batch, as bound calls."""


def bind_hidden(layers, workspace):
    """Bind the part of the forward pass that all batches of a workspace share.

    This is a = f(a W + b) for each hidden layer, except for the matrix product of the first layer,
    which needs the rows of X.

    Parameters
    ----------
    layers : list of Layer
    workspace : Workspace

    Returns
    -------
    list of Call
    """
    calls, previous = [], None
    for weights, layer in zip(layers, workspace.hidden, strict=False):
        if previous is not None:
            calls += previous.affine(weights.coefs, weights.intercepts, layer.z)
        calls += layer.activate()
        previous = layer.output
    return calls


def bind_forward(layers, inputs, workspace, hidden_calls, out):
    """Bind the forward pass of a batch.

    Parameters
    ----------
    layers : list of Layer
    inputs : DenseInput or SparseInput
        Rows of X.
    workspace : Workspace
    hidden_calls : list of Call
        What `bind_hidden` returned for the workspace.
    out : tensor of shape (*stack, n_rows, n_outputs)
        Receives the raw outputs, before the output activation.

    Returns
    -------
    list of Call
    """
    first, last = layers[0], layers[-1]
    if not workspace.hidden:
        return inputs.affine(first.coefs, first.intercepts, out)
    return [
        *inputs.affine(first.coefs, first.intercepts, workspace.hidden[0].z),
        *hidden_calls,
        *workspace.hidden[-1].output.affine(last.coefs, last.intercepts, out),
    ]
