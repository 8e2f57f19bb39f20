"""Training of several fits as one stack of networks of one shape."""

import copy
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from torchmlp.training.loop import Loop
from torchmlp.training.solvers import SOLVERS
from torchmlp.training.stack_batches import StackData
from torchmlp.training.stack_network import StackNetwork, TrainingCanceled

# Settings that all networks of a stack have in common. Other settings may differ.
SHARED_SETTINGS = (
    "loss",
    "solver",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "average",
)

# The network is rebuilt when the share of members that have ended exceeds this.
MAX_DONE_SHARE = 1 / 8


def stack_key(inputs):
    """Return a hashable key that is equal for fits that can be trained as one stack.

    Parameters
    ----------
    inputs : FitInputs

    Returns
    -------
    tuple or None
        None if the fit has to be trained alone, because of L-BFGS, sparse data, mixed precision,
        functions of the user, or because it is a stack of networks that share weights.
    """
    settings, layout = inputs.settings, inputs.layout
    data, validation = inputs.data, inputs.validation
    datasets = [data] if validation is None else [data, validation]
    if (
        settings.solver not in SOLVERS
        or not is_builtin(inputs)
        or not all(isinstance(dataset.X, np.ndarray) for dataset in datasets)
        or layout.mixed
        or layout.stack
    ):
        return None
    return (
        *(getattr(settings, name) for name in SHARED_SETTINGS),
        settings.max_grad_norm is None,
        layout.layer_units,
        layout.dtype,
        layout.device,
        tuple(layout.activations),
        tuple(layout.dropout),
        inputs.batch_size,
        *map(_shape, datasets),
        None if inputs.score is None else inputs.score.stack_key,
    )


def is_builtin(inputs):
    """Return whether the loss, the activations and the score are those of torchmlp.

    Others are functions of the user, which are called for one network at a time.
    """
    parts: list[Any] = [inputs.settings.loss, *inputs.layout.activations]
    scored_alone = inputs.score is not None and inputs.score.stack_key is None
    return all(part.capturable for part in parts) and not scored_alone


def _shape(data):
    """Return what the data of all fits of a stack have in common."""
    return len(data), data.y.dtype.kind, data.sample_weight is None


def step_work(inputs):
    """Return the number of multiply-adds of the forward pass of one step."""
    return inputs.batch_size * inputs.layout.n_coefficients


def stack_bytes(inputs):
    """Return the size of the tensors that a step of one network reads and writes, in bytes."""
    layout = inputs.layout
    n_weights = layout.n_coefficients + sum(layout.layer_units[1:])
    n_values = inputs.batch_size * sum(layout.layer_units)
    return (4 * n_weights + 2 * n_values) * layout.dtype.itemsize


class MemberLoop(Loop):
    """The training loop of one fit in a stack. Its weights are those of a `StackNetwork`.

    The weights and the solver of the `FitState` do not change before the fit ends.
    """

    def __init__(self, job):
        super().__init__(job.inputs, job.state, ())
        self.job = job
        self.is_done = False
        self.network: Any = None  # set by `join`
        self.index: Any = None
        self.evaluation: Any = None  # set by `StackValidation.evaluate`
        self._vectors = [
            self.state.weights.views_of(vector)
            for vector in (self.state.weights.flat, *self.state.solver.vectors)
        ]
        state, generator = self.state, self.state.dropout_generator
        self._initial = replace(
            state, progress=state.progress.copy(), schedule=copy.copy(state.schedule)
        )
        self._drawn = state.random_state.get_state()
        self._dropout_drawn = None if generator is None else generator.get_state()

    def join(self, network, index):
        """Set the network, and the index of this fit in it."""
        self.network, self.index = network, index

    def write(self):
        """Copy the weights and the state of the solver to the network."""
        for stack, own in zip(self.network.vectors, self._vectors, strict=True):
            for view, values in zip(stack, own, strict=True):
                view[self.index].copy_(values)

    def read(self):
        """Copy the weights and the state of the solver from the network."""
        for i, own in enumerate(self._vectors):
            self._read(i, own)
        self.state.solver.t = self.network.step_of(self.index)

    def _read(self, i, own):
        """Copy one of the vectors of the network to the views of a vector."""
        for view, values in zip(self.network.vectors[i], own, strict=True):
            values.copy_(view[self.index])

    def rewind(self):
        """Restore the state before training."""
        vars(self.state).update(vars(self._initial))
        self.state.random_state.set_state(self._drawn)
        if self._dropout_drawn is not None:
            self.state.dropout_generator.set_state(self._dropout_drawn)

    def evaluate(self):
        """Return the validation loss and score that were computed for the whole stack."""
        return self.evaluation

    def keep_best(self):
        super().keep_best()
        if self.network is not None:  # otherwise training has not begun
            i = 0 if self.state.solver.average is None else -1
            self._read(i, self.state.weights.views_of(self.state.best_weights))

    def weights_are_finite(self):
        weights = self.network.vectors[0]
        return all(bool(view[self.index].isfinite().all()) for view in weights)

    def end_epoch(self, loss, n_rows):
        """Record an epoch. If it is the last one, end the fit."""
        try:
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

    def try_begin(self):
        """Begin the fit. Return whether this succeeded."""
        try:
            self.begin()
        except Exception as error:
            self.fail(error)
        return not self.is_done

    def fail(self, error):
        """End the fit with an error, which does not affect the others."""
        self.job.error = error
        self.is_done = True


class _Stack:
    """Fits that are trained together. Waiting fits take the places of fits that have ended.

    Parameters
    ----------
    jobs : deque of Job
        Fits with the same `stack_key`. They are taken from the left.
    n_places : int
        Maximum number of fits in the stack.
    is_canceled : callable () -> bool
    """

    def __init__(self, jobs, n_places, is_canceled):
        self.jobs = jobs
        self.is_canceled = is_canceled
        self.n_places = n_places
        self.data = StackData(jobs[0].inputs.data, jobs[0].inputs.layout)
        self.members: list[MemberLoop] = []
        self.network: Any = None

    def run(self):
        """Train all fits."""
        while True:
            if self._should_rebuild():
                self._rebuild()
            if not self.members:
                return
            self._run_epoch()

    def close(self):
        """Release the resources of the device."""
        if self.network is not None:
            self.network.close()

    def give_up(self, error):
        """Restore the states of the unfinished fits, and add a warning. Return their jobs."""
        members = [member for member in self.members if not member.is_done]
        for member in members:
            member.rewind()
        jobs = [*(member.job for member in members), *self.jobs]
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        message = (
            f"Several fits could not be trained as one stack ({reason}). They were trained one by "
            "one, which is slower but gives the same results."
        )
        for job in jobs:
            job.state.pending_warnings.append((message, UserWarning))
        return jobs

    def _should_rebuild(self):
        """Return whether enough members have ended to make a smaller, or refilled, network."""
        n_done = sum(member.is_done for member in self.members)
        limit = 0 if self.jobs else MAX_DONE_SHARE * len(self.members)
        return not self.members or n_done > limit

    def _rebuild(self):
        self.members = [member for member in self.members if not member.is_done]
        while self.jobs and len(self.members) < self.n_places:
            member = MemberLoop(self.jobs.popleft())
            if member.try_begin():
                self.members.append(member)
        previous = self.network
        if self.members:
            self.network = StackNetwork(self.members, self.data, previous)
        if previous is not None:
            previous.close()

    def _run_epoch(self):
        for member in self.members:
            if not member.is_done:
                member.before_epoch()
        losses, n_rows = self.network.run_epoch(self.is_canceled)
        if self.network.validation is not None:
            self.network.validation.evaluate()
        for member, loss in zip(self.members, losses, strict=True):
            if not member.is_done:
                member.end_epoch(loss, n_rows)


def train_stack(jobs, n_places, is_canceled):
    """Train fits as one stack of networks.

    Parameters
    ----------
    jobs : list of Job
        Fits with the same `stack_key`. Each receives its result or its error.
    n_places : int
        Maximum number of fits in the stack. The others wait until some of these have ended.
    is_canceled : callable () -> bool
        If it returns True after a block of batches, training ends. The jobs are then incomplete.

    Returns
    -------
    list of Job
        The unfinished fits, to be trained alone, if an operation failed: because of the data of one
        of them, or because of a lack of memory for the stack.
    """
    stack = _Stack(deque(jobs), n_places, is_canceled)
    try:
        stack.run()
    except TrainingCanceled:
        pass
    except Exception as error:
        return stack.give_up(error)
    finally:
        stack.close()
    return []
