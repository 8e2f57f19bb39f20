"""The processes of a fit on many processes: sums, broadcasts, and the reports of failures."""

import contextlib
import json
import os
import threading
import time
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

# Seconds for which a process that has lost the connection waits for the reports of the others, and
# for which a process that failed waits until the others have read its report.
MAX_WAIT = 10.0
_POLL = 0.05

_active: "Processes | None" = None


class Processes:
    """The processes that share a fit, and the operations that all of them call together.

    Parameters
    ----------
    groups : dict of str to ProcessGroup
        The process group for tensors of each type of device.
    store : torch.distributed.Store
        Holds the reports of failures.
    own_rows : bool
        Whether each process has rows of its own. Otherwise, all have the same rows.

    Attributes
    ----------
    rank : int
        Index of this process.
    world_size : int
        Number of processes.
    """

    def __init__(self, groups, store, own_rows):
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.own_rows = own_rows
        self.owner = os.getpid(), threading.get_ident()
        self._groups = groups
        self._store = store
        self._failed = False

    def sum_(self, tensor):
        """Add up a tensor over the processes, in place. Return it."""
        self._run("allreduce", tensor)
        return tensor

    def broadcast_(self, tensor):
        """Overwrite a tensor with that of process 0. Return it."""
        self._run("broadcast", tensor, 0)
        return tensor

    def sum(self, values):
        """Return the sums of numbers over the processes, as a float64 or int64 array."""
        values = np.asarray(values)
        dtype = np.float64 if values.dtype.kind == "f" else np.int64
        return self.sum_(torch.from_numpy(values.astype(dtype))).numpy()

    def of_first(self, values):
        """Return the numbers of process 0, as a float64 array."""
        return self.broadcast_(torch.tensor(values, dtype=torch.float64)).numpy()

    def counts(self, n):
        """Return the integers that the processes pass, as an array of shape (world_size,)."""
        counts = np.zeros(self.world_size, np.int64)
        counts[self.rank] = n
        return self.sum(counts)

    def concatenated(self, array):
        """Return the rows of all processes, in the order of the processes."""
        stops = np.cumsum(self.counts(len(array)))
        own = slice(int(stops[self.rank]) - len(array), int(stops[self.rank]))
        whole = np.zeros((int(stops[-1]), *array.shape[1:]), array.dtype)
        whole[own] = array
        is_bool = array.dtype == bool  # has no sum
        self.sum_(torch.from_numpy(whole.view(np.uint8) if is_bool else whole))
        return whole

    def share(self, n_rows):
        """Return the part of n rows that this process computes, as a slice."""
        start, stop = (n_rows * (self.rank + i) // self.world_size for i in (0, 1))
        return slice(start, stop)

    def broadcast(self, data):
        """Return the bytes that process 0 passes. The other processes pass anything."""
        data = data if self.rank == 0 else b""
        size = int(self.of_first([len(data)])[0])
        buffer = torch.zeros(size, dtype=torch.uint8)
        if self.rank == 0 and size:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return self.broadcast_(buffer).numpy().tobytes() if size else b""

    def exchange(self, step, value):
        """Return what the processes pass, as a list.

        Parameters
        ----------
        step : str
            What the process is doing, for the error if the processes do different things.
        value : object
            Numbers, strings, lists and dicts with strings as keys.

        Raises
        ------
        RuntimeError
            If the steps differ.
        """
        text = np.frombuffer(json.dumps([step, value]).encode(), np.uint8)
        stops = np.cumsum(self.counts(len(text)))
        whole = self.concatenated(text).tobytes()
        parts = [part.tobytes() for part in np.split(np.frombuffer(whole, np.uint8), stops[:-1])]
        steps, values = zip(*map(json.loads, parts), strict=True)
        if len(set(steps)) > 1:
            described = "; ".join(
                f"{_processes([rank for rank, other in enumerate(steps) if other == one])} {one}"
                for one in sorted(set(steps))
            )
            raise RuntimeError(
                f"The processes do different things: {described}. Inside data_parallel, all "
                "processes must call the same methods in the same order."
            )
        return list(values)

    def _run(self, collective, tensor, *options):
        if self._failed:
            raise RuntimeError(
                "An earlier call failed in this data_parallel block, which cannot continue. Leave "
                "the block, and start all processes again."
            )
        begin = time.monotonic()
        try:
            # gloo closes its connections when there is no reference to the group. The functions of
            # torch.distributed would leave references in the traceback of an exception.
            device_type = tensor.device.type if tensor.device.type in self._groups else "cpu"
            getattr(self._groups[device_type], collective)(tensor, *options).wait()
        except RuntimeError as error:
            raise self._explanation(time.monotonic() - begin) from error

    def fail(self, error):
        """Report an error of this process to the others, which are waiting for it.

        Returns when the others have noticed it, or after `MAX_WAIT` seconds.
        """
        if self._failed:
            return
        self._write("failed", f"{type(error).__name__}: {error}")
        self.close()
        # If this process ends at once, the reports may be lost with it.
        self._wait(lambda reports: len(reports) == self.world_size)

    def close(self):
        """Close the connections, so that processes that wait for this one continue."""
        self._failed = True
        while self._groups:
            _, group = self._groups.popitem()
            with contextlib.suppress(Exception):
                dist.destroy_process_group(group)

    def _explanation(self, seconds):
        """Return the error for a connection that was lost after some seconds of waiting."""
        self._write("lost", seconds)
        self.close()  # the others also wait for this process
        reports = self._wait(
            lambda reports: (
                len(reports) == self.world_size
                or any(kind == "failed" for kind, _ in reports.values())
            )
        )
        failed = [
            f"Process {rank} failed: {text.rstrip('.')}."
            for rank, (kind, text) in sorted(reports.items())
            if kind == "failed"
        ]
        if failed:
            text = f"{' '.join(failed)} The other processes cannot continue without it."
        elif missing := [rank for rank in range(self.world_size) if rank not in reports]:
            text = (
                f"{_processes(missing).capitalize()} did not answer: killed, out of memory, or "
                "slower than the timeout. See its output."
            )
        elif late := _late(reports):
            text = (
                f"{_processes(late).capitalize()} did not answer within the timeout. Increase the "
                "timeout of data_parallel if it does more work than the others."
            )
        else:
            text = (
                "The connection between the processes was lost, although all are running. Check "
                "the network."
            )
        return RuntimeError(f"{text} (This is process {self.rank}.)")

    def _write(self, kind, text):
        with contextlib.suppress(Exception):  # the store is gone with process 0
            self._store.set(f"report {self.rank}", json.dumps([kind, text]))

    def _wait(self, is_done):
        """Return the reports, a dict of rank to (kind, text), when they are done or time is up."""
        reports: dict[int, tuple[str, Any]] = {}
        end = time.monotonic() + MAX_WAIT
        while not is_done(reports) and time.monotonic() < end:
            try:
                for rank in range(self.world_size):
                    key = f"report {rank}"
                    if rank not in reports and self._store.check([key]):
                        reports[rank] = tuple(json.loads(self._store.get(key)))
            except Exception:
                break  # the store is gone with process 0
            time.sleep(_POLL)
        reports.setdefault(self.rank, ("lost", 0.0))
        return reports


def _late(reports):
    """Return the processes that began to wait when the others had waited for long."""
    waited = {rank: seconds for rank, (_, seconds) in reports.items()}
    return [rank for rank, seconds in waited.items() if seconds < max(waited.values()) / 2]


def _processes(ranks):
    names = ", ".join(map(str, ranks))
    return f"process {names}" if len(ranks) == 1 else f"processes {names}"


def active_processes() -> Any:
    """Return the `Processes` of the fits in this thread, or None outside of `data_parallel`.

    Raises
    ------
    RuntimeError
        In another thread, or in a child process: its fits are not in the same order everywhere.
    """
    if _active is not None and _active.owner != (os.getpid(), threading.get_ident()):
        raise RuntimeError(
            "Inside data_parallel, fit must be called in the thread that entered the block. Search "
            "and cross-validate with n_jobs=None and without a joblib backend: each fit then uses "
            "all processes."
        )
    return _active


@contextlib.contextmanager
def activated(processes):
    """Make the fits in the `with` block use these processes.

    Raises
    ------
    RuntimeError
        If another block is active.
    """
    global _active
    if _active is not None:
        raise RuntimeError("data_parallel blocks cannot be nested. Leave the outer block first.")
    _active = processes
    try:
        yield
    finally:
        _active = None


@contextlib.contextmanager
def failures_reported(processes):
    """Report an exception that leaves the `with` block to the other processes, if there are any."""
    try:
        yield
    except BaseException as error:
        if processes is not None:
            processes.fail(error)
        raise


def connect(own_rows, timeout):
    """Return the `Processes` of the default process group of torch.distributed.

    Parameters
    ----------
    own_rows : bool
    timeout : float
        Maximum time in seconds that a process waits for the others.
    """
    limit = timedelta(seconds=timeout)
    groups = {"cpu": dist.new_group(backend="gloo", timeout=limit)}
    if "nccl" in dist.get_backend_config():
        groups["cuda"] = dist.new_group(backend="nccl", timeout=limit)
    name = np.zeros(1, np.int64)
    if dist.get_rank() == 0:
        name[0] = time.time_ns()
    dist.broadcast(torch.from_numpy(name), 0, group=groups["cpu"])  # also checks the connection
    default = dist.distributed_c10d._get_default_store()
    return Processes(groups, dist.PrefixStore(f"torchmlp {name[0]}", default), own_rows)
