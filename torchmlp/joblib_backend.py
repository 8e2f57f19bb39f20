"""The joblib backend "torchmlp", which trains the networks of many fits together.

Each task of a `joblib.Parallel` call runs in a thread of its own, but only one thread computes at a
time. The others wait until it gives up control. The code of the tasks therefore does not need to be
thread-safe, and their order is deterministic. A task whose fit reaches the training loop submits
the fit and waits. When all tasks have finished or wait, the scheduler trains the submitted fits,
many of them as one stack of networks, and resumes the tasks. Nested `Parallel` calls share one
scheduler, so that the fits of all levels are trained together.
"""

import contextlib
import ctypes
import heapq
import itertools
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

from joblib import cpu_count, register_parallel_backend
from joblib.parallel import ParallelBackendBase

from torchmlp.training.jobs import queue_of_thread
from torchmlp.training.scheduling import train_jobs

__all__ = ["TorchMLPBackend"]


class _Cancelled(BaseException):
    """Raised in a waiting task if another task of the same call has failed."""


# task: the `_Task` that runs in this thread. scheduler: the `_Scheduler` of its `Parallel` calls.
# owner: the backend that created the scheduler.
_local = threading.local()


def _after_fork_in_child():
    # The scheduler and the threads of the other tasks do not exist in the child.
    _local.task = _local.scheduler = _local.owner = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _WarningsState:
    """A copy of the global state of the module `warnings`. Each task has its own.

    scikit-learn runs each task inside `warnings.catch_warnings`, which saves and restores the
    global state. This works only if no task sees the state of another.
    """

    def __init__(self):
        self.filters = warnings.filters
        self.show = warnings.showwarning, vars(warnings)["_showwarnmsg_impl"]

    def restore(self):
        warnings.filters = self.filters
        warnings.showwarning, vars(warnings)["_showwarnmsg_impl"] = self.show
        with warnings.catch_warnings():  # makes Python notice that the filters have changed
            pass


class _Task:
    """A task of a `Parallel` call. It runs in its own thread while another thread waits for it.

    Attributes
    ----------
    is_done : bool
    result, error
        What the function returned or raised.
    waiter : _Task or None
        The task that waits for the end of this one.
    job : Job or None
        The fit that this task has submitted.
    """

    def __init__(self, function, callback, scheduler):
        self.function = function
        self.callback = callback
        self.scheduler = scheduler
        self.is_done = False
        self.result = self.error = None
        self.waiter = self.job = None
        self._thread: Any = None
        self._warnings = _WarningsState()
        self._resumed = threading.Semaphore(0)
        self._paused = threading.Event()
        self._error_to_raise = None

    @property
    def is_started(self):
        return self._thread is not None

    def resume(self, error=None):
        """Run the task until it pauses or ends. If an error is passed, raise it in the task."""
        caller = _WarningsState()
        self._error_to_raise = error
        self._paused.clear()
        if self.is_started:
            self._warnings.restore()
            self._resumed.release()
        else:
            thread = threading.Thread(target=self._run, name="torchmlp-task", daemon=True)
            thread.start()  # may fail, then the task is not started
            self._thread = thread
        try:
            self._paused.wait()
        except BaseException:  # raised by a signal handler of the user
            self.interrupt()
            self._paused.wait()
            raise
        finally:
            self._warnings = _WarningsState()
            caller.restore()
        if self.is_done:
            self._thread.join()

    def interrupt(self):
        """Raise KeyboardInterrupt in the task as soon as it executes Python code."""
        if not self.is_started:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
        )

    def pause(self):
        """Return control to the thread that resumed the task, and wait to be resumed again."""
        self._paused.set()
        self._resumed.acquire()
        if self._error_to_raise is not None:
            raise self._error_to_raise

    def _run(self):
        _local.task, _local.scheduler = self, self.scheduler
        try:
            with queue_of_thread(self._submit):
                self.result = self.function()
            self.callback(self)
        except BaseException as error:
            self.error = error
        finally:
            self.is_done = True
            self.function = self.callback = None
            self._paused.set()

    def _submit(self, job):
        """Submit a fit and wait until it is trained."""
        self.job = job
        self.scheduler.add_waiting(self)
        try:
            self.pause()
        finally:
            self.job = None  # releases its data


class _Scheduler:
    """Runs tasks one at a time, and trains the fits that they submit.

    Parameters
    ----------
    max_fits : int
        Maximum number of fits that wait to be trained.
    max_memory : int
        The waiting fits are trained when `Job.n_bytes` reaches this sum.
    n_workers : int
        Number of threads that train.
    """

    def __init__(self, max_fits, max_memory, n_workers):
        self.max_fits = max_fits
        self.max_memory = max_memory
        self.n_workers = n_workers
        self._new = []  # heap of (-level, number, task): nested tasks first, in order of addition
        self._ready: deque[_Task] = deque()
        self._waiting = []  # tasks that have submitted a fit
        self._numbers = itertools.count()
        self._running = None
        self._interrupted = threading.Event()

    def add(self, task, level):
        """Add a task that has not started, of a call at a nesting level."""
        heapq.heappush(self._new, (-level, next(self._numbers), task))

    def add_waiting(self, task):
        """Add a task that has submitted a fit."""
        self._waiting.append(task)

    def run_until_done(self, task):
        """Run tasks until a given one is done. Called by the thread of the outermost call."""
        with self._deferred_interrupts():
            while not task.is_done:
                if self._ready:
                    self._run(self._ready.popleft())
                elif self._new and self._has_room():
                    self._run(heapq.heappop(self._new)[-1])
                else:
                    self._train()
                if self._interrupted.is_set():
                    raise KeyboardInterrupt

    @contextlib.contextmanager
    def _deferred_interrupts(self):
        """Let Ctrl-C interrupt the running task or the training, but not the scheduler itself."""
        default = signal.default_int_handler
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) is not default:
            yield
            return
        self._interrupted.clear()
        signal.signal(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, default)

    def _on_interrupt(self, signal_number, frame):
        self._interrupted.set()
        if self._running is not None:
            self._running.interrupt()

    def _resume(self, task, error=None):
        caller, self._running = self._running, task
        try:
            task.resume(error)
        finally:
            self._running = caller  # a task, if it cancels the tasks of a nested call

    def _run(self, task):
        self._resume(task)
        if task.is_done and task.waiter is not None:
            self._ready.append(task.waiter)

    def _has_room(self):
        n_bytes = sum(task.job.n_bytes for task in self._waiting)
        return len(self._waiting) < self.max_fits and n_bytes < self.max_memory

    def _train(self):
        tasks, self._waiting = self._waiting, []
        train_jobs([task.job for task in tasks], self.n_workers, self._interrupted)
        self._ready += tasks

    def cancel(self, tasks, error):
        """End tasks. The error is raised in those that have started, where they wait."""
        with self._deferred_interrupts():
            for task in tasks:
                while task.is_started and not task.is_done:
                    self._resume(task, error)
                task.is_done = True
        self._new = [entry for entry in self._new if not entry[-1].is_done]
        heapq.heapify(self._new)
        self._ready = deque(task for task in self._ready if not task.is_done)
        self._waiting = [task for task in self._waiting if not task.is_done]


class TorchMLPBackend(ParallelBackendBase):
    """joblib backend that trains the networks of many fits together.

    It is registered under the name "torchmlp" when `torchmlp` is imported. Use it through
    ``joblib.parallel_config(backend="torchmlp")``.

    Parameters
    ----------
    max_fits : int, default=512
        Maximum number of fits that wait to be trained together.
    max_memory : int, default=1 << 28
        The waiting fits are trained when their data, weights and solver states reach this size, in
        bytes. Other arrays that a task holds, such as its copy of X before preprocessing, are not
        counted.
    nesting_level, inner_max_num_threads : int, default=None
        See `joblib.parallel.ParallelBackendBase`.

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
        self._calls: list[list[_Task]] = []  # the tasks of each running `Parallel` call
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
        """Begin a `Parallel` call. The outermost call of a thread creates the scheduler."""
        if getattr(_local, "scheduler", None) is None:
            _local.scheduler = _Scheduler(self.max_fits, self.max_memory, self._n_workers)
            _local.owner = self
        self._calls.append([])

    def stop_call(self) -> None:
        """End a `Parallel` call."""
        self._calls.pop()
        if getattr(_local, "owner", None) is self and not self._calls:
            _local.scheduler = _local.owner = None

    def submit(self, func: Callable, callback: Callable | None = None) -> Any:
        """Add a task. It starts when a result is retrieved."""
        task = _Task(func, callback, _local.scheduler)
        self._calls[-1].append(task)
        task.scheduler.add(task, self.nesting_level or 0)
        return task

    def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
        """Run tasks until `out` is done, and return its result."""
        current = getattr(_local, "task", None)
        if current is None:
            out.scheduler.run_until_done(out)
        else:
            while not out.is_done:
                out.waiter = current
                current.pause()
        result, error = out.result, out.error
        out.result = out.error = None
        if error is not None:
            raise error
        return result

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the tasks of the current call."""
        if self._calls:
            _local.scheduler.cancel(reversed(self._calls[-1]), _Cancelled())

    def get_nested_backend(self) -> tuple["TorchMLPBackend", None]:
        """Return the backend for `Parallel` calls inside a task. It uses the same scheduler."""
        level = (self.nesting_level or 0) + 1
        return TorchMLPBackend(level, max_fits=self.max_fits, max_memory=self.max_memory), None


register_parallel_backend("torchmlp", TorchMLPBackend)
