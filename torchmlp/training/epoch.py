"""The kernel: forward, backward and update for every batch of one epoch."""

from typing import Any

import torch

from torchmlp.training.forward import forward
from torchmlp.training.losses import OUTPUT_ACTIVATIONS


def backward(layers, transposed, gradient, inputs, space, decay):
    """Backpropagate one batch.

    From space.deltas[-1], the derivative with respect to the raw outputs, to the gradient of
    space.scale * (sum of the losses) + decay / 2 * (squared norm of the coefficients).

    Parameters
    ----------
    layers : list of Layer
    transposed : list of tensors of shape (fan_out, fan_in)
        Their coefficients.
    gradient : list of Layer
        Written.
    inputs : DenseInput or SparseInput
        Rows of X.
    space : TrainingSpace
        As `forward` left it.
    decay : float
    """
    flows = [inputs, *(layer.outflow for layer in space.hidden)]
    for i in range(len(layers) - 1, -1, -1):
        delta, gradients = space.deltas[i], gradient[i]
        flows[i].coefs_gradient(delta, layers[i].coefs, decay, space.scale, gradients.coefs)
        torch.mv(space.deltas_transposed[i], space.shares, out=gradients.intercepts)
        if i:
            torch.mm(delta, transposed[i], out=space.deltas[i - 1])
            space.hidden[i - 1].backpropagate(space.deltas[i - 1])


class Kernel:
    """A network, its gradient, and what happens to them in a step.

    Parameters
    ----------
    weights : Parameters
    layout : Layout
    loss : Loss
    alpha : float
        L2 penalty; its half times the squared norm of the coefficients is divided by the
        weight of each batch.
    generator : torch.Generator or None
        Draws the units to drop.
    max_grad_norm : float or None
        A larger gradient is scaled down to this norm.

    Attributes
    ----------
    on_grad_computed, on_batch_end : callable or None
        Called after the gradient of each batch, which they may change, and after its update.
    on_block_end : callable or None
        Called after each block of batches; the epoch ends there if it returns true.
    replay : Replay or None
        Trains on blocks whose steps may be recorded.
    """

    def __init__(self, weights, layout, loss, alpha, generator=None, max_grad_norm=None):
        self.weights, self.gradient = weights, weights.like()
        self.layout, self.loss, self.alpha = layout, loss, alpha
        self.generator, self.max_grad_norm = generator, max_grad_norm
        self.on_grad_computed: Any = None
        self.on_batch_end: Any = None
        self.on_block_end: Any = None
        self.replay: Any = None
        self._total = layout.empty(())
        self._activate_outputs = OUTPUT_ACTIVATIONS[self.loss.out_activation]
        # What the products read and write: the weights themselves, or their low-precision copy.
        mixed = layout.mixed
        self.operands = weights.like(layout.product_dtype) if mixed else weights
        self.operands_gradient = self.operands.like() if mixed else self.gradient
        self._layers = self.operands.layers
        self._transposed = [layer.coefs.t() for layer in self._layers]
        self._gradients = self.operands_gradient.layers

    def compute_gradient(self, batch):
        """Forward and backward: fill the outputs of a batch, its penalty and `gradient`.

        Returns
        -------
        bool
            False for a batch without any weight, which has no gradient.
        """
        space, mixed = batch.space, self.layout.mixed
        if mixed:
            self.operands.flat.copy_(self.weights.flat)
        if self.generator is not None:
            for layer in space.hidden:
                layer.draw_mask(self.generator)
        raw = space.raw if mixed else batch.outputs
        forward(self._layers, batch.inputs, space, raw)
        if mixed:
            batch.outputs.copy_(raw)
        self._activate_outputs(batch.outputs)
        if not batch.weight_sum:
            return False

        self.loss.residual(batch.outputs, batch.y, out=space.deltas[-1])
        if batch.row_weights is not None:
            space.deltas[-1].mul_(batch.row_weights)
        decay = self.alpha / batch.weight_sum
        backward(
            self._layers,
            self._transposed,
            self._gradients,
            batch.inputs,
            space,
            0.0 if mixed else decay,
        )
        if mixed:
            self.gradient.flat.copy_(self.operands_gradient.flat)
            self.gradient.coefficients.add_(self.weights.coefficients, alpha=decay)
        if self.alpha:
            coefficients = self.weights.coefficients
            torch.dot(coefficients, coefficients, out=batch.penalty)
        return True

    @torch.inference_mode()  # saves a quarter of a small step
    def run(self, epoch, order, solver, rate):
        """Train on every batch of an epoch.

        Parameters
        ----------
        epoch : Epoch
        order : int array of shape (n_rows,) or None
        solver : Solver
        rate : float
            Learning rate.

        Returns
        -------
        loss : float
            Mean over the rows of the loss, penalty included, each row and the penalty taken
            at the weights before the update that it entered.
        n_rows : int
            How many rows that were: fewer than those of the epoch if `on_block_end` ended it.
        """
        replay = self.replay if self.replay and self._recordable(epoch, solver) else None
        n_rows = n_weighted_rows = 0
        self._total.zero_()
        for block in epoch.blocks(order):
            if replay is None:
                self._train(block, solver, rate)
            else:
                replay(self._train, block, solver, rate)
            n_rows += block.n_rows
            n_weighted_rows += block.n_weighted_rows
            if self.on_block_end is not None and n_weighted_rows and self.on_block_end():
                break
        # Here, and not before, a device is waited for.
        return float(self._total) / n_weighted_rows, n_rows

    def _train(self, block, solver, rate):
        """Go forward, backward and one step further with every batch of a block."""
        gradient, update, factors = self.gradient.flat, solver.update, solver.factors
        for batch in block.batches:
            if self.compute_gradient(batch):
                if self.on_grad_computed is not None:
                    self.on_grad_computed()
                if self.max_grad_norm is not None:
                    self._clip_gradient()
                update(gradient, *factors(rate))
            if self.on_batch_end is not None:
                self.on_batch_end()
        self._total.add_(self.loss_of(block))

    def _recordable(self, epoch, solver):
        """Whether all that changes between two steps lies in memory, and nobody looks on."""
        return (
            solver.recordable
            and epoch.data.sample_weight is None
            and self.on_grad_computed is None
            and self.on_batch_end is None
            and all(part.recordable for part in (self.loss, *self.layout.activations))
        )

    def _clip_gradient(self):
        norm = self.gradient.flat.norm()
        self.gradient.flat.mul_((self.max_grad_norm / norm).clamp_max(1.0))

    def loss_of(self, block):
        """Return the loss of a block, summed over its batches, each times its number of rows."""
        _, y, _, loss_weights, penalty_weights = block.buffers
        values = self.loss.values(block.outputs, y)
        if loss_weights is None:
            loss, penalty = values.sum(), block.penalties.sum()
        else:
            loss = torch.dot(values, loss_weights)
            penalty = torch.dot(block.penalties, penalty_weights)
        return loss.add_(penalty, alpha=self.alpha / 2)
