"""Validation of input arrays: X, y and sample weights."""

import contextlib
import functools
import re
from typing import cast

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import is_regressor
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from torchmlp._sklearn_compat import (
    Method,
    check_sample_weight,
    check_y,
    get_namespace_and_device,
    move_to,
)
from torchmlp.training.threads import one_thread

_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)
# Parts of the errors of NumPy, pandas and torch for values that they cannot convert or compare.
_UNUSABLE_VALUES = (
    "could not convert",
    "cannot convert",
    "can't convert",
    "cannot cast",
    "must be a string or a real number",
    "must be a numpy dtype",
    "too large to convert",
    "with a sequence",
    "not supported between",
    "unhashable",
    "is ambiguous",
    "unknown label type: (",
)
_VALIDATION_REMEDY = (
    "X_val must be prepared like X. In a Pipeline, set_params(transform_input=['X_val']) passes it "
    "through the steps before the network."
)
_CONVERSION_REMEDIES = {
    "classes": "Pass a list of all labels, which have the same type, such as str or int.",
    "class_weight": "Pass a dict with one number per class.",
    "input_features": "Pass a list of str.",
    "X": (
        "Pass numbers, with rows of equal length. Encode categories first, for example with "
        "OneHotEncoder in a ColumnTransformer; convert dates to numbers."
    ),
    "X_val": _VALIDATION_REMEDY,
    "y": (
        "Targets of a regressor must be numbers. Labels of a classifier must all have the same "
        "type, such as str or int, and must not have missing values."
    ),
    "sample_weight": "Pass one number per sample, or a single number.",
}


@contextlib.contextmanager
def naming(argument, *others):
    """Add the name of an argument, and a remedy, to errors raised in the `with` block.

    Parameters
    ----------
    argument : str
        Name of the argument that is checked in the `with` block.
    *others : str
        Names of other arguments that the error messages may already contain.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        text = str(error)
        if _is_about_values(error):
            remedies = _CONVERSION_REMEDIES
            remedy = remedies.get(argument) or remedies[argument.removesuffix("_val")]
            text = f"{argument} cannot be used: {text.rstrip('.')}. {remedy}"
        elif any(re.search(rf"\b{name}\b", text) for name in (argument, *others)):
            raise
        else:
            text = f"{argument}: {text}"
            if argument == "X_val":
                text = f"{text.rstrip('.')}. {_VALIDATION_REMEDY}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(text) from error


@contextlib.contextmanager
def unchanged_by_errors(estimator):
    """Restore the attributes of an estimator if the `with` block raises an exception."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextlib.contextmanager
def naming_columns(X):
    """Add the columns of a DataFrame with unusable values to errors in the `with` block.

    Parameters
    ----------
    X : array-like
        If it has no attribute `columns`, errors are not changed.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        columns = []
        if _is_about_values(error):
            columns = _columns_with(_not_numbers, X)
        elif "contains infinity" in str(error):
            columns = _columns_with(_infinity, X)
        if not columns:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"columns {columns}: {error}") from error


def _columns_with(condition, X):
    """Return the names of the columns of a DataFrame for which a condition is true."""
    return [name for name in getattr(X, "columns", []) if condition(X[name])]


def _not_numbers(column):
    try:
        np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return True
    return False


def _infinity(column):
    return np.isinf(np.asarray(column, dtype=np.float64)).any()


def _is_about_values(error):
    """Return whether an error of another library is about values that it cannot convert."""
    return any(phrase in str(error).lower() for phrase in _UNUSABLE_VALUES)


def to_numpy(**arrays):
    """Convert arrays of other libraries to NumPy arrays on the CPU.

    Torch tensors are always converted. Other array API arrays are converted only with
    scikit-learn's ``array_api_dispatch=True``. Everything else is returned unchanged. Memory is
    shared if possible.

    Parameters
    ----------
    **arrays : array-like or None
        The arrays, by the names of the arguments.

    Returns
    -------
    list of array-like or None

    Raises
    ------
    ValueError
        If a tensor cannot be converted, for example because it is sparse.
    """
    return [_to_numpy(name, array) for name, array in arrays.items()]


def _to_numpy(name, array):
    is_tensor = isinstance(array, torch.Tensor)
    if not is_tensor and _origin(array) is None:
        return array
    with naming(name), one_thread():
        return _tensor_to_numpy(array) if is_tensor else move_to(array, xp=np, device="cpu")


def _tensor_to_numpy(tensor):
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
        raise ValueError(
            f"Got a tensor of layout {tensor.layout} on device {tensor.device}, which cannot be "
            "converted to a NumPy array. Pass a dense tensor, for example with to_dense(), or a "
            "SciPy sparse matrix."
        )
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    return tensor.numpy()


def _origin(array):
    """Return (namespace, device) of a non-NumPy array with array API dispatch, else None."""
    if not get_config()["array_api_dispatch"] or np.isscalar(array):
        return None
    namespace, is_array, device = get_namespace_and_device(array)
    return (namespace, device) if is_array and not isinstance(array, np.ndarray) else None


def in_namespace_of_X(method: Method) -> Method:
    """Decorate a method of X to return arrays in the namespace and on the device of X.

    This applies with array API dispatch. Non-numeric labels are returned as NumPy arrays.
    """

    @functools.wraps(method)
    def wrapper(estimator, X, *args, **kwargs):
        origin = _origin(X)
        result = method(estimator, *to_numpy(X=X), *args, **kwargs)
        if origin is None:
            return result
        namespace, device = origin
        if isinstance(result, (list, tuple)):
            return type(result)(move_to(part, xp=namespace, device=device) for part in result)
        numeric = result.dtype.kind in "biuf"
        return move_to(result, xp=namespace, device=device) if numeric else result

    return cast(Method, wrapper)


def check_training_input(estimator, X, y, *, reset, names=("X", "y")):
    """Validate X and y. Return X as a float array or CSR matrix, and y as an array.

    Parameters
    ----------
    estimator : BaseTorchMLP
    X, y : array-like
    reset : bool
        Whether to set the number and names of the features. If False, X is checked against them.
    names : tuple of str
        Names of X and y in error messages.

    Raises
    ------
    TypeError, ValueError
        If a value or a shape is invalid.
    """
    with naming(*names), naming_columns(X):
        check_values(X, numeric=True)
        X = validate_data(
            estimator,
            X,
            None if y is None else "no_validation",  # y=None is an error
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            reset=reset,
        )
    with naming(names[1]):
        numeric = is_regressor(estimator)
        check_values(y, numeric)
        y = check_y(y, multi_output=True, y_numeric=numeric, estimator=estimator)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    with naming(" and ".join(names)):
        check_consistent_length(X, y)
    return X, y


def check_values(array, numeric):
    """Raise an error for masked values and for dates, which NumPy would use as numbers."""
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        raise ValueError(
            f"Got {array.mask.sum()} masked values. Masks are not supported. Impute the values, "
            "for example with SimpleImputer after filled(np.nan), or remove these samples."
        )
    if not numeric:
        return
    if hasattr(array, "columns"):
        columns = zip(array.columns, array.dtypes, strict=True)
        dates = [f"column {name!r}" for name, dtype in columns if _is_date(dtype)]
    else:
        dtype = getattr(array, "dtype", None)
        dates = [f"dtype {dtype}"] if _is_date(dtype) else []
    if dates:
        raise TypeError(
            f"Got dates or durations ({', '.join(dates)}). Convert them to numbers, for example "
            "to days since a fixed date, or to year, month and weekday."
        )


def _is_date(dtype):
    """Return whether a dtype of NumPy, pandas or polars represents dates or durations."""
    temporal = getattr(dtype, "is_temporal", None)  # polars
    return getattr(dtype, "kind", None) in ("m", "M") or (temporal is not None and temporal())


def check_input(estimator, X):
    """Validate X for a prediction. Return it as a dense array or CSR matrix."""
    if _needs_no_validation(estimator, X):
        return X
    with naming("X"), naming_columns(X):
        check_values(X, numeric=True)
        # Numeric dtypes are kept, to avoid a copy. Others are converted to float64, as in `fit`.
        kind = getattr(getattr(X, "dtype", None), "kind", None)
        numeric = hasattr(X, "columns") or kind in ("b", "i", "u", "f")
        dtype = "numeric" if numeric else np.float64
        X = validate_data(estimator, X, accept_sparse="csr", dtype=dtype, reset=False)
        if X.dtype.kind == "O":  # from a data frame
            X = check_array(X, dtype=np.float64, input_name="X", estimator=estimator)
    return X


def _needs_no_validation(estimator, X):
    """Return whether X needs no validation. This saves most of the time for a single row."""
    with np.errstate(over="ignore", invalid="ignore"):  # the full checks report it
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in (np.float32, np.float64)
            and X.shape[0] > 0
            and X.shape[1] == estimator.n_features_in_
            and not hasattr(estimator, "feature_names_in_")
            and np.isfinite(X.sum())
        )


def check_weights(sample_weight, X, name="sample_weight"):
    """Validate sample weights. Return them as a float array, or None.

    Raises
    ------
    TypeError, ValueError
        If a weight is negative, not finite or not a number, if the number of weights is wrong, or
        if all weights are zero.
    """
    if sample_weight is None:
        return None
    weights = weights_of_rows(sample_weight, X, name)
    if weights.min() < 0:
        raise ValueError(
            f"{name} must be non-negative, got {weights.min()}. A weight of 0 excludes a sample."
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"{name} and its sum must be finite, got a maximum of {weights.max()}. Divide the "
            "weights by their mean."
        )
    check_any_weight(weights, name)
    return weights


def weights_of_rows(sample_weight, X, name="sample_weight"):
    """Return sample weights as a float array with one weight per row of X.

    Raises
    ------
    TypeError, ValueError
        If a weight is not finite or not a number, or if the number of weights is wrong.
    """
    with naming(name):
        check_values(sample_weight, numeric=True)
        is_vector = hasattr(sample_weight, "__len__") and getattr(sample_weight, "ndim", 1) == 1
        is_vector = is_vector and not isinstance(sample_weight, (str, bytes, type))
        if is_vector and len(sample_weight) != X.shape[0]:
            raise ValueError(
                f"{name}.shape == ({len(sample_weight)},), expected ({X.shape[0]},). Pass one "
                "weight per sample."
            )
        return check_sample_weight(sample_weight, X)


def check_class_weight(class_weight, classes):
    """Return class weights with an entry for each class, or 'balanced'.

    Parameters
    ----------
    class_weight : dict or 'balanced'
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If a class has no weight, and a key is not a class.
    """
    if class_weight == "balanced":
        return class_weight
    labels = classes.tolist()
    unknown = [key for key in class_weight if key not in labels]
    if unknown and not class_weight.keys() >= set(labels):
        raise ValueError(
            f"class_weight has keys that are not classes: {unknown}. The classes are {labels}. Use "
            "labels of y as keys. Classes that are not in class_weight have weight 1."
        )
    return {label: class_weight.get(label, 1.0) for label in labels}


def check_any_weight(weights, name="sample_weight"):
    """Raise a ValueError if all weights are zero."""
    if not weights.any():
        raise ValueError(
            f"Sample weights must contain at least one non-zero number. Got {name} with "
            f"{len(weights)} zeros. Use positive weights for the training samples."
        )


def check_targets(encoded, loss, name):
    """Check that the loss is defined for the targets.

    Parameters
    ----------
    encoded : ndarray
    loss : Loss
    name : str or callable
        Value of the parameter `loss`.

    Raises
    ------
    ValueError
        If a target is too small.
    """
    if loss.lowest == -np.inf:
        return
    smallest = encoded.min()
    if smallest < loss.lowest or (loss.open_range and smallest == loss.lowest):
        sign = ">" if loss.open_range else ">="
        raise ValueError(
            f"loss={name!r} requires y {sign} {loss.lowest:g}, got {smallest}. Use "
            "loss='squared_error' for targets outside that range."
        )


def check_validation_arguments(X_val, y_val, sample_weight_val):
    """Check that X_val, y_val and sample_weight_val are passed together.

    Raises
    ------
    ValueError
        If one of them is missing.
    """
    if (X_val is None) != (y_val is None):
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was passed without {missing}. Pass both or neither.")
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val was passed without X_val and y_val. Pass all three.")
