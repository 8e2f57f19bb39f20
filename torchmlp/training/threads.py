"""Number of threads of torch and of BLAS, in every fit and prediction on the CPU."""

import contextlib
import functools
import os
import threading
import weakref
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

# Multiply-adds of a matrix product, times the item size, up to which one thread is used. More
# threads save little time here, and lose much of it if other processes use the processors.
MIN_WORK_FOR_THREADS = 1 << 24

_lock = threading.Lock()
_local = threading.local()  # guard: weak reference to the `one_thread` that this thread is in
_entered: set[int] = set()  # identities of the guards, in all Python threads
_found = 1  # number of threads that the first of them found
_forked = False


def _after_fork_in_child():
    # OpenMP's threads do not exist in the child, and torch would wait for them forever. The lock
    # may have been held by a Python thread that does not exist either, and the child may be
    # inside a fit that uses several threads.
    global _forked, _lock, _local
    _forked, _lock, _local = True, threading.Lock(), threading.local()
    _entered.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Guard:
    """A context manager whose `_restore` takes effect also if an interrupt cuts `__exit__` short.

    `_restore` may be called repeatedly: when the body ends, and when the object is deleted.
    """

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._restore()

    def __del__(self):
        self._restore()

    def _restore(self):
        raise NotImplementedError


class one_thread(_Guard):
    """Run the body with a single thread of torch, and restore the number of threads.

    Every call of torch in `fit` and `predict` runs inside it: kernels that use several threads
    hang in a forked child, and are slower for small tensors. `n_threads` raises the number for
    large work.

    torch has one number per Python thread, and a new Python thread inherits the last number that
    was set. A new Python thread may therefore inherit the 1 of a concurrent fit. For this reason,
    all concurrent fits restore the number that the first of them found.
    """

    found = 0

    def __enter__(self):
        global _found
        if _current_guard() is not None:
            return
        found = torch.get_num_threads()
        with _lock:
            self.found = _found if _entered else found
            _found = self.found
            _entered.add(id(self))
        _local.guard = weakref.ref(self)
        torch.set_num_threads(1)

    def _restore(self):
        if self.found:
            torch.set_num_threads(self.found)
            _local.guard = None
            with _lock:
                _entered.discard(id(self))
            self.found = 0


def _current_guard():
    """Return the `one_thread` that this Python thread is in, or None."""
    reference = getattr(_local, "guard", None)
    return None if reference is None else reference()


def n_threads_for(work, dtype):
    """Return the number of threads for a computation. Call it in a `one_thread` block.

    Parameters
    ----------
    work : int
        Number of multiply-adds of the largest matrix product of a step, or of a whole prediction.
    dtype : torch.dtype or numpy.dtype
    """
    worth_it = work * dtype.itemsize > MIN_WORK_FOR_THREADS and not _forked
    return _current_guard().found if worth_it else 1


@contextlib.contextmanager
def n_threads(number):
    """Set the number of torch threads in the `with` block, inside a `one_thread` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_limited: set[int] = set()  # identities of the guards `one_blas_thread`
_limit: Any = None


@functools.cache
def _blas_beside_torchs():
    controller = ThreadpoolController()
    paths = [
        library["filepath"]
        for library in controller.info()
        if library["user_api"] == "blas" and "torch" not in library["filepath"]
    ]
    return controller.select(filepath=paths)


class one_blas_thread(_Guard):
    """Keep NumPy's and scipy's linear algebra on one thread while the body runs.

    L-BFGS uses BLAS to update vectors between two gradients. Its idle threads spin on the cores
    that the torch threads need. The limit applies to the whole process, so the first of several
    concurrent fits sets it and the last one removes it.
    """

    def __enter__(self):
        global _limit
        with _lock:
            _limited.add(id(self))
            if _limit is None:
                _limit = _blas_beside_torchs().limit(limits=1)

    def _restore(self):
        global _limit
        with _lock:
            _limited.discard(id(self))
            if not _limited and _limit is not None:
                _limit.restore_original_limits()
                _limit = None
