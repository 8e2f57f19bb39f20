"""Writes the state of a fit to the file of its `Checkpoint`, and restores it."""

import itertools
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from torchmlp.callbacks import checkpoint_file
from torchmlp.callbacks.checkpoint import split_callbacks
from torchmlp.callbacks.fingerprint import differences, digest, fingerprint
from torchmlp.training.loop import Monitor
from torchmlp.training.progress import Progress
from torchmlp.training.state_checks import check_generator, check_like, check_progress

logger = logging.getLogger(__name__)

# With ``every_seconds=None``, writing takes at most this share of the time unless that needs an
# interval over `_MAX_SECONDS`. The last write of a fit is not counted.
_MAX_SHARE = 0.005
_MIN_SECONDS, _MAX_SECONDS = 1.0, 300.0


def checkpoint_of(estimator, data, validation, resumed):
    """Return the `CheckpointMonitor` of a fit, or None without a `Checkpoint`.

    Parameters
    ----------
    estimator, data, validation, resumed
        See `fingerprint`.
    """
    checkpoint, _ = split_callbacks(estimator.callbacks)
    if checkpoint is None:
        return None
    items = fingerprint(estimator, data, validation, resumed)
    return monitor_for(checkpoint, estimator, items, resumed)


def monitor_for(checkpoint, estimator, items, resumed):
    """Return the `CheckpointMonitor` of a fit, given its `Checkpoint` and its fingerprint."""
    earlier = getattr(estimator, "loss_curve_", []) if resumed else []
    return CheckpointMonitor(checkpoint, items, estimator.max_iter, earlier)


def _file_of(checkpoint, name):
    """Return the absolute path of the file of a fit, given the name of the fit."""
    try:
        # The working directory may change.
        path = os.path.expanduser(os.fspath(checkpoint.path)).replace("{fit}", name)
        path = Path(os.path.realpath(path))
        has_folder = path.parent.is_dir()
        if has_folder:
            checkpoint_file.check_path(path, checkpoint.keep)
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ValueError(
            f"Checkpoint: path={checkpoint.path!r} cannot be used with keep={checkpoint.keep}: "
            f"{error}. Use another path."
        ) from error
    if not has_folder:
        raise ValueError(
            f"Checkpoint: the folder of path={checkpoint.path!r} does not exist. Create it."
        )
    return path


def generator_in_state(random_state, state):
    """Set the state of a generator, and return it.

    The global generator of NumPy belongs to the caller: it is replaced by a new generator.
    """
    if random_state is check_random_state(None):
        random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


def _check_content(saved):
    """Check the parts of a file that are read before the state is restored."""
    check_like({"fingerprint": {}, "initial_random_state": {}, "state": {}}, saved)
    for text in [*itertools.chain(*saved["fingerprint"].items()), saved["state"]["solver_name"]]:
        check_like("", text)
    check_progress(vars(Progress()), saved["state"]["progress"])


def _storable(row, pending):
    """Return a row of the history, with values that cannot be saved replaced.

    Add a warning for each of them.
    """
    storable = {}
    for key, value in row.items():
        try:
            checkpoint_file.dumps(value)
        except (TypeError, ValueError, RecursionError):
            value = value.tolist() if isinstance(value, torch.Tensor) else repr(value)
            message = (
                f"Checkpoint: the history has a value of type {type(row[key]).__name__} with the "
                f"key {key!r}. The file contains it as {type(value).__name__}. Record numbers, "
                "strings, lists or dicts."
            )
            if (message, UserWarning) not in pending:
                pending.append((message, UserWarning))
        storable[key] = value
    return storable


class CheckpointMonitor(Monitor):
    """Writes the state of one fit to a file, and restores it.

    Parameters
    ----------
    checkpoint : Checkpoint
    fingerprint : dict of str to str
    max_iter : int
    earlier : list of float
        Training losses of the fits that this one continues.

    Raises
    ------
    ValueError
        If the file cannot be written, for example because its folder does not exist.
    """

    def __init__(self, checkpoint, fingerprint, max_iter, earlier):
        self.checkpoint = checkpoint
        self.fingerprint = fingerprint
        self.max_iter = max_iter
        self.earlier = earlier
        self.path = _file_of(checkpoint, digest(fingerprint))
        self.saved: Any = None  # the content of the file, until it is restored
        self.initial: Any = None  # the state of the generator before the first draw
        self.was_finished = False  # whether the file is that of a fit that has ended
        self.known: Any = None  # what `_identity` returned when the file was last seen
        self.epoch = 0  # the last one that was written
        self.n_writes = self.n_failures = 0
        self.error: OSError | None = None  # the first failure
        self.next_time = time.monotonic() + self._interval(0.0)

    def begin(self, random_state):
        """Read the file. Return the generator, in its state before the first draw of the fit.

        Parameters
        ----------
        random_state : numpy.random.RandomState

        Returns
        -------
        numpy.random.RandomState
            The generator itself, or a new one in place of the global generator of NumPy, whose
            state belongs to the caller.

        Raises
        ------
        ValueError
            If the file is damaged, or is that of another fit.
        """
        checkpoint_file.remove_temporary_files(self.path)
        self.known = self._identity()
        if self.checkpoint.resume:
            self.saved = self._continuable()
        if self.saved is None:
            self.initial = random_state.get_state(legacy=False)
            return random_state
        self.initial = self.saved["initial_random_state"]
        with checkpoint_file.loading(self.path):
            check_generator(random_state.get_state(legacy=False), self.initial)
            return generator_in_state(random_state, self.initial)

    def on_train_begin(self, inputs, state):
        saved, self.saved = self.saved, None
        if saved is not None:
            # A callable that was passed as `solver` may have made another one.
            mine, theirs = state.solver.name, saved["state"]["solver_name"]
            self._check_owner({"solver": mine}, {"solver": theirs})
            with checkpoint_file.loading(self.path):
                state.load_state_dict(saved["state"])
            self.epoch = state.progress.n_iter
            self._report(state.finished or self.epoch == self.max_iter, inputs.settings.verbose)
        self.was_finished = state.finished

    def _report(self, finished, verbose):
        if finished:
            line = f"{self.path} contains the finished fit."
        else:
            line = f"Continues after epoch {self.epoch} of {self.path}."
        logger.info(line)
        if verbose:
            print(line)

    def on_epoch_complete(self, inputs, state):
        epoch = state.progress.n_iter
        is_due = epoch - self.epoch >= self.checkpoint.every and time.monotonic() >= self.next_time
        if is_due or epoch == self.max_iter:
            self._write(state)

    def on_train_end(self, inputs, state):
        if state.finished and not self.was_finished:
            self._write(state)
        if self.error is not None:
            there = f"contains epoch {self.epoch}" if self.epoch else "was not written"
            message = (
                f"Checkpoint: {self.n_failures} of {self.n_writes} attempts to write "
                f"{str(self.path)!r} failed, the first with: {self.error}. The file {there}."
            )
            state.pending_warnings.append((message, UserWarning))

    def _continuable(self):
        """Return the content of the file if the fit continues from it, else None."""
        saved = self._read()
        if saved is None:
            return None
        losses = saved["state"]["progress"]["loss_curve"]
        if losses and losses == self.earlier[: len(losses)]:
            return None  # the estimator contains that fit: this one is the next of a warm start
        self._check_owner(self.fingerprint, saved["fingerprint"])
        n_epochs = saved["state"]["progress"]["n_iter"]
        if n_epochs > self.max_iter:
            raise ValueError(
                f"max_iter={self.max_iter}, but the checkpoint {str(self.path)!r} has {n_epochs} "
                "epochs. Increase max_iter, or set resume=False to replace the file."
            )
        return saved

    def _read(self):
        """Return the content of the file, or None if the file does not exist."""
        saved = checkpoint_file.read(self.path)
        if saved is not None:
            with checkpoint_file.loading(self.path):
                _check_content(saved)
        return saved

    def _check_owner(self, mine, theirs):
        """Raise a ValueError if the fingerprint of this fit differs from that in the file."""
        if found := differences(mine, theirs):
            raise ValueError(
                f"The checkpoint {str(self.path)!r} belongs to another fit. This fit has "
                f"{'; '.join(found)}. Use the same data and parameters, another path (with "
                "'{fit}' in its name, each fit has its own file), or resume=False to replace the "
                "file."
            )

    def _identity(self):
        """Return values that change when the file is replaced, or None if there is no file."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _write(self, state):
        """Write the file, and set the time of the next write."""
        start = time.monotonic()
        self.n_writes += 1
        try:
            self._replace_file(state)
            self.epoch = state.progress.n_iter
        except OSError as error:
            self.n_failures += 1
            self.error = self.error or error
        end = time.monotonic()
        self.next_time = end + self._interval(end - start)

    def _interval(self, duration):
        """Return the time until the next write, given the duration of the last one."""
        if self.checkpoint.every_seconds is not None:
            return float(self.checkpoint.every_seconds)
        return min(max(_MIN_SECONDS, duration / _MAX_SHARE), _MAX_SECONDS)

    def _replace_file(self, state):
        if self._identity() not in (None, self.known):
            self._check_replaced()
        data = self._content(state)
        checkpoint_file.rotate(self.path, self.checkpoint.keep)
        checkpoint_file.write(self.path, data)
        self.known = self._identity()

    def _check_replaced(self):
        """Raise a ValueError if another fit has replaced the file during this one."""
        try:
            other = self._read()
        except ValueError:
            return  # a damaged file is replaced
        if other is not None:
            self._check_owner(self.fingerprint, other["fingerprint"])

    def _content(self, state):
        content = {
            "fingerprint": self.fingerprint,
            "initial_random_state": self.initial,
            "state": state.state_dict(),
        }
        try:
            return checkpoint_file.dumps(content)
        except (TypeError, ValueError, RecursionError):
            rows = [_storable(row, state.pending_warnings) for row in state.progress.history]
            content["state"] = state.state_dict()
            content["state"]["progress"]["history"] = rows
        try:
            return checkpoint_file.dumps(content)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"Checkpoint cannot save the state of the solver, which contains {error}. It must "
                "consist of arrays, numbers, strings, lists and dicts. Use another solver, or "
                "remove the callback."
            ) from error
