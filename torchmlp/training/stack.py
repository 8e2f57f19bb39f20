"""Training of several fits as one stack of networks of one shape."""

from collections import deque
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import torch

from torchmlp.training.backprop import Backprop
from torchmlp.training.device.cuda_graphs import graphs_for
from torchmlp.training.loop import Loop
from torchmlp.training.parameters import Parameters
from torchmlp.training.solvers import SOLVERS, make_solver
from torchmlp.training.stack_batches import StackData, StackLoader
from torchmlp.training.stack_validation import StackValidation

# Settings that the networks of a stack have in common. They may differ in the others.
SHARED_SETTINGS = "loss", "solver", "momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon"

# A network is rebuilt without the members that have ended when they are more than one in this many.
MIN_DONE_SHARE = 8


def stack_key(inputs):
    """Return a hashable key, which is equal for fits that can be trained as one stack.

    Parameters
    ----------
    inputs : FitInputs

    Returns
    -------
    tuple or None
        None if the fit has to be trained alone, because of L-BFGS, sparse X, mixed precision or
        functions of the user.
    """
    settings, layout, data = inputs.settings, inputs.layout, inputs.data
    if (
        settings.solver not in SOLVERS
        or not all(part.capturable for part in (settings.loss, *layout.activations))
        or not isinstance(data.X, np.ndarray)
        or layout.mixed
    ):
        return None
    validation = inputs.validation
    return (
        *(getattr(settings, name) for name in SHARED_SETTINGS),
        settings.max_grad_norm is None,
        layout.layer_units,
        layout.dtype,
        layout.device,
        tuple(layout.activations),
        tuple(layout.dropout),
        inputs.batch_size,
        _shape(data),
        None if validation is None else _shape(validation),
        validation is None or isinstance(validation.X, np.ndarray),
        None if inputs.score is None else inputs.score.stack_key,
    )


def _shape(data):
    return len(data), data.y.dtype.kind, data.sample_weight is None


def step_work(inputs):
    """Return the number of multiply-adds of the forward pass of one step."""
    return inputs.batch_size * sum(a * b for a, b in pairwise(inputs.layout.layer_units))


def stack_bytes(inputs):
    """Return the size of the tensors that a step of one network reads and writes, in bytes."""
    units = inputs.layout.layer_units
    n_weights = sum((a + 1) * b for a, b in pairwise(units))
    return (4 * n_weights + 2 * inputs.batch_size * sum(units)) * inputs.layout.dtype.itemsize


class _MemberLoop(Loop):
    """The training loop of one fit in a stack. Its weights are those of a `_Network`."""

    def __init__(self, job):
        super().__init__(job.inputs, job.state, ())
        self.job = job
        self.is_done = False
        self.network = self.index = self.evaluation = None
        self._vectors = [
            self.state.weights.views_of(vector)
            for vector in (self.state.weights.flat, *self.state.solver.vectors)
        ]

    def join(self, network, index):
        """Set the network, and the index of this fit in it."""
        self.network, self.index = network, index

    def write(self):
        """Copy the weights and the state of the solver to the network."""
        for stack, own in zip(self.network.vectors, self._vectors, strict=True):
            for view, values in zip(stack, own, strict=True):
                view[self.index].copy_(values)

    def read(self, n_vectors=None):
        """Copy the weights and the state of the solver from the network."""
        vectors = zip(self.network.vectors[:n_vectors], self._vectors[:n_vectors], strict=True)
        for stack, own in vectors:
            for view, values in zip(stack, own, strict=True):
                values.copy_(view[self.index])
        self.state.solver.t = self.network.step_of(self.index)

    def evaluate(self):
        """Return the validation loss and score that were computed for the whole stack."""
        return self.evaluation

    def keep_best(self):
        if self.network is not None:  # otherwise it is not yet trained
            self.read(1)
        super().keep_best()

    def end_epoch(self, loss, n_rows):
        """Record an epoch. If it is the last one, end the fit."""
        try:
            if not np.isfinite(loss):
                self.read(1)  # `after_epoch` looks at the weights
            stop = self.after_epoch(loss, n_rows)
            if stop or self.state.progress.n_iter == self.inputs.settings.max_iter:
                if not stop:
                    self.reach_max_iter()
                self.read()
                self.state.pending_warnings += self.network.pending_warnings
                self.end()
                self.is_done = True
        except Exception as error:
            self.fail(error)

    def begins(self):
        """Begin the fit. Return False if this raises an error."""
        try:
            self.begin()
        except Exception as error:
            self.fail(error)
        return not self.is_done

    def fail(self, error):
        """End the fit with an error, which does not affect the others."""
        self.job.error, self.is_done = error, True


class _Network:
    """The stacked weights of some fits, and what trains them.

    Parameters
    ----------
    members : list of _MemberLoop
    data : StackData
    previous : _Network or None
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
                raise _Cancelled
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


class _Cancelled(Exception):
    """Raised between two blocks of batches if training is cancelled."""


class _Stack:
    """Fits that are trained together. Those that end make room for those that wait.

    Parameters
    ----------
    jobs : deque of Job
        Fits with the same `stack_key`. They are taken from the left.
    n_places : int
        Maximum number of fits in the stack.
    is_cancelled : callable () -> bool
    """

    def __init__(self, jobs, n_places, is_cancelled):
        self.jobs = jobs
        self.is_cancelled = is_cancelled
        self.n_places = n_places
        self.data = StackData(jobs[0].inputs.data, jobs[0].inputs.layout)
        self.members: list[_MemberLoop] = []
        self.network: _Network | None = None

    def run(self):
        while True:
            if self._should_rebuild():
                self._rebuild()
            if not self.members:
                return
            self._run_epoch()

    def _should_rebuild(self):
        """Return whether enough members have ended to make a smaller, or refilled, network."""
        n_done = sum(member.is_done for member in self.members)
        limit = 0 if self.jobs else len(self.members) // MIN_DONE_SHARE
        return not self.members or n_done == len(self.members) or n_done > limit

    def _rebuild(self):
        self.members = [member for member in self.members if not member.is_done]
        while self.jobs and len(self.members) < self.n_places:
            member = _MemberLoop(self.jobs.popleft())
            if member.begins():
                self.members.append(member)
        previous = self.network
        if self.members:
            self.network = _Network(self.members, self.data, previous)
        if previous is not None:
            previous.close()

    def _run_epoch(self):
        for member in self.members:
            if not member.is_done:
                member.before_epoch()
        losses, n_rows = self.network.run_epoch(self.is_cancelled)
        if self.network.validation is not None:
            self.network.validation.evaluate()
        for member, loss in zip(self.members, losses, strict=True):
            if not member.is_done:
                member.end_epoch(loss, n_rows)


def train_stack(jobs, n_places, is_cancelled):
    """Train fits as one stack of networks.

    Parameters
    ----------
    jobs : list of Job
        Fits with the same `stack_key`. Each receives its result or its error.
    n_places : int
        Maximum number of fits in the stack. The others wait until fits of the stack have ended.
    is_cancelled : callable () -> bool
        If it returns True after a block of batches, training ends. The jobs are then incomplete.
    """
    stack = _Stack(deque(jobs), n_places, is_cancelled)
    try:
        stack.run()
    except _Cancelled:
        return
    except Exception as error:  # such as a lack of memory for the stack
        unfinished = [member.job for member in stack.members if not member.is_done]
        for job in unfinished + list(stack.jobs):
            job.error = error
