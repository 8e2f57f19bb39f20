"""The networks of a stack: their weights, and the steps of an epoch."""

import numpy as np
import torch

from torchmlp.training.backprop import Backprop
from torchmlp.training.device.cuda_graphs import graphs_for
from torchmlp.training.parameters import Parameters
from torchmlp.training.solver_factory import make_solver
from torchmlp.training.stack_batches import StackLoader
from torchmlp.training.stack_validation import StackValidation


class TrainingCanceled(Exception):
    """Raised between two blocks of batches if training is canceled."""


class StackNetwork:
    """The stacked weights of several fits, with their solver, gradient and data.

    Parameters
    ----------
    members : list of MemberLoop
    data : StackData
    previous : StackNetwork or None
        The network that contained some of the members until now.
    """

    def __init__(self, members, data, previous=None):
        self.members = members
        first, count = members[0].inputs, len(members)
        settings = [member.inputs.settings for member in members]
        self.layout = layout = first.layout.stacked(count)
        self.weights = Parameters(
            layout.layer_units, layout.dtype, layout.device, stack=layout.stack
        )
        self.gradient = self.weights.like()
        self.solver = make_solver(first.settings, self.weights, self.gradient)
        self.solver.alpha = alpha = _common([s.alpha for s in settings])
        self.vectors = [
            self.weights.views_of(vector) for vector in (self.weights.flat, *self.solver.vectors)
        ]
        self._copy_members(previous)
        max_grad_norm = None
        if first.settings.max_grad_norm is not None:
            max_grad_norm = self._tensor([s.max_grad_norm for s in settings])
        generators = [member.state.dropout_generator for member in members]
        self.generators = generators if any(layout.dropout) else []
        if self.solver.decoupled_weight_decay:
            self.alpha = 0.0
        else:
            self.alpha = self._tensor(alpha) if isinstance(alpha, np.ndarray) else alpha
        self.backprop = Backprop(
            self.weights,
            self.gradient,
            layout,
            first.settings.loss,
            self.alpha,
            generators=self.generators,
            max_grad_norm=max_grad_norm,
        )
        data.store([member.inputs.data for member in members])
        self.loader = StackLoader(data, first.batch_size, layout)
        self.validation = None
        if first.validation is not None:
            evaluated = self.solver.average or self.weights
            self.validation = StackValidation(members, evaluated, layout)
        self.pending_warnings: list = []  # warnings of all members
        self.graphs = graphs_for(first, self.solver, self.generators, self.pending_warnings)
        self._orders = np.tile(np.arange(data.n_rows), (count, 1))
        self._total = layout.empty()

    def close(self):
        """Release the data of the members and the resources of the device."""
        # The members refer to this object: reference cycles would keep their data.
        self.members, self.validation = [], None
        if self.graphs is not None:
            self.graphs.close()

    def _copy_members(self, previous):
        """Copy the weights and states of the members: from their network, or their own if new."""
        stay = [m for m in self.members if m.network is not None]
        steps = [
            m.state.solver.t if m.network is None else previous.step_of(m.index)
            for m in self.members
        ]
        if stay:
            old = torch.tensor([m.index for m in stay])
            new = torch.tensor([i for i, m in enumerate(self.members) if m.network is not None])
            for mine, theirs in zip(self.vectors, previous.vectors, strict=True):
                for view, values in zip(mine, theirs, strict=True):
                    view[new] = values[old]
        for i, member in enumerate(self.members):
            is_new = member.network is None
            member.join(self, i)
            if is_new:
                member.write()
        self.solver.t = _common(steps)

    def step_of(self, index):
        """Return the number of steps of a member."""
        t = self.solver.t
        return int(t[index] if isinstance(t, np.ndarray) else t)

    def _tensor(self, values):
        return torch.tensor(values, dtype=self.layout.dtype, device=self.layout.device)

    @torch.inference_mode()
    def run_epoch(self, is_canceled):
        """Train all members on every batch once.

        Returns
        -------
        losses : list of float
            The mean loss of each member, see `EpochTrainer.run_epoch`.
        n_rows : int
            Number of samples that each member has seen.
        """
        same_order = self._shuffle()
        rates = [member.state.schedule.rate for member in self.members]
        # Steps that are replayed always have one rate per network.
        rate = _common(rates) if self.graphs is None else np.array(rates)
        n_rows = n_weighted = 0
        self._total.zero_()
        for block in self.loader.blocks(self._orders, same_order):
            if is_canceled():
                raise TrainingCanceled
            if block.is_new:
                for batch in block.batches:
                    self.backprop.bind(batch)
                block.is_new = False
            if self.graphs is None:
                self._train(block, self.solver, rate)
            else:
                self.graphs.train(self._train, block, self.solver, rate)
            n_rows += block.n_rows
            n_weighted = n_weighted + block.n_weighted_rows
        return (np.array(self._total.tolist()) / n_weighted).tolist(), n_rows

    def _shuffle(self):
        """Set the order of the rows for each member. Return whether it has not changed."""
        same_order = True
        for member in self.members:
            if member.inputs.settings.shuffle and not member.is_done:
                member.state.shuffle()
                if member.inputs.batch_size < self._orders.shape[1]:
                    self._orders[member.index] = member.state.order
                    same_order = False
        return same_order

    def _train(self, block, solver, rate):
        """Make a step for each batch of a block, and add their losses to the totals."""
        for batch in block.batches:
            step = self._step if batch.skipped is False else self._partial_step
            step(batch, solver, rate)
        self._total.add_(self.backprop.loss_of(block))

    @staticmethod
    def _step(batch, solver, rate):
        for call in batch.calls:
            call()
        solver.update(*solver.factors(rate))

    def _partial_step(self, batch, solver, rate):
        """Make a step. The networks that skip the batch keep their state."""
        vectors, t = [self.weights.flat, *solver.vectors], solver.t
        values = [vector.clone() for vector in vectors]
        generators = [self.generators[i] for i in np.flatnonzero(batch.skipped) if self.generators]
        draws = [generator.get_state() for generator in generators]
        self._step(batch, solver, rate)
        kept = self.weights.expand(torch.from_numpy(batch.skipped).to(self.layout.device))
        for vector, before in zip(vectors, values, strict=True):
            torch.where(kept, before, vector, out=vector)
        solver.t = _common(np.where(batch.skipped, t, solver.t).tolist())
        for generator, before in zip(generators, draws, strict=True):
            generator.set_state(before)


def _common(values):
    """Return a single value if all are equal, otherwise an array."""
    first = values[0]
    return first if all(v == first for v in values) else np.array(values, dtype=float)
