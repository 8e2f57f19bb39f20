"""Tasks that run in threads, one at a time, and the training of the fits that they submit.

Each task has a thread of its own. It runs until it ends or pauses, and only then another one is
resumed. The code of the tasks therefore does not need to be thread-safe, and their order is
deterministic. A task pauses when it waits for a fit, or for a task of a nested call.
"""

import contextlib
import contextvars
import ctypes
import heapq
import itertools
import os
import signal
import threading
import time
import warnings
from collections import deque
from functools import partial
from typing import Any

from torchmlp.training.jobs import Job, queue_of_thread
from torchmlp.training.scheduling import train_jobs

# A task is blocked if the process used almost no processor time in several intervals, one after
# another. It waits, for example, for a lock that another task holds. One interval is not enough,
# because the process itself may have been stopped.
INTERVAL = 0.15  # seconds
N_INTERVALS = 3
IDLE_LOAD = 0.02  # processors
GRACE = 0.5  # seconds that a blocked task has to end when it is canceled

_local = threading.local()  # task: the `Task` that runs in this thread


def current_task():
    """Return the `Task` that runs in this thread, or None."""
    return getattr(_local, "task", None)


def _after_fork_in_child():
    _local.task = None  # the threads of the scheduler and of the other tasks do not exist


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


class Task:
    """A function that runs in a thread of its own while the scheduler waits for it.

    Parameters
    ----------
    function : callable () -> object
    scheduler : Scheduler

    Attributes
    ----------
    is_done : bool
    result, error
        What the function returned or raised.
    waits_for : Job, Task or None
        What the task waits for while it is paused. None: only to be resumed.
    waiter : Task or None
        The task that waits for the end of this one.
    is_blocked : bool
        Whether the task has neither paused nor ended, but does not seem to do anything.
    """

    def __init__(self, function, scheduler):
        self.function = function
        self.scheduler = scheduler
        self.is_done = self.is_blocked = False
        self.result = self.error = None
        self.waits_for: Any = None
        self.waiter: Task | None = None
        self._context = contextvars.copy_context()  # for example, `numpy.errstate`
        self._thread: Any = None
        self._warnings = _WarningsState()
        self._resumed = threading.Semaphore(0)
        self._paused = threading.Event()
        self._error_to_raise = None

    @property
    def is_started(self):
        return self._thread is not None

    def resume(self, error=None):
        """Run the task until it pauses, ends or is blocked.

        Parameters
        ----------
        error : BaseException or None
            It is raised in the task where it paused.
        """
        caller = _WarningsState()
        self._error_to_raise = error
        self._paused.clear()
        if self.is_started:
            self._warnings.restore()
            self._resumed.release()
        else:
            run = partial(self._context.run, self._run)
            thread = threading.Thread(target=run, name="torchmlp-task", daemon=True)
            thread.start()  # may fail, then the task is not started
            self._thread = thread
        try:
            self._wait_until_paused_or_blocked()
        except BaseException:  # raised by a signal handler of the user
            self.interrupt()
            self._wait_until_paused_or_blocked()
            raise
        finally:
            self._warnings = _WarningsState()
            caller.restore()
        if self.is_done:
            self._thread.join()

    def _wait_until_paused_or_blocked(self):
        used, n_idle = time.process_time(), 0
        while n_idle < N_INTERVALS:
            if self._paused.wait(INTERVAL):
                return
            before, used = used, time.process_time()
            n_idle = n_idle + 1 if used - before < IDLE_LOAD * INTERVAL else 0
        self.is_blocked = True

    def wait_if_blocked(self, seconds):
        """Wait some time for a blocked task. Return whether it is still blocked."""
        self.is_blocked = self.is_blocked and not self._paused.wait(seconds)
        return self.is_blocked

    def interrupt(self):
        """Raise KeyboardInterrupt in the task as soon as it executes Python code."""
        if not self.is_started:
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
        )

    def wait_for(self, event):
        """Pause this task, in its own thread, until the scheduler resumes it.

        Parameters
        ----------
        event : Job, Task or None
            See `waits_for`.
        """
        self.rejoin()
        self.waits_for = event
        if isinstance(event, Task):
            event.waiter = self
        try:
            self._pause()
        finally:
            self.waits_for = None  # releases the data of a fit

    def rejoin(self):
        """Wait until no other task runs. Tasks that were blocked run beside others until then."""
        if self.is_blocked:
            self._pause()

    def _pause(self):
        self._paused.set()
        self._resumed.acquire()
        if self._error_to_raise is not None:
            raise self._error_to_raise

    def _run(self):
        _local.task = self
        try:
            with queue_of_thread(self.wait_for):
                self.result = self.function()
        except BaseException as error:
            self.error = error
        finally:
            self.is_done = True
            self.function = None
            self._paused.set()


class Scheduler:
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
        self._ready: deque[Task] = deque()
        self._waiting: list[Task] = []  # tasks that have submitted a fit
        self._blocked: list[Task] = []
        self._numbers = itertools.count()
        self._running = None
        self._interrupted = threading.Event()

    def add(self, task, level):
        """Add a task that has not started, of a call at a nesting level."""
        heapq.heappush(self._new, (-level, next(self._numbers), task))

    def run_until_done(self, task):
        """Run tasks until a given one is done. Called by the thread of the outermost call."""
        with self._deferred_interrupts():
            while not task.is_done and not self._interrupted.is_set():
                self._run_next()

    def _run_next(self):
        """Run one task, or train the fits that wait."""
        self._collect_blocked(0)
        if self._ready:
            self._run(self._ready.popleft())
        elif self._new and self._has_room() and not self._blocked:
            self._run(heapq.heappop(self._new)[-1])
        elif self._waiting:
            self._train()
        else:
            self._collect_blocked(0.01)

    def _run(self, task):
        self._resume(task)
        self._sort(task)

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
        if self._interrupted.is_set():
            raise KeyboardInterrupt

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

    def _sort(self, task):
        """Put a task that has been resumed where it belongs."""
        event = task.waits_for
        if task.is_blocked:
            self._blocked.append(task)
        elif task.is_done:
            if task.waiter is not None:
                self._ready.append(task.waiter)
        elif isinstance(event, Job):
            self._waiting.append(task)
        elif event is None or event.is_done:
            self._ready.append(task)

    def _collect_blocked(self, seconds):
        """Sort the blocked tasks that have paused or ended. Wait some time for each."""
        tasks, self._blocked = self._blocked, []
        for task in tasks:
            task.wait_if_blocked(seconds)
            self._sort(task)

    def _has_room(self):
        n_bytes = sum(task.waits_for.n_bytes for task in self._waiting)
        return len(self._waiting) < self.max_fits and n_bytes < self.max_memory

    def _train(self):
        tasks, self._waiting = self._waiting, []
        train_jobs([task.waits_for for task in tasks], self.n_workers, self._interrupted)
        self._ready += tasks

    def cancel(self, tasks, error):
        """End tasks. The error is raised in those that have started, where they wait."""
        with self._deferred_interrupts():
            for task in tasks:
                self._end(task, error)
            for task in tasks:  # those that waited for a lock can have it now
                if task.is_blocked:
                    task.interrupt()
                    task.wait_if_blocked(GRACE)
                    self._end(task, error)
                task.is_done = True
        self._new = [entry for entry in self._new if not entry[-1].is_done]
        heapq.heapify(self._new)
        self._ready = deque(task for task in self._ready if not task.is_done)
        self._waiting = [task for task in self._waiting if not task.is_done]
        self._blocked = [task for task in self._blocked if not task.is_done]

    def _end(self, task, error):
        while task.is_started and not task.is_done and not task.wait_if_blocked(0):
            self._resume(task, error)
