"""The callback `Checkpoint`, which saves the state of a fit to a file and continues from it."""

import logging
import os
import sys
import time
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from torchmlp.callbacks import checkpoint_file
from torchmlp.callbacks.fingerprint import differences, digest, fingerprint
from torchmlp.training.loop import Monitor

logger = logging.getLogger(__name__)

# With ``every_seconds=None``, writing takes at most this share of the time, and the last write of a
# fit is not counted.
_MAX_SHARE = 0.005
_MIN_SECONDS = 1.0


class Checkpoint:
    """Saves the state of a fit to a file, and continues from the file in the next fit.

    If a fit is killed, calling `fit` again with the same data and parameters continues after the
    last saved epoch. The result is the same, to the last bit, as that of a fit without
    interruption. If the file is that of a fit that has ended, `fit` returns the same model without
    training.

    The file is written to a temporary file in the same folder, which then replaces it. A process
    that is killed at any time leaves either the previous or the new file.

    Parameters
    ----------
    path : str or path-like
        The file. Its folder must exist. A ``{fit}`` in the name is replaced by a name for the data
        and the parameters, so that each fit of a search or of an ensemble has a file of its own.

    every : int, default=1
        Minimum number of epochs between two writes.

    every_seconds : float or None, default=None
        Minimum number of seconds between two writes; 0 writes after each `every` epochs. None means
        one second, or more if writing would otherwise take over 0.5 % of the time.

    keep : int, default=1
        Number of files to keep. `path` is the newest one, and ``path.1``, ``path.2`` and so on are
        those written before it.

    resume : bool, default=True
        Whether to continue from the file. If False, `fit` begins anew and replaces the file.

    See Also
    --------
    Snapshots : Records the weights of a fit for displays.

    Notes
    -----
    - The file contains the weights, the best weights of early stopping, the states of the solver,
      the learning rate schedule and the random number generators, the order of the samples, the
      losses, the history and the pending warnings. Loading it runs no code.
    - The file also contains the parameters, and the shapes, the dtypes and a hash of the data. If
      they differ, `fit` raises an error that names the differences. The hash is that of some of the
      rows. `verbose`, `time_limit` and other callbacks may differ. `max_iter` may differ with all
      schedules but 'cosine' and 'one_cycle': a larger value continues a fit that has reached it.
    - The random numbers continue from the file, also if `random_state` is None or an instance.
    - A `time_limit` counts from the continuation. A fit that the time limit or the user stops
      continues after the last saved epoch.
    - With `warm_start`, a fit of an estimator that contains the fit in the file is a new fit, which
      replaces the file.
    - If writing fails, for example because the disk is full, training continues, and `fit` issues a
      warning with the reason at the end. The last file that was written remains.
    - The states of other callbacks are not saved. Their `on_train_begin` is called again. The
      callbacks `LRScheduler` and `EarlyStopping` of skorch are refused.
    - ``solver='lbfgs'`` and `partial_fit` are not supported: the state of SciPy's solver cannot be
      restored, and each call of `partial_fit` is a fit of a single epoch.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import Checkpoint
    >>> X, y = load_iris(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(Path(folder) / "fit.ckpt")
    ...     clf = TorchMLPClassifier(max_iter=20, tol=0.1, callbacks=[checkpoint], random_state=0)
    ...     first, again = clf.fit(X, y).loss_, clf.fit(X, y).loss_  # the second loads the file
    >>> first == again
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        every_seconds: float | None = None,
        keep: int = 1,
        resume: bool = True,
    ) -> None:
        self.path = path
        self.every = every
        self.every_seconds = every_seconds
        self.keep = keep
        self.resume = resume

    def __repr__(self) -> str:
        first, *others = vars(self).items()
        options = "".join(f", {name}={value!r}" for name, value in others)
        return f"Checkpoint({first[1]!r}{options})"


def _is_count(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_checkpoint(checkpoint, solver, incremental):
    """Check the parameters of a `Checkpoint`, and that the fit supports it.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if the fit does not support a checkpoint.
    """
    seconds = checkpoint.every_seconds
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    is_number = is_number and abs(seconds) <= sys.float_info.max
    rules = {
        "path": (isinstance(checkpoint.path, (str, os.PathLike)), "must be a str or a path"),
        "every": (_is_count(checkpoint.every), "must be an int >= 1"),
        "every_seconds": (
            seconds is None or (is_number and float(seconds) >= 0),
            "must be None or a number >= 0",
        ),
        "keep": (_is_count(checkpoint.keep), "must be an int >= 1"),
        "resume": (isinstance(checkpoint.resume, (bool, np.bool_)), "must be a bool"),
    }
    for name, (valid, rule) in rules.items():
        if not valid:
            raise ValueError(f"Checkpoint: {name}={getattr(checkpoint, name)!r} {rule}.")
    if solver == "lbfgs":
        raise ValueError(
            "Checkpoint does not support solver='lbfgs', because the state of SciPy's solver "
            "cannot be restored. Use solver='adam', or remove the callback."
        )
    if incremental:
        raise ValueError(
            "Checkpoint does not support partial_fit, because each call is a fit of one epoch. "
            "Remove the callback, and save the estimator between the calls."
        )


def split_callbacks(callbacks):
    """Return the `Checkpoint` among callbacks, or None, and a list of the others.

    Parameters
    ----------
    callbacks : list or None
        Callbacks, or tuples (name, callback).

    Raises
    ------
    ValueError
        If there is more than one `Checkpoint`, or the class instead of an instance.
    """
    checkpoints: list[Checkpoint] = []
    others = []
    for item in callbacks or ():
        named = isinstance(item, (list, tuple)) and len(item) == 2
        callback = item[1] if named else item
        if callback is Checkpoint:
            raise ValueError(
                "callbacks contains the class Checkpoint. Pass an instance, Checkpoint(path)."
            )
        if isinstance(callback, Checkpoint):
            checkpoints.append(callback)
        else:
            others.append(item)
    if len(checkpoints) > 1:
        raise ValueError(f"callbacks must contain one Checkpoint at most, got {checkpoints}.")
    return checkpoints[0] if checkpoints else None, others


def checkpoint_of(estimator, data, validation, resumed, items=()):
    """Return the `CheckpointMonitor` of a fit, or None without a `Checkpoint`.

    Parameters
    ----------
    estimator, data, validation, resumed
        See `fingerprint`.
    items : dict of str to str, default=()
        Additional items of the fingerprint.
    """
    checkpoint, _ = split_callbacks(estimator.callbacks)
    if checkpoint is None:
        return None
    items = fingerprint(estimator, data, validation, resumed) | dict(items)
    earlier = getattr(estimator, "loss_curve_", []) if resumed else []
    return CheckpointMonitor(checkpoint, items, estimator.max_iter, earlier)


def check_is_file_name(parameter, path):
    """Check that a path can be that of a file.

    Raises
    ------
    ValueError
        If it is that of a folder, or if its name is too long or has invalid characters.
    """
    try:
        is_folder = path.is_dir()
        path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ValueError(f"Checkpoint: path={parameter!r} cannot be used: {error}.") from error
    if is_folder:
        raise ValueError(f"Checkpoint: path={parameter!r} is a folder. Pass the path of a file.")


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
        If the folder of the file does not exist.
    """

    def __init__(self, checkpoint, fingerprint, max_iter, earlier):
        self.checkpoint = checkpoint
        self.fingerprint = fingerprint
        self.max_iter = max_iter
        self.earlier = earlier
        path = os.fspath(checkpoint.path).replace("{fit}", digest(fingerprint))
        self.path = Path(os.path.abspath(path))  # the working directory may change
        check_is_file_name(checkpoint.path, self.path)
        if not self.path.parent.is_dir():
            raise ValueError(
                f"Checkpoint: the folder of path={checkpoint.path!r} does not exist. Create it."
            )
        self.saved: Any = None  # the content of the file, until it is restored
        self.initial: Any = None  # the state of the generator before the first draw
        self.was_finished = False  # whether the file is that of a fit that has ended
        self.is_own = False  # whether the file is that of this fit
        self.known: Any = None  # what `_identity` returned when the file was last seen
        self.epoch = 0  # the last one that was written
        self.n_writes = self.n_failures = 0
        self.error: OSError | None = None  # the first failure
        self.interval = self._interval(0.0)
        self.next_time = time.monotonic() + self.interval

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
        self.is_own = True
        self.initial = self.saved["initial_random_state"]
        if random_state is check_random_state(None):
            random_state = np.random.RandomState()
        random_state.set_state(self.initial)
        return random_state

    def on_train_begin(self, inputs, state):
        saved, self.saved = self.saved, None
        if saved is not None:
            state.load_state_dict(saved["state"])
            self.epoch = state.progress.n_iter
            logger.info("Fit continues after epoch %d of %s.", self.epoch, self.path)
        self.was_finished = state.finished

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
        saved = checkpoint_file.read(self.path)
        if saved is None:
            return None
        losses = saved["state"]["progress"]["loss_curve"]
        if losses and losses == self.earlier[: len(losses)]:
            return None  # the estimator contains that fit: this one is the next of a warm start
        self._check_owner(saved)
        n_epochs = saved["state"]["progress"]["n_iter"]
        if n_epochs > self.max_iter:
            raise ValueError(
                f"max_iter={self.max_iter}, but the checkpoint {str(self.path)!r} has {n_epochs} "
                "epochs. Increase max_iter, or set resume=False to replace the file."
            )
        return saved

    def _check_owner(self, saved):
        """Raise a ValueError if the content of the file is that of another fit."""
        found = differences(self.fingerprint, saved["fingerprint"])
        if found:
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
        return max(_MIN_SECONDS, duration / _MAX_SHARE)

    def _replace_file(self, state):
        identity = self._identity()
        if identity not in (None, self.known):
            other = checkpoint_file.read(self.path)
            if other is not None:
                self._check_owner(other)
        data = self._content(state)
        keep = self.checkpoint.keep
        if self.is_own:
            checkpoint_file.rotate(self.path, keep)
        else:
            checkpoint_file.remove_older(self.path, keep)
        checkpoint_file.write(self.path, data)
        self.is_own, self.known = True, self._identity()

    def _content(self, state):
        content = {
            "fingerprint": self.fingerprint,
            "initial_random_state": self.initial,
            "state": state.state_dict(),
        }
        try:
            return checkpoint_file.dumps(content)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Checkpoint cannot save {error}. The history and the state of the solver must "
                "consist of arrays, numbers, strings, lists and dicts."
            ) from error
