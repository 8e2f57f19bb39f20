"""Forward and backward pass of a training step, as calls that are bound to a batch."""

from functools import partial
from itertools import chain

import torch

from torchmlp.training.activations import Call
from torchmlp.training.forward import bind_forward, bind_hidden
from torchmlp.training.output_activations import OUTPUT_ACTIVATIONS
from torchmlp.training.products import input_gradient, intercepts_gradient
from torchmlp.training.workspace import TrainingWorkspace


def bind_backward(layers, gradient, workspace, decay):
    """Bind the part of the backward pass that all batches of a workspace share.

    It starts from ``workspace.deltas[-1]``, the derivative with respect to the raw outputs. It
    computes the gradient of
    ``workspace.scale * (sum of the losses) + decay / 2 * (squared norm of the coefficients)`` for
    all weights except the coefficients of the first layer, whose gradient needs the rows of X.

    Parameters
    ----------
    layers : list of Layer
    gradient : list of Layer
        Receives the gradient.
    workspace : TrainingWorkspace
        Contains the results of the forward pass.
    decay : float

    Returns
    -------
    list of Call
    """
    calls, deltas = [], workspace.deltas
    for i in range(len(layers) - 1, -1, -1):
        calls += intercepts_gradient(deltas[i], workspace.row_scales, gradient[i].intercepts)
        if i:
            below, coefs = workspace.hidden[i - 1], layers[i].coefs
            calls += below.output.coefs_gradient(
                deltas[i], coefs, decay, workspace.scale, gradient[i].coefs
            )
            calls += input_gradient(deltas[i], coefs, deltas[i - 1])
            calls += below.backpropagate(deltas[i - 1])
    return calls


class Backprop:
    """Computes outputs, loss and gradient of a network, or of a stack of networks.

    Parameters
    ----------
    weights : Parameters
    gradient : Parameters
        Receives the gradient of each batch.
    layout : Layout
    loss : Loss
    alpha : float, or tensor of shape (n_members,)
        Strength of the L2 regularization term,
        ``alpha / 2 * (squared norm of the coefficients) / (weight of the batch)``.
    generators : sequence of torch.Generator, default=()
        Random number generators for dropout, one per network.
    max_grad_norm : float, or tensor of shape (n_members,), default=None
        Maximum norm of the gradient, or of that of each network. None disables gradient clipping.
    on_grad_computed : list of callables () -> object, default=()
        Called after the gradient of a batch is computed, before gradient clipping.
    processes : Processes or None, default=None
        The processes over which the gradients are summed. The penalty is added after the sum.
    """

    def __init__(
        self,
        weights,
        gradient,
        layout,
        loss,
        alpha,
        generators=(),
        max_grad_norm=None,
        on_grad_computed=(),
        processes=None,
    ):
        self.weights = weights
        self.gradient = gradient
        self.layout = layout
        self.loss = loss
        self.alpha = alpha
        self.generators = generators
        self.max_grad_norm = max_grad_norm
        self.on_grad_computed = on_grad_computed
        # Weights and gradient for the matrix products: the originals, or copies in lower precision.
        self._operands = weights.like(layout.product_dtype) if layout.mixed else weights
        self._operands_gradient = self._operands.like() if layout.mixed else self.gradient
        # Calls that all batches of a workspace share.
        self._hidden_calls: dict[TrainingWorkspace, list[Call]] = {}
        self._backward_calls: dict[TrainingWorkspace, list[Call]] = {}
        self._half_alpha = torch.as_tensor(alpha, dtype=layout.dtype, device=layout.device) / 2
        self._penalized = bool((self._half_alpha > 0).any())
        self.processes = processes
        if processes is not None and processes.rank:
            self._half_alpha = torch.zeros_like(self._half_alpha)  # process 0 counts the penalty
        self._alphas: torch.Tensor | None = None  # alpha of each coefficient, see `_bind_decay`
        self._layers = self._operands.layers
        self._gradients = self._operands_gradient.layers

    def bind(self, batch):
        """Set the calls of a batch: outputs, then gradient and penalty."""
        if len(batch):
            calls = self._bind_outputs(batch) + self._bind_gradient(batch)
        else:  # this process has no rows of it
            masks = [layer.draw_mask(self.generators) for layer in batch.workspace.hidden]
            calls = [*chain(*masks), self.gradient.flat.zero_]
        batch.calls = calls + self._bind_sum_and_penalty(batch)

    def _bind_outputs(self, batch):
        workspace, mixed = batch.workspace, self.layout.mixed
        if workspace not in self._hidden_calls:
            masks = [layer.draw_mask(self.generators) for layer in workspace.hidden]
            self._hidden_calls[workspace] = [*chain(*masks), *bind_hidden(self._layers, workspace)]
        raw = workspace.raw if mixed else batch.outputs
        calls = bind_forward(
            self._layers, batch.inputs, workspace, self._hidden_calls[workspace], raw
        )
        if mixed:
            round_weights = partial(self._operands.flat.copy_, self.weights.flat)
            calls = [round_weights, *calls, partial(batch.outputs.copy_, raw)]
        return calls + OUTPUT_ACTIVATIONS[self.loss.training_activation].forward(batch.outputs)

    def _bind_gradient(self, batch):
        workspace, gradients = batch.workspace, self._gradients
        last_delta = workspace.deltas[-1]
        calls = self.loss.gradient(batch.outputs, batch.y, last_delta)
        if batch.row_weights is not None:
            calls = [*calls, partial(last_delta.mul_, batch.row_weights)]
        fused = self._decay_in_products(batch)
        decay = self.alpha / len(batch) if fused else 0.0
        if workspace not in self._backward_calls:
            self._backward_calls[workspace] = bind_backward(
                self._layers, gradients, workspace, decay
            )
        calls = calls + self._backward_calls[workspace]
        calls += batch.inputs.coefs_gradient(
            workspace.deltas[0], self._layers[0].coefs, decay, workspace.scale, gradients[0].coefs
        )
        if self.layout.mixed:
            calls.append(partial(self.gradient.flat.copy_, self._operands_gradient.flat))
        return calls

    def _bind_sum_and_penalty(self, batch):
        calls: list[Call] = []
        if self.processes is not None:
            calls.append(partial(self.processes.sum_, self.gradient.flat))
        if self._penalized:
            calls += self.weights.bind_squared_norm(batch.penalty)
            if not self._decay_in_products(batch):
                calls += self._bind_decay(batch)
        calls += self.on_grad_computed
        if self.max_grad_norm is not None:
            calls.append(self._clip_gradient)
        return calls

    def _decay_in_products(self, batch):
        """Return whether the matrix products can add the gradient of the penalty."""
        return isinstance(self.alpha, float) and batch.row_weights is None and not self.layout.mixed

    def _bind_decay(self, batch):
        """Bind gradient += alpha / (weight of the batch) * coefficients."""
        coefficients, inverse = self.weights.coefficients, batch.inverse_weight
        add = self.gradient.coefficients.addcmul_
        if not self.weights.stack:
            return [partial(add, coefficients, inverse, value=self.alpha)]
        if batch.row_weights is None:
            if self._alphas is None:
                self._alphas = self.weights.expand(self.alpha)[: len(coefficients)]
            return [partial(add, coefficients, self._alphas, value=1.0 / len(batch))]

        def add_decay():
            decay = self.weights.expand(inverse * self.alpha)
            add(coefficients, decay[: len(coefficients)])

        return [add_decay]

    def _clip_gradient(self):
        gradient = self.gradient
        if not isinstance(self.max_grad_norm, torch.Tensor):
            norm = gradient.flat.norm()
            gradient.flat.mul_((self.max_grad_norm / norm).clamp_max(1.0))
            return
        norms = gradient.squared_norms().sqrt_()
        factors = (self.max_grad_norm / norms).clamp_max(1.0)
        for view, factor in zip(gradient.views, gradient.per_member(factors), strict=True):
            view.mul_(factor)

    def loss_of(self, block):
        """Return the sum over the batches of a block of loss times number of samples.

        Returns
        -------
        tensor of shape (*stack,)
        """
        buffers, penalties = block.buffers, block.penalties
        outputs = block.outputs
        # A process may have no rows of a block, for which a user-defined loss may fail.
        losses = self.loss.per_sample(outputs, buffers.y) if len(outputs) else outputs.sum(-1)
        if buffers.row_weights is not None:
            # A row of weight 0 does not count, even if its loss is infinite.
            losses = losses.masked_fill(buffers.loss_weights == 0, 0.0)
            loss = torch.linalg.vecdot(losses, buffers.loss_weights)
            penalty = torch.linalg.vecdot(penalties, buffers.penalty_weights, dim=0)
        else:
            loss, penalty = losses.sum(-1), penalties.sum(0)
        if self.layout.stack:
            loss = loss.sum(0)  # over the batches
        return loss.addcmul_(penalty, self._half_alpha)
