"""Fingerprints of fits, which tell whether a checkpoint belongs to a fit."""

import hashlib
import json
import re
from numbers import Real

import numpy as np

from torchmlp.training.schedules import schedule_of

# Parameters that do not change the result, except that a warm start has other initial weights.
_IGNORED = {"callbacks", "verbose", "time_limit", "warm_start"}
_MAX_BYTES = 1 << 20  # of the rows of an array that are hashed
_MIN_ROWS = 10


def fingerprint(estimator, data, validation, resumed):
    """Return the fingerprint of a fit: a dict of str to str.

    Two fits with equal fingerprints have the same result, unless rows differ that are not in the
    sample, or functions with the same name.

    Parameters
    ----------
    estimator : BaseTorchMLP
    data : Dataset
        The training data before the validation split.
    validation : Dataset or None
        Validation data that were passed to `fit`.
    resumed : bool
        Whether training continues from the weights of the estimator.
    """
    parameters = estimator.get_params(deep=False)
    if not schedule_of(estimator.solver, estimator.learning_rate).planned:
        del parameters["max_iter"]  # more epochs continue the same fit
    items = {name: _text(value) for name, value in parameters.items() if name not in _IGNORED}
    items = {"class": type(estimator).__qualname__, **items}
    for suffix, dataset in (("", data), ("_val", validation)):
        for name in ("X", "y", "sample_weight"):
            items |= _described(name + suffix, getattr(dataset, name, None))
    if hasattr(estimator, "classes_"):
        items["classes"] = hashlib.sha256(_text(estimator.classes_).encode()).hexdigest()
    if resumed:
        weights = [*estimator.coefs_, *estimator.intercepts_]
        items["initial weights"] = _hash(np.concatenate([np.ravel(array) for array in weights]))
    return items


def digest(items):
    """Return a short name for a fingerprint, for the name of a file."""
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()[:16]


def differences(items, others):
    """Describe how a fingerprint differs from that of a checkpoint, as a list of str."""
    described = []
    for name in items | others:
        mine, theirs = items.get(name), others.get(name)
        whole = name.removeprefix("values of ")
        if mine == theirs or (whole != name and items.get(whole) != others.get(whole)):
            continue
        hashed = whole != name or name in ("classes", "initial weights")
        described.append(f"other {name}" if hashed else f"{name}={mine} instead of {theirs}")
    return described


def _text(value):
    """Return a text that is equal for equal values, and in another process."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, Real):
        return repr(float(value)).removesuffix(".0")
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # functions, classes, generators


def _described(name, array):
    """Return the items for an array or a sparse matrix, or none for None."""
    if array is None:
        return {}
    kind = "" if isinstance(array, np.ndarray) else " sparse"
    description = f"{array.dtype}{kind} array of shape {array.shape}"
    return {name: description, f"values of {name}": _hash(_sample(array))}


def _sample(array):
    """Return rows of an array at equal distances."""
    n_rows = array.shape[0]
    size = array.nbytes if isinstance(array, np.ndarray) else array.data.nbytes
    n_sampled = max(_MIN_ROWS, _MAX_BYTES * n_rows // max(size, 1))
    return array[np.linspace(0, n_rows - 1, min(n_rows, n_sampled)).astype(np.intp)]


def _hash(array):
    is_dense = isinstance(array, np.ndarray)
    pieces = [array] if is_dense else [array.data, array.indices, array.indptr]
    result = hashlib.sha256()
    for piece in pieces:
        result.update(piece.tobytes())
    return result.hexdigest()
