"""Fits that are trained immediately, or submitted to a queue and trained together with others."""

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torchmlp.training.fit_state import FitInputs, FitState
from torchmlp.training.loop import Monitor, train
from torchmlp.training.stack import is_builtin
from torchmlp.training.threads import n_threads, n_threads_for

_local = threading.local()  # submit: the function to which the fits of this thread are passed


@dataclass
class Job:
    """A fit that is ready to be trained.

    Attributes
    ----------
    inputs : FitInputs
    state : FitState
    monitors : sequence of Monitor
    result : OptimizeResult or None
        What `torchmlp.training.loop.train` returned.
    error : BaseException or None
        What it raised.
    """

    inputs: FitInputs
    state: FitState
    monitors: Sequence[Monitor] = ()
    result: Any = None
    error: BaseException | None = None

    def train(self, monitors):
        """Train a submitted fit alone. Submitted fits have no monitors of their own."""
        try:
            self.result = train(self.inputs, self.state, monitors)
        except Exception as error:
            self.error = error

    @property
    def runs_user_code(self):
        """Whether training prints or calls functions of the user, and has to use their thread."""
        settings = self.inputs.settings
        return (
            bool(self.monitors or settings.verbose)
            or callable(settings.solver)
            or not is_builtin(self.inputs)
        )

    @cached_property
    def n_bytes(self):
        """Size of the data and of the weights, gradient and solver state in bytes."""
        datasets = [self.inputs.data, self.inputs.validation]
        n_vectors = 2 + len(self.state.solver.vectors if self.state.solver else [])
        return (
            sum(data.n_bytes for data in datasets if data is not None)
            + n_vectors * self.state.weights.flat.nbytes
        )


def _after_fork_in_child():
    _local.submit = None  # the thread that trains does not exist in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@contextlib.contextmanager
def queue_of_thread(submit):
    """Submit the fits of this thread to a queue while the `with` block runs.

    Parameters
    ----------
    submit : callable (Job) -> None
        Called instead of training. Returns when the job is trained.
    """
    _local.submit = submit
    try:
        yield
    finally:
        _local.submit = None


def run(job):
    """Train a fit immediately, or through the queue of the current thread.

    Call it in a `one_thread` block.

    Parameters
    ----------
    job : Job

    Returns
    -------
    scipy.optimize.OptimizeResult or None
        See `torchmlp.training.loop.train`.
    """
    submit = getattr(_local, "submit", None)
    if submit is None or job.runs_user_code:
        inputs = job.inputs
        with n_threads(n_threads_for(inputs.largest_product, inputs.layout.dtype)):
            return train(inputs, job.state, job.monitors)
    submit(job)
    if job.error is not None:
        raise job.error
    return job.result
