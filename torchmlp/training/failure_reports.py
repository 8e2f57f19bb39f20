"""Reports of the processes of a fit about its failure, and the error that follows from them."""

import contextlib
import json
import time
from typing import Any

# Maximum time in seconds that a process waits for the reports of the others, after it has failed or
# lost the connection.
MAX_WAIT = 10.0
_INTERVAL = 0.05  # in seconds, between two looks at the store
# A process has waited for the whole timeout if it has waited for this share of it.
_WHOLE = 0.9


class FailureReports:
    """Reports of failures, which the processes exchange when their connections are closed.

    A process reports that it has failed, or that it has lost the connection to the others. It
    confirms when it needs the reports of the others no longer.

    Parameters
    ----------
    store : torch.distributed.Store
        Holds the reports. It does not exist anymore if process 0, which usually holds it, has
        ended.
    rank : int
        Index of this process.
    world_size : int
        Number of processes.
    """

    def __init__(self, store, rank, world_size):
        self.rank = rank
        self.world_size = world_size
        self._store = store
        self._known: dict[int, tuple[str, Any]] = {}

    def write_failed(self, error):
        """Report that this process has failed."""
        self._write("report", ["failed", f"{type(error).__name__}: {error}"])

    def write_lost(self, seconds):
        """Report that this process has lost the connection after some seconds of waiting."""
        self._write("report", ["lost", seconds])

    def read(self):
        """Return the reports so far, a dict of rank to (kind, content).

        Raises
        ------
        RuntimeError
            If the store does not exist anymore.
        """
        for rank in range(self.world_size):
            key = f"report {rank}"
            if rank not in self._known and self._store.check([key]):
                kind, content = json.loads(self._store.get(key))
                self._known[rank] = kind, content
        return self._known

    def wait(self, for_all):
        """Wait until one process has reported that it failed, or until all have reported.

        Parameters
        ----------
        for_all : bool
            Whether to wait until all have reported in any case, at most `MAX_WAIT` seconds.

        Returns
        -------
        reports : dict of int to (str, object)
        store_lost : bool
            Whether the store does not exist anymore.
        """
        try:
            for _ in _attempts():
                reports = self.read()
                if len(reports) == self.world_size or (_failures(reports) and not for_all):
                    break
        except RuntimeError:
            return self._known, True
        return self._known, False

    def confirm(self):
        """Tell the others that this process needs the reports no longer."""
        self._write("confirmed", True)

    def wait_for_confirmations(self, ranks):
        """Wait until these processes have confirmed, at most `MAX_WAIT` seconds."""
        keys = [f"confirmed {rank}" for rank in ranks]
        with contextlib.suppress(RuntimeError):
            for _ in _attempts():
                if self._store.check(keys):
                    return

    def _write(self, key, value):
        with contextlib.suppress(RuntimeError):
            self._store.set(f"{key} {self.rank}", json.dumps(value))


def explanation(reports, store_lost, world_size, timeout):
    """Return the text of the error for a lost connection.

    Parameters
    ----------
    reports, store_lost
        See `FailureReports.wait`.
    world_size : int
    timeout : float
        Maximum time in seconds that a process waits for the others.
    """
    if failed := _failures(reports):
        return f"{' '.join(failed)} The other processes cannot continue without it."
    # Without the store, the reports of the others are not known.
    missing = [0] if store_lost else [rank for rank in range(world_size) if rank not in reports]
    if missing:
        return (
            f"{described(missing).capitalize()} did not answer: killed, out of memory, or slower "
            "than the timeout. See its output."
        )
    if late := _late(reports, timeout):
        return (
            f"{described(late).capitalize()} did not answer within the timeout. Increase the "
            "timeout of data_parallel if it does more work than the others."
        )
    return (
        "The connection between the processes was lost, although all are running. Check the "
        "network."
    )


def described(ranks):
    """Return the name of one or more processes."""
    names = ", ".join(map(str, ranks))
    return f"process {names}" if len(ranks) == 1 else f"processes {names}"


def _attempts():
    """Yield at intervals until `MAX_WAIT` has passed."""
    end = time.monotonic() + MAX_WAIT
    yield
    while time.monotonic() < end:
        time.sleep(_INTERVAL)
        yield


def _failures(reports):
    """Return a sentence for each process that has failed."""
    return [
        f"Process {rank} failed: {content.rstrip('.')}."
        for rank, (kind, content) in sorted(reports.items())
        if kind == "failed"
    ]


def _late(reports, timeout):
    """Return the processes that began to wait when others had waited for most of the timeout."""
    waits = {rank: seconds for rank, (_, seconds) in reports.items()}
    longest = max(waits.values())
    if longest < _WHOLE * timeout:
        return []
    return [rank for rank, seconds in waits.items() if seconds < longest / 2]
