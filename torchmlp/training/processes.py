"""The processes of a fit on many processes: sums, broadcasts, and what happens after a failure."""

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

from torchmlp.training.failure_reports import FailureReports, described, explanation

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
    timeout : float
        Maximum time in seconds that a process waits for the others.

    Attributes
    ----------
    rank : int
        Index of this process.
    world_size : int
        Number of processes.
    failed : bool
        Whether this process has failed or has lost the connection to the others.
    reports : FailureReports
    """

    def __init__(self, groups, store, own_rows, timeout):
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.own_rows = own_rows
        self.timeout = timeout
        self.owner = os.getpid(), threading.get_ident()
        self.failed = False
        self.reports = FailureReports(store, self.rank, self.world_size)
        self._groups = groups

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

    def counts(self, n):
        """Return the integers that the processes pass, as an array of shape (world_size,)."""
        counts = np.zeros(self.world_size, np.int64)
        counts[self.rank] = n
        return self.sum(counts)

    def share(self, n_rows):
        """Return the part of n rows that this process computes, as a slice."""
        start, stop = (n_rows * (self.rank + i) // self.world_size for i in (0, 1))
        return slice(start, stop)

    def broadcast_numbers(self, values):
        """Return the numbers of process 0, as a float64 array."""
        return self.broadcast_(torch.tensor(values, dtype=torch.float64)).numpy()

    def broadcast_bytes(self, data=b""):
        """Return the bytes that process 0 passes. What the other processes pass is ignored."""
        size = int(self.broadcast_numbers([len(data)])[0])
        buffer = torch.zeros(size, dtype=torch.uint8)
        if self.rank == 0 and size:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return self.broadcast_(buffer).numpy().tobytes() if size else b""

    def all_gather_rows(self, array):
        """Return the rows of all processes, in the order of the processes."""
        return self._gather(array)[0]

    def all_gather_objects(self, step, value):
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
        parts = [json.loads(part.tobytes()) for part in np.split(*self._gather(text))]
        steps, values = zip(*parts, strict=True)
        if len(set(steps)) > 1:
            descriptions = "; ".join(
                f"{described([rank for rank, other in enumerate(steps) if other == one])} {one}"
                for one in sorted(set(steps))
            )
            raise RuntimeError(
                f"The processes do different things: {descriptions}. Inside data_parallel, all "
                "processes must call the same methods in the same order."
            )
        return list(values)

    def _gather(self, array):
        """Return the rows of all processes, and the positions at which to split them."""
        stops = np.cumsum(self.counts(len(array)))
        own = slice(int(stops[self.rank]) - len(array), int(stops[self.rank]))
        whole = np.zeros((int(stops[-1]), *array.shape[1:]), array.dtype)
        whole[own] = array
        is_bool = array.dtype == bool  # has no sum
        self.sum_(torch.from_numpy(whole.view(np.uint8) if is_bool else whole))
        return whole, stops[:-1]

    def _run(self, collective, tensor, *options):
        if self.failed:
            raise RuntimeError(
                "An earlier call failed in this data_parallel block, which cannot continue. Enter "
                "a new data_parallel block in all processes."
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

        Returns when the others have read it, or after `MAX_WAIT` seconds.
        """
        if self.failed:
            return
        self.reports.write_failed(error)
        self.close()
        self.reports.confirm()
        # If this process ends at once, the report may be lost with it.
        self.reports.wait_for_confirmations(range(self.world_size))

    def close(self):
        """Close the connections, so that processes that wait for this one continue."""
        self.failed = True
        _destroy(self._groups)

    def _explanation(self, seconds):
        """Return the error for a connection that was lost after some seconds of waiting."""
        self.reports.write_lost(seconds)
        self.close()  # the others also wait for this process
        reports, store_lost = self.reports.wait(for_all=self.rank == 0)
        self.reports.confirm()
        if self.rank == 0:  # the store may end with this process
            self.reports.wait_for_confirmations(reports)
        text = explanation(reports, store_lost, self.world_size, self.timeout)
        return RuntimeError(f"{text} (This is process {self.rank}.)")


def _destroy(groups):
    """Destroy process groups, and remove them from a dict."""
    while groups:
        _, group = groups.popitem()
        with contextlib.suppress(Exception):
            dist.destroy_process_group(group)


def has_own_rows(processes):
    """Return whether a fit has processes with rows of their own."""
    return processes is not None and processes.own_rows


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

    Raises
    ------
    RuntimeError
        If another process does not connect. The message is that of torch.
    """
    limit = timedelta(seconds=timeout)
    groups: dict[str, Any] = {}
    try:
        groups["cpu"] = dist.new_group(backend="gloo", timeout=limit)
        if "nccl" in dist.get_backend_config():
            groups["cuda"] = dist.new_group(backend="nccl", timeout=limit)
        # The name of the block in the store. The broadcast also checks the connection.
        name = torch.tensor([time.time_ns()])
        groups["cpu"].broadcast(name, 0).wait()  # see `Processes._run`
    except BaseException:
        _destroy(groups)
        raise
    default = dist.distributed_c10d._get_default_store()
    store = dist.PrefixStore(f"torchmlp {name.item()}", default)
    return Processes(groups, store, own_rows, timeout)
