"""The joblib backend "torchmlp", which trains the networks of many fits together.

Each task of a `joblib.Parallel` call runs in a thread of its own, one at a time, see
`torchmlp.task_scheduler`. A task whose fit reaches the training loop submits the fit and waits.
When all tasks have finished or wait, the scheduler trains the submitted fits, many of them as one
stack of networks, and resumes the tasks. `Parallel` calls inside of tasks share the scheduler, so
that the fits of all levels are trained together.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joblib import cpu_count, register_parallel_backend
from joblib.parallel import ParallelBackendBase

from torchmlp.task_scheduler import Scheduler, Task, current_task

__all__ = ["TorchMLPBackend"]


class _Canceled(BaseException):
    """Raised in a waiting task if another task of the same call has failed."""


@dataclass
class _Call:
    """A `Parallel` call that is running."""

    scheduler: Scheduler
    tasks: list[Task] = field(default_factory=list)
    # Tasks whose callbacks have not been called, in order of submission.
    pending: deque[tuple[Task, Callable]] = field(default_factory=deque)


class TorchMLPBackend(ParallelBackendBase):
    """Backend of joblib that trains the networks of many fits together.

    It is registered under the name "torchmlp" when `torchmlp` is imported. Use it through
    ``joblib.parallel_config(backend="torchmlp")``.

    Parameters
    ----------
    nesting_level, inner_max_num_threads : int, default=None
        See `joblib.parallel.ParallelBackendBase`.
    max_fits : int, default=512
        Maximum number of fits that wait to be trained together.
    max_memory : int, default=1 << 28
        The waiting fits are trained when their data, weights and solver states reach this size, in
        bytes. Other arrays that a task holds, such as its copy of X before preprocessing, are not
        counted.

    Notes
    -----
    `n_jobs` is the number of threads that train. The default is the number of processors, which is
    also the maximum.

    Examples
    --------
    >>> from joblib import parallel_config
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from torchmlp import TorchMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier((10,), learning_rate="one_cycle", max_iter=20, random_state=0)
    >>> with parallel_config(backend="torchmlp", max_fits=100):
    ...     scores = cross_val_score(clf, X, y)
    >>> scores.shape
    (5,)
    """

    default_n_jobs = -1
    uses_threads = True
    supports_retrieve_callback = False
    # Calls that need shared memory, such as those of random forests, use threads instead.
    supports_sharedmem = False

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        max_fits: int = 512,
        max_memory: int = 1 << 28,
    ) -> None:
        super().__init__(nesting_level, inner_max_num_threads)
        self.max_fits = max_fits
        self.max_memory = max_memory
        self._calls: list[_Call] = []  # the innermost is last
        self._n_workers = 1

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of tasks that joblib dispatches before it waits for a result.

        Raises
        ------
        ValueError
            If `n_jobs` is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return self.max_fits

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **kwargs: Any,
    ) -> int:
        """Prepare a `Parallel` call."""
        n_processors = cpu_count()
        wanted = n_processors + 1 + n_jobs if n_jobs < 0 else n_jobs
        # Ensembles pass the number of their tasks, which may exceed the number of processors.
        self._n_workers = min(max(wanted, 1), n_processors)
        return super().configure(n_jobs, parallel, prefer, require, **kwargs)

    def start_call(self) -> None:
        """Begin a `Parallel` call. A call that is not inside of a task creates a scheduler."""
        task = current_task()
        if task is None:
            scheduler = Scheduler(self.max_fits, self.max_memory, self._n_workers)
        else:
            task.rejoin()
            scheduler = task.scheduler
        self._calls.append(_Call(scheduler))

    def stop_call(self) -> None:
        """End a `Parallel` call."""
        self._calls.pop()

    def submit(self, func: Callable, callback: Callable | None = None) -> Any:
        """Add a task. It starts when a result is retrieved."""
        call = self._calls[-1]
        task = Task(func, call.scheduler)
        call.tasks.append(task)
        if callback is not None:
            call.pending.append((task, callback))
        call.scheduler.add(task, self.nesting_level or 0)
        return task

    def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
        """Run tasks until `out` is done, and return its result."""
        current = current_task()
        if current is None:
            out.scheduler.run_until_done(out)
        else:
            while not out.is_done:
                current.wait_for(out)
        result, error = out.result, out.error
        out.result = out.error = None
        if error is not None:
            raise error
        self._dispatch_tasks()
        return result

    def _dispatch_tasks(self):
        """Call the callbacks of tasks that are done, with which joblib dispatches new tasks.

        They take tasks from the iterable of the call, which may be a generator. The thread of the
        call does this, because only this thread can enter a generator that uses the backend itself.
        """
        pending = self._calls[-1].pending
        while pending and pending[0][0].is_done:
            task, callback = pending.popleft()
            callback(task)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the tasks of the current call."""
        if self._calls:
            call = self._calls[-1]
            call.scheduler.cancel(call.tasks[::-1], _Canceled())

    def get_nested_backend(self) -> tuple["TorchMLPBackend", None]:
        """Return the backend for `Parallel` calls inside a task. It uses the same scheduler."""
        level = (self.nesting_level or 0) + 1
        return TorchMLPBackend(level, max_fits=self.max_fits, max_memory=self.max_memory), None


register_parallel_backend("torchmlp", TorchMLPBackend)
