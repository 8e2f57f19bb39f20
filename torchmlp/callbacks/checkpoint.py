"""The callback `Checkpoint`, which saves the state of a fit to a file and continues from it."""

import os
import re
import sys
from numbers import Integral, Real

import numpy as np


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
        The file. Its folder must exist. A ``~`` is replaced by the home folder, and of a symbolic
        link the target is written. A ``{fit}`` in the name is replaced by a name for the data and
        the parameters, so that each fit of a search or of an ensemble has a file of its own. It
        requires an int as `random_state`: other fits with equal parameters have other results.

    every : int, default=1
        Minimum number of epochs between two writes.

    every_seconds : float or None, default=None
        Minimum number of seconds between two writes; 0 writes after each `every` epochs. None means
        200 times the duration of the last write, so that writing takes 0.5 % of the time, but at
        least 1 and at most 300 seconds. Writes of over 1.5 seconds therefore take a larger share.

    keep : int, default=1
        Number of files to keep. `path` is the newest one, and ``path.1``, ``path.2`` and so on are
        those written before it, also by an earlier fit.

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
      rows. Functions are compared by their bytecode, defaults and closures, and by the numbers,
      strings and functions of their module that they use; classes by their own methods; other
      objects by what would be pickled. Other global variables and base classes are not compared.
    - `verbose`, `time_limit` and other callbacks may differ. `max_iter` may differ with all
      schedules but 'cosine' and 'one_cycle': a larger value continues a fit that has reached it.
    - The random numbers continue from the file, also if `random_state` is None or an instance.
    - A `time_limit` counts from the continuation. A fit that the time limit or the user stops
      continues after the last saved epoch.
    - With `warm_start`, if the estimator already contains the fit in the file, `fit` begins the
      next fit, which replaces the file.
    - If writing fails, for example because the disk is full, training continues, and `fit` issues a
      warning with the reason at the end. The last file that was written remains.
    - Values in the history that the file cannot contain are stored as text, with a warning.
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


def check_checkpoint(checkpoint, estimator, incremental):
    """Check the parameters of a `Checkpoint`, and that the fit supports it.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if the fit does not support a checkpoint.
    """
    seconds, path = checkpoint.every_seconds, checkpoint.path
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    is_number = is_number and abs(seconds) <= sys.float_info.max
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    placeholders = set(re.findall(r"{\w*}", str(text)))
    rules = [
        ("path", isinstance(text, str), "must be a str or a path"),
        ("path", text and os.path.basename(text), "must end with the name of a file"),
        ("path", placeholders <= {"{fit}"}, "may only contain the placeholder '{fit}'"),
        ("every", _is_count(checkpoint.every), "must be an int >= 1"),
        (
            "every_seconds",
            seconds is None or (is_number and float(seconds) >= 0),
            "must be None or a number >= 0",
        ),
        ("keep", _is_count(checkpoint.keep), "must be an int >= 1"),
        ("resume", isinstance(checkpoint.resume, (bool, np.bool_)), "must be a bool"),
    ]
    for name, valid, rule in rules:
        if not valid:
            raise ValueError(f"Checkpoint: {name}={getattr(checkpoint, name)!r} {rule}.")
    if placeholders and not isinstance(estimator.random_state, Integral):
        raise ValueError(
            f"Checkpoint: path={path!r} with '{{fit}}' requires an int as random_state, got "
            f"random_state={estimator.random_state!r}: several fits with equal parameters would "
            "share a file. Set random_state=0, for example."
        )
    if estimator.solver == "lbfgs":
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
