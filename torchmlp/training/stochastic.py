"""Training with a stochastic solver, one epoch at a time."""

import math

import numpy as np
import torch

from torchmlp.training.backprop import Backprop
from torchmlp.training.device.cuda_graphs import graphs_for
from torchmlp.training.device.placement import synchronize
from torchmlp.training.loaders import loader_for
from torchmlp.training.processes import has_own_rows
from torchmlp.training.weight_sharing import bind_shared_gradient


class EpochTrainer:
    """Trains the weights, one epoch at a time. A context manager.

    Parameters
    ----------
    inputs : FitInputs
    state : FitState
    hooks : dict of str to list of callables () -> object
        Those with the keys "on_grad_computed" and "on_batch_end" are called for each batch. See
        `torchmlp.training.loop.Monitor`.
    on_block_end : callable () -> bool, or None
        Called after each block of batches. If it returns True, the epoch ends.
    """

    def __init__(self, inputs, state, hooks, on_block_end=None):
        settings, layout, solver = inputs.settings, inputs.layout, state.solver
        self.state = state
        self.shuffles = settings.shuffle
        self.device = layout.device
        self.on_batch_end = hooks["on_batch_end"]
        self.on_block_end = on_block_end
        generators = [state.dropout_generator] if any(layout.dropout) else []
        max_grad_norm, n_networks = settings.max_grad_norm, math.prod(layout.stack)
        self.backprop = Backprop(
            state.weights,
            state.gradient,
            layout,
            settings.loss,
            0.0 if solver.decoupled_weight_decay else settings.alpha,
            generators=n_networks * generators,
            # The mean over the networks of the squared norm is that of the vector / n_networks.
            max_grad_norm=max_grad_norm and max_grad_norm * math.sqrt(n_networks),
            on_grad_computed=[*_shared_gradient(inputs, state), *hooks["on_grad_computed"]],
            processes=inputs.processes,
        )
        self.processes = inputs.processes
        self.loader = loader_for(
            inputs.data, inputs.batch_size, layout, settings.shuffle, inputs.processes
        )
        self._total = layout.empty()
        self.graphs = None
        # These run on the host.
        on_host = hooks["on_grad_computed"] or hooks["on_batch_end"] or inputs.processes
        if not on_host:
            self.graphs = graphs_for(inputs, solver, generators, state.pending_warnings)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.graphs is not None:
            self.graphs.close()

    @torch.inference_mode()  # saves a quarter of the time of small steps
    def run_epoch(self):
        """Train on every batch once.

        Returns
        -------
        loss : float
            Mean loss of the samples, including the L2 regularization term. The loss of each batch
            is computed with the weights before its update. For networks that share weights, the
            mean of their losses.
        n_rows : int
            Number of samples seen. Fewer than all if `on_block_end` ended the epoch.
        """
        state = self.state
        n_rows = n_weighted_rows = 0
        self._total.zero_()
        for block in self.loader.blocks(self._order()):
            if block.is_new:
                self._bind(block)
            if self.graphs is None:
                self._train(block, state.solver, state.schedule.rate)
            else:
                self.graphs.train(self._train, block, state.solver, state.schedule.rate)
            n_rows += block.n_rows
            n_weighted_rows += block.n_weighted_rows
            if self.on_block_end is not None and n_weighted_rows and self._block_stops():
                break
        if self.processes is not None:
            self.processes.sum_(self._total)
        total = self._total.mean() if self._total.ndim else self._total
        return float(total) / n_weighted_rows, n_rows  # `float` makes the host wait for the device

    def _order(self):
        """Return the order of the samples in the next epoch, or None for that of the data."""
        state, processes = self.state, self.processes
        if not self.shuffles:
            return None
        if not has_own_rows(processes):
            state.shuffle()
            return state.order
        # Every process draws the same number, so that their generators stay in the same state.
        seeds = state.random_state.randint(np.iinfo(np.int32).max), processes.rank
        return np.random.RandomState(seeds).permutation(self.loader.n_rows)

    def _bind(self, block):
        for batch in block.batches:
            self.backprop.bind(batch)
        block.is_new = False

    def _train(self, block, solver, rate):
        """Make a step for each batch of a block, and add their loss to the total."""
        update, factors, hooks = solver.update, solver.factors, self.on_batch_end
        for batch in block.batches:
            if batch.skipped:
                batch.outputs.fill_(1.0)  # a finite loss, which has no weight
                continue
            for call in batch.calls:
                call()
            update(*factors(rate))
            for hook in hooks:
                hook()
        self._total.add_(self.backprop.loss_of(block))

    def _block_stops(self):
        synchronize(self.device)  # kernels run asynchronously
        return self.on_block_end()


def _shared_gradient(inputs, state):
    return [] if inputs.signs is None else bind_shared_gradient(state.gradient, inputs.signs)
