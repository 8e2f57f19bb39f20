"""The networks of a stack: their weights, and the computation of an epoch."""

from types import SimpleNamespace

import numpy as np
import torch

from torchmlp.training.backprop import Backprop
from torchmlp.training.device.cuda_graphs import graphs_for
from torchmlp.training.parameters import Parameters
from torchmlp.training.solvers import make_solver
from torchmlp.training.stack_batches import StackLoader
from torchmlp.training.stack_validation import StackValidation


class TrainingCancelled(Exception):
    """Raised between two blocks of batches if training is cancelled."""


class StackNetwork:
    """The stacked weights of some fits, and what trains them.

    Parameters
    ----------
    members : list of MemberLoop
    data : StackData
    previous : StackNetwork or None
        The network from which some of the members come.
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
        alpha = _common([s.alpha for s in settings])
        self.solver = make_solver(
            SimpleNamespace(**{**vars(first.settings), "alpha": alpha}), self.weights, self.gradient
        )
        self.vectors = [
            self.weights.views_of(vector) for vector in (self.weights.flat, *self.solver.vectors)
        ]
        self._copy_members(previous)
        if first.settings.max_grad_norm is not None:
            norms = self._tensor([s.max_grad_norm for s in settings])
        generators = [member.state.dropout_generator for member in members]
        self.generators = generators if any(layout.dropout) else []
        self.alpha = 0.0 if self.solver.decoupled_weight_decay else self._number(alpha)
        self.backprop = Backprop(
            self.weights,
            self.gradient,
            layout,
            first.settings.loss,
            self.alpha,
            generators=self.generators,
            max_grad_norm=None if first.settings.max_grad_norm is None else norms,
        )
        data.store([member.inputs.data for member in members])
        self.loader = StackLoader(data, first.batch_size, layout)
        self.validation = None
        if first.validation is not None:
            self.validation = StackValidation(members, self.weights, layout)
        self.pending_warnings: list = []  # warnings of all members
        self.graphs = self._graphs()
        self._orders = np.tile(np.arange(data.n_rows), (count, 1))
        self._total = layout.empty()

    def _graphs(self):
        """Return `BlockGraphs`, or None if the steps cannot be replayed."""
        if self.members[0].inputs.data.sample_weight is not None:
            return None
        return graphs_for(self.layout.device, self.generators, self.pending_warnings)

    def close(self):
        """Release the resources of the device."""
        if self.graphs is not None:
            self.graphs.close()

    def _copy_members(self, previous):
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
        return int(t[index]) if isinstance(t, np.ndarray) else t

    def _tensor(self, values):
        return torch.tensor(values, dtype=self.layout.dtype, device=self.layout.device)

    def _number(self, value):
        return self._tensor(value) if isinstance(value, np.ndarray) else value

    @torch.inference_mode()
    def run_epoch(self, is_cancelled):
        """Train all members on every batch once.

        Returns
        -------
        losses : list of float
            The mean loss of each member, see `EpochTrainer.run_epoch`.
        n_rows : int
            Number of samples that each member has seen.
        """
        same_order = True
        for member in self.members:
            settings, state = member.inputs.settings, member.state
            if settings.shuffle and not member.is_done:
                state.shuffle()
                if member.inputs.batch_size < self._orders.shape[1]:
                    self._orders[member.index] = state.order
                    same_order = False
        rates = [member.state.schedule.rate for member in self.members]
        # Steps that are replayed always have one rate per network.
        rate = _common(rates) if self.graphs is None else np.array(rates)
        n_rows = n_weighted = 0
        self._total.zero_()
        for block in self.loader.blocks(self._orders, same_order):
            if is_cancelled():
                raise TrainingCancelled
            if block.is_new:
                for batch in block.batches:
                    self.backprop.bind(batch)
                block.is_new = False
            if self.graphs is None:
                self._train(block, self.solver, rate)
            else:
                self.graphs.train(self._train, block, self.solver, rate)
            block.add_losses(self.backprop.loss, self.alpha, self._total)
            n_rows += block.n_batches * block.n_rows
            n_weighted = n_weighted + block.n_weighted_rows
        return (np.array(self._total.tolist()) / n_weighted).tolist(), n_rows

    def _train(self, block, solver, rate):
        """Make a step for each batch of a block."""
        for batch in block.batches:
            # The networks whose samples in the batch have no weight make no step.
            skipped = [(i, self._copy(i)) for i in batch.skipped]
            for call in batch.calls:
                call()
            solver.update(*solver.factors(rate))
            for i, values in skipped:
                self._restore(i, values)

    def _copy(self, i):
        generator = self.members[i].state.dropout_generator
        draws = None if generator is None else generator.get_state()
        vectors = [[view[i].clone() for view in views] for views in self.vectors]
        return vectors, self.step_of(i), draws

    def _restore(self, i, saved):
        vectors, step, draws = saved
        if draws is not None:
            self.members[i].state.dropout_generator.set_state(draws)
        for views, values in zip(self.vectors, vectors, strict=True):
            for view, value in zip(views, values, strict=True):
                view[i].copy_(value)
        if step != self.step_of(i):
            steps = np.array([self.step_of(j) for j in range(len(self.members))], float)
            steps[i] = step
            self.solver.t = steps


def _common(values):
    """Return the value that all have in common, or an array of the values."""
    first = values[0]
    return first if all(v == first for v in values) else np.array(values, dtype=float)
