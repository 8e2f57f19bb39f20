"""Fingerprints of fits, which tell whether a checkpoint belongs to a fit."""

import contextlib
import copyreg
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping, Set
from numbers import Integral, Real
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy as np
import torch

from torchmlp.training.schedules import schedule_of

# Parameters that do not change the result, except that a warm start has other initial weights.
_IGNORED = {"callbacks", "verbose", "time_limit", "warm_start"}
_MAX_BYTES = 1 << 20  # of the rows of an array that are hashed
_MIN_ROWS = 10
_new_object = vars(copyreg)["__newobj__"]  # creates most objects that are pickled
_MAX_ITEMS = 1000  # of an array whose values are in a text
_MAX_LENGTH, _MAX_SHOWN = 300, 100  # of the text for an object; a longer one is cut and hashed
_MAX_ITER_RULE = (
    " (it may only differ with learning rate schedules other than 'cosine' and 'one_cycle')"
)


def fingerprint(estimator, data, validation, resumed):
    """Return the fingerprint of a fit: a dict of str to str.

    Two fits with equal fingerprints have the same result, unless rows differ that are not in the
    sample, or something that `describe` does not compare.

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
    items = parameter_items(estimator)
    for suffix, dataset in (("", data), ("_val", validation)):
        for name in ("X", "y", "sample_weight"):
            items |= _described(name + suffix, getattr(dataset, name, None))
    if hasattr(estimator, "classes_"):
        items["classes"] = hashlib.sha256(describe(estimator.classes_).encode()).hexdigest()
    if resumed:
        weights = [*estimator.coefs_, *estimator.intercepts_]
        items["initial weights"] = _hash(np.concatenate([np.ravel(array) for array in weights]))
    return items


def parameter_items(estimator):
    """Return the items of a fingerprint for the class and the parameters of an estimator."""
    parameters = estimator.get_params(deep=False)
    if not schedule_of(estimator.solver, estimator.learning_rate).planned:
        del parameters["max_iter"]  # more epochs continue the same fit
    if isinstance(estimator.random_state, np.random.RandomState):
        parameters["random_state"] = "RandomState"  # the file contains its state
    items = {name: describe(value) for name, value in parameters.items() if name not in _IGNORED}
    return {"class": type(estimator).__qualname__, **items}


def digest(items):
    """Return a short name for a fingerprint, for the name of a file."""
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()[:16]


def differences(items, others, max_iter_rule=_MAX_ITER_RULE):
    """Describe how a fingerprint differs from another, as a list of str.

    Parameters
    ----------
    items, others : dict of str to str
    max_iter_rule : str, default=that for checkpoints
        Text that follows a difference of `max_iter`.
    """
    described = []
    for name in items | others:
        mine, theirs = items.get(name), others.get(name)
        whole = name.removeprefix("values of ")
        if mine == theirs or (whole != name and items.get(whole) != others.get(whole)):
            continue
        if name == "max_iter" and None in (mine, theirs):
            continue  # the schedules differ
        hashed = whole != name or name in ("classes", "initial weights")
        text = f"other {name}" if hashed else f"{name}={mine} instead of {theirs}"
        described.append(text + max_iter_rule if name == "max_iter" else text)
    return described


def describe(value, known=None):
    """Return a text that is equal for equal values, and in another process.

    - Numbers, strings, arrays and containers are compared by their values.
    - A Python function is compared by its name, its bytecode with the constants in it, its
      defaults, the variables of its closure, and the numbers, strings and functions of its module
      that it uses. Other global variables are compared by name.
    - A class is compared by its name and its own methods.
    - Another object is compared by what would be pickled. If it cannot be pickled, it is compared
      by the name of its class. Builtin functions and modules are compared by name.

    Parameters
    ----------
    value : object
    known : dict, default=None
        Identity -> (object, text), of the objects that are already described.
    """
    plain = _describe_plain(value)
    if plain is not None:
        return plain
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = value, "..."  # for an object that contains itself
        inner = functools.partial(describe, known=known)
        known[id(value)] = value, _shortened(_describe_object(value, inner))
    return known[id(value)][1]


def _describe_plain(value):
    """Return the text for a value that contains no others, or None."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value)).removesuffix(".0")
    if isinstance(value, str):
        return repr(str(value))
    if value is None or isinstance(value, (bytes, complex)):
        return repr(value)
    if isinstance(value, (BuiltinFunctionType, ModuleType, np.ufunc)):
        return _name(value)
    return None


def _describe_object(value, inner):
    """Return the text for an object, given the function that describes the objects in it."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return _describe_array(value, inner)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted(map(inner, value)))}}}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{inner(k)}: {inner(v)}' for k, v in value.items()))}}}"
    if isinstance(value, functools.partial):
        options = [f"{name}={inner(item)}" for name, item in sorted(value.keywords.items())]
        return f"partial({', '.join([*map(inner, (value.func, *value.args)), *options])})"
    if isinstance(value, (FunctionType, CodeType, type)):
        return f"{_name(value)} #{_short_hash(inner(_parts(value)))}"
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # depends on the class
        return _name(value)
    if isinstance(reduced, tuple) and reduced[0] is _new_object:
        (cls, *arguments), state = reduced[1:3]
        reduced = [state, *arguments, *filter(None, reduced[3:]), cls]
    return f"{_name(value)}({inner(reduced)})"


def _describe_array(array, inner):
    if isinstance(array, np.ndarray) and (array.dtype.hasobject or array.size <= _MAX_ITEMS):
        return inner(array.tolist())
    if isinstance(array, torch.Tensor) and array.numel() <= _MAX_ITEMS:
        return inner(array.tolist())
    values = array if isinstance(array, np.ndarray) else array.detach().cpu().double().numpy()
    return f"array of shape {tuple(array.shape)} #{_hash(values)[:8]}"


def _parts(value):
    """Return a list of what is compared of a function, its code or a class."""
    if isinstance(value, type):
        members = [(k, getattr(v, "__func__", v)) for k, v in sorted(vars(value).items())]
        # Torch wraps a method of an optimizer when the first one is created.
        return [(k, inspect.unwrap(v)) for k, v in members if isinstance(v, FunctionType)]
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, value.co_consts]
    value = getattr(value, "_torchdynamo_orig_callable", value)  # of torch.compile
    defaults = value.__defaults__, value.__kwdefaults__
    return [value.__code__, *defaults, _closure(value), _used_globals(value)]


def _closure(function):
    """Return the values of the variables of a closure that are assigned."""
    values = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):
            values.append(cell.cell_contents)
    return values


def _used_globals(function):
    """Return the numbers, strings and functions of its module that a function uses, by name."""
    used = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {
        name: value
        for name, value in used.items()
        if isinstance(value, (Real, str))
        or (isinstance(value, FunctionType) and value.__module__ == function.__module__)
    }


def _name(value):
    """Return the qualified name of a function, class or module, or of the class of an object."""
    named = value if hasattr(value, "__name__") else type(value)
    name = getattr(named, "__qualname__", named.__name__)
    return ".".join(filter(None, [getattr(named, "__module__", None), name]))


def _shortened(text):
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_SHOWN]}... #{_short_hash(text)}"


def _short_hash(text):
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


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
    indices = () if is_dense else (array.indices, array.indptr)
    pieces = [array if is_dense else array.data, *(piece.astype("int64") for piece in indices)]
    result = hashlib.sha256()
    for piece in pieces:
        result.update(piece.tobytes())
    return result.hexdigest()
