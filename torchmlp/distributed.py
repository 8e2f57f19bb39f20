"""One fit on many processes, on one machine or on many."""

import atexit
import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from numbers import Real
from typing import NamedTuple

import torch
import torch.distributed as dist

from torchmlp.training.processes import activated, connect, failures_reported

__all__ = ["data_parallel"]

_LAUNCHED = ("RANK", "WORLD_SIZE")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


class ProcessInfo(NamedTuple):
    """What `data_parallel` yields, in the terms of `torch.distributed`.

    Attributes
    ----------
    rank : int
        Index of this process.
    world_size : int
        Number of processes.
    """

    rank: int
    world_size: int


@contextlib.contextmanager
def data_parallel(*, rows: str = "shared", timeout: float = 600.0) -> Iterator[ProcessInfo]:
    """Share each fit in a ``with`` block among the processes that a launcher has started.

    All processes run the same script. Each computes the gradient of its share of the rows of a
    batch, and the gradients are summed before the solver's step. At the end, all processes have the
    same model, bit for bit. Without a launcher there is one process, and nothing changes.

    Parameters
    ----------
    rows : {'shared', 'own'}, default='shared'
        - 'shared': all processes pass the same X and y, which may be memory-mapped. Each process
          gathers its share of the rows of a batch. The result is that of one process, up to
          rounding.
        - 'own': each process passes rows of its own, at least one. The classes, the statistics of y
          and the weights are those of all rows. All rows are used once per epoch, and each batch
          has the same proportion of the rows of each process.

    timeout : float, default=600.0
        Maximum time in seconds that a process waits for the others.

    Yields
    ------
    ProcessInfo
        A named tuple with `rank`, the index of this process, and `world_size`, the number of
        processes.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if the variables of the launcher are incomplete. In `fit`, if
        the processes pass other parameters or columns.
    RuntimeError
        If a process fails or does not answer in the block. The message says which, and why. Also if
        the processes cannot be connected within `timeout` at the beginning of the block.

    See Also
    --------
    torchmlp.callbacks.Checkpoint : Continues a fit after a failure. Process 0 writes the file.
    torchmlp.joblib_backend.TorchMLPBackend : Trains many small networks together.

    Notes
    -----
    - A process group of `torch.distributed` is used if there is one, as in Ray Train. Otherwise it
      is created from the variables of the launcher, RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT,
      and destroyed when the process exits. CPUs use the backend gloo and GPUs nccl.
      With ``device="cuda"``, a process uses the GPU with the index LOCAL_RANK. Not yet tested on a
      GPU.
    - `batch_size` is the number of rows of a batch over all processes. With ``rows='own'``, batches
      have ``n_rows / ceil(n_rows / batch_size)`` rows, with a difference of one row per process.
    - With ``random_state=None``, or an instance, the random numbers are those of process 0.
    - All methods that train must be called by all processes, in the same order, in the thread that
      entered the block. A search or a cross-validation with ``n_jobs=None`` does that. Predictions
      and estimators of other libraries are not affected. Workers of joblib that are new processes
      do not take part: each makes an ordinary fit.
    - After an error in `fit`, the block cannot be used for another fit, but a new block can.
    - A process that fails before a block or between two blocks cannot tell the others. At the
      beginning of the next block, they wait for `timeout` seconds and then raise an error.
    - The ensembles of `torchmlp.ensemble` are not supported. With ``rows="own"``, neither are a
      scorer for early stopping, callbacks other than `Checkpoint`, and ``class_weight="balanced"``
      for multilabel targets. Without X_val, each process splits its own rows for early stopping.

    Examples
    --------
    With ``torchrun --nproc-per-node 4 train.py``, each process computes a quarter of each batch:

    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.distributed import data_parallel
    >>> X, y = load_iris(return_X_y=True)
    >>> with data_parallel() as processes:
    ...     clf = TorchMLPClassifier(max_iter=500, random_state=0).fit(X, y)
    ...     if processes.rank == 0:
    ...         print(f"{processes.world_size} process, accuracy {clf.score(X, y):.2f}")
    1 process, accuracy 0.98
    """
    _check(rows, timeout)
    with contextlib.ExitStack() as stack:
        if not dist.is_available() or not _is_launched():
            yield ProcessInfo(0, 1)
            return
        with _explaining_connection_errors(timeout):
            if not dist.is_initialized():
                _initialize(timeout)
            processes = connect(rows == "own", float(timeout))
        stack.callback(processes.close)
        stack.enter_context(activated(processes if processes.world_size > 1 else None))
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if local_rank < torch.cuda.device_count():
            stack.enter_context(torch.cuda.device(local_rank))
        with failures_reported(processes):
            yield ProcessInfo(processes.rank, processes.world_size)
            if not processes.failed:
                processes.all_gather_objects("left the data_parallel block", None)


def _check(rows, timeout):
    if rows not in ("shared", "own"):
        raise ValueError(f"rows={rows!r} must be 'shared' or 'own'.")
    is_number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not is_number or not 0 < float(timeout) < 1e9:
        raise ValueError(f"timeout={timeout!r} must be a positive number of seconds.")


def _is_launched():
    """Return whether a launcher or a framework has started this process as one of several."""
    if dist.is_initialized():
        return True
    if not all(os.environ.get(name) for name in _LAUNCHED):
        return False
    if missing := [name for name in _ADDRESS if not os.environ.get(name)]:
        raise ValueError(
            f"The environment variables {_LAUNCHED} are set, but not {missing}. Start the script "
            "with torchrun, or set all four variables."
        )
    return True


def _initialize(timeout):
    """Initialize torch.distributed, and end it when the process exits."""
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
    limit = timedelta(seconds=float(timeout))
    dist.init_process_group(backend, timeout=limit, **_rendezvous(limit))
    # Not at the end of the block: a process could connect to the old group in the next block.
    atexit.register(_leave_group)


def _rendezvous(limit):
    """Return the arguments of `init_process_group` with which restarts by torchrun work.

    After a restart, torchrun still has the store of the first attempt. It contains the addresses of
    processes that have ended (issue 135712 of PyTorch). Therefore, the keys in the store begin with
    the number of the attempt. On several machines these numbers may differ, and no arguments are
    returned; see the documentation.
    """
    environment = os.environ
    keeps_store = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    rank, size = (int(environment[name]) for name in _LAUNCHED)
    if not keeps_store or environment.get("LOCAL_WORLD_SIZE") != str(size):
        return {}
    address, port = (environment[name] for name in _ADDRESS)
    store = dist.TCPStore(address, int(port), size, is_master=False, timeout=limit)
    attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
    return {
        "store": dist.PrefixStore(f"attempt {attempt}", store),
        "rank": rank,
        "world_size": size,
    }


@contextlib.contextmanager
def _explaining_connection_errors(timeout):
    """Add the likely causes, and the remedies, to errors raised in the `with` block."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise RuntimeError(
            f"The processes could not be connected (timeout={timeout}): {reason}. All "
            "processes must be running, and must enter the data_parallel block within the timeout. "
            "If a process fails outside of a block, the others are not told: see its output. "
            "Otherwise, check MASTER_ADDR and MASTER_PORT, or increase the timeout."
        ) from error


def _leave_group():
    with contextlib.suppress(Exception):  # if it does not exist anymore
        dist.destroy_process_group()
