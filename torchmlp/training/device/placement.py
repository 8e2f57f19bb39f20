"""Choice of the device, the dtype and the number of threads."""

import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

# Below these limits, a second thread, or rounding to bfloat16 on a CPU, does not save time.
THREADS_PAY_OFF = 1 << 24  # multiply-adds of a matrix product, times the item size
BFLOAT16_PAYS_OFF = 1 << 25  # multiply-adds of the forward pass of a step

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.float32}
_PROBES: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def resolve_device(device):
    """Return the torch.device for ``device``, which may be "auto".

    Parameters
    ----------
    device : str or torch.device
        "auto" is the CPU, even if a GPU is available.

    Raises
    ------
    ValueError
        If the device is unknown or not available.
    """
    resolved = _known_device(device)
    if not is_available(resolved):
        raise ValueError(
            f"device={str(device)!r} is not available with torch {torch.__version__} on this "
            "machine. Use device='cpu', or install a build of torch that supports the device."
        )
    return resolved


def _known_device(device):
    try:
        return torch.device("cpu" if device == "auto" else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a valid torch device. Use 'auto', 'cpu', 'cuda', 'cuda:1' "
            "or 'mps'."
        ) from error


def is_available(device):
    """Return whether torch can use this device on this machine."""
    if not _PROBES.get(device.type, lambda: False)():
        return False
    return device.type != "cuda" or (device.index or 0) < torch.cuda.device_count()


def prediction_device(device, dtype):
    """Return the device for predictions: `device`, or the CPU if that is not available.

    Parameters
    ----------
    device : str or torch.device
    dtype : numpy.dtype
    """
    wanted = _known_device(device)
    usable = is_available(wanted) and not (wanted.type == "mps" and dtype == np.float64)
    return wanted if usable else torch.device("cpu")


def resolve_dtype(dtype, X_dtype, device, work):
    """Return the dtype of the weights and that of the matrix products.

    Parameters
    ----------
    dtype : {"auto", "float64", "float32", "bfloat16"}
    X_dtype : numpy.dtype
    device : torch.device
    work : int
        Multiply-adds of the forward pass of one step.

    Raises
    ------
    ValueError
        If the device does not support float64.
    """
    if dtype == "auto":
        dtype = np.dtype(X_dtype).name if device.type == "cpu" else "float32"
    if dtype == "float64" and device.type == "mps":
        raise ValueError(
            "device='mps' does not support dtype='float64'. Use dtype='float32' or device='cpu'."
        )
    low = dtype == "bfloat16" and _bfloat16_pays_off(device, work)
    return DTYPES[dtype], torch.bfloat16 if low else DTYPES[dtype]


def _bfloat16_pays_off(device, work):
    if device.type != "cpu":
        return True
    features = torch.cpu.get_capabilities()
    has_instructions = any(there for name, there in features.items() if name.endswith("bf16"))
    return has_instructions and work >= BFLOAT16_PAYS_OFF


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
    worth_it = work * dtype.itemsize >= THREADS_PAY_OFF and not _forked
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


def synchronize(device):
    """Wait until a device has finished all work that was launched on it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
