"""A ready-made pipeline for tables with numbers and categories."""

from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from torchmlp.classifier import TorchMLPClassifier
from torchmlp.preprocessing import PiecewiseLinearEncoder
from torchmlp.regressor import TorchMLPRegressor

__all__ = ["categorical_columns", "numerical_columns"]  # `tabular_pipeline` is in torchmlp.__all__

# Categories with fewer rows than this share a column.
MIN_FREQUENCY = 10
# A column of strings is text, or an identifier, if the number of its distinct values exceeds both
# this and `MAX_DISTINCT_FRACTION` times the number of rows.
MAX_DISTINCT = 100
MAX_DISTINCT_FRACTION = 0.5
# Chosen on validation data, see "Tables" in benchmarks/NOTES.md.
DEFAULTS: dict[str, Any] = {
    "hidden_layer_sizes": (256, 256),
    "solver": "adamw",
    "alpha": 3e-4,
    "max_iter": 2000,
    "early_stopping": True,
    "scoring": "loss",
    "n_iter_no_change": "auto",
    "dropout": 0.1,
    "average": True,
}
CLASSIFIER_DEFAULTS = DEFAULTS | {"label_smoothing": 0.02}
REGRESSOR_DEFAULTS = DEFAULTS | {"normalize_y": True}


def tabular_pipeline(
    estimator: Literal["classifier", "regressor"] | BaseEstimator,
) -> Pipeline:
    """Return a pipeline for tables, with default parameters chosen for tables.

    The pipeline consists of ordinary steps. Display it to see them, and change their parameters
    with `set_params`. Its input is a DataFrame (pandas or polars), or an array of numbers.

    - Numerical columns are encoded by a `PiecewiseLinearEncoder` with ``add_scaled=True``, which
      needs no scaler. With more than 100,000 rows, its bins are those of a sample of the rows,
      drawn with ``random_state=0``. A column with missing values during fit has an additional
      column for them. In other columns, missing values are replaced by the median.
    - Categorical columns are those of strings, booleans, or a categorical type. They are one-hot
      encoded. The categories of a column that have fewer than 10 rows share one output column,
      which also stands for categories that did not occur during fit. If there is no such output
      column, these are encoded as zeros. A missing category is a category of its own.
    - Columns of dates, times, texts and other objects raise an error in `fit`, see Notes.

    Parameters
    ----------
    estimator : 'classifier', 'regressor', or estimator object
        The last step. An object is a classifier or a regressor, for example an ensemble from
        `torchmlp.ensemble`. The strings stand for estimators of torchmlp with
        ``hidden_layer_sizes=(256, 256)``, ``dropout=0.1``, ``solver='adamw'``, ``alpha=3e-4``,
        ``average=True``, ``max_iter=2000`` and early stopping by the validation loss, with
        ``n_iter_no_change='auto'``. The classifier has ``label_smoothing=0.02``, and the regressor
        ``normalize_y=True``.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Its steps are "columntransformer" and the estimator, under its name in lower case.

    Raises
    ------
    ValueError
        If `estimator` is none of these.

    See Also
    --------
    torchmlp.preprocessing.PiecewiseLinearEncoder : The encoding of the numbers.
    torchmlp.TorchMLPClassifier, torchmlp.TorchMLPRegressor : The networks.

    Notes
    -----
    `fit` raises a ValueError if a column contains neither numbers nor categories. A column of
    strings is regarded as text if it has more than 100 distinct values and if their number exceeds
    half the number of rows. The columns of a DataFrame are found by name. Their names must be
    different strings.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import tabular_pipeline
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> pipeline = tabular_pipeline("classifier").set_params(torchmlpclassifier__random_state=0)
    >>> pipeline.fit(X, y).score(X, y) > 0.9
    True
    """
    mlp = _estimator(estimator)
    numbers = PiecewiseLinearEncoder(
        target_type="multiclass" if is_classifier(mlp) else "continuous",
        handle_missing="median",
        add_scaled=True,
        random_state=0,
    )
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=MIN_FREQUENCY,
        sparse_output=False,
        dtype=np.float32,
    )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, numerical_columns),
            ("categories", categories, categorical_columns),
        ]
    )
    return make_pipeline(columns, mlp)


def numerical_columns(X: Any) -> list[Any]:
    """Return the columns with numbers: their names in a DataFrame, their indices in an array.

    Parameters
    ----------
    X : DataFrame, or array-like of shape (n_samples, n_features)
        The table.

    Returns
    -------
    columns : list of str or list of int

    Raises
    ------
    ValueError
        If a column contains neither numbers nor categories, or if the names of the columns are not
        different strings. See `tabular_pipeline`.

    Examples
    --------
    >>> import pandas as pd
    >>> from torchmlp.tabular import categorical_columns, numerical_columns
    >>> X = pd.DataFrame({"age": [31, 54, 27], "city": ["Oslo", "Porto", "Oslo"]})
    >>> numerical_columns(X), categorical_columns(X)
    (['age'], ['city'])
    """
    return _columns(X)[0]


def categorical_columns(X: Any) -> list[Any]:
    """Return the columns with categories: strings, booleans, or a categorical type.

    Parameters
    ----------
    X : DataFrame, or array-like of shape (n_samples, n_features)
        The table.

    Returns
    -------
    columns : list of str
        Empty for arrays, which contain numbers only.

    Raises
    ------
    ValueError
        If a column contains neither numbers nor categories, or if the names of the columns are not
        different strings. See `tabular_pipeline`.

    Examples
    --------
    >>> import pandas as pd
    >>> from torchmlp.tabular import categorical_columns
    >>> categorical_columns(pd.DataFrame({"age": [31, 54], "member": [True, False]}))
    ['member']
    """
    return _columns(X)[1]


def _columns(X):
    """Return the columns with numbers and those with categories."""
    _check_names(X)
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return _columns_of_array(X)
    numbers, categories, refused = [], [], []
    for column in frame.iter_columns():
        dtype = column.dtype
        if dtype.is_numeric():
            numbers.append(column.name)
        elif dtype in (nw.String, nw.Categorical, nw.Enum) and _has_pandas_na(column):
            refused.append(f"{column.name!r} (pandas.NA: convert the column with astype(str))")
        elif _is_text(column):
            refused.append(f"{column.name!r} (text: {column.n_unique()} distinct values)")
        elif dtype in (nw.String, nw.Boolean, nw.Categorical, nw.Enum):
            categories.append(column.name)
        else:
            refused.append(f"{column.name!r} ({_type_and_remedy(column)})")
    if refused:
        raise ValueError(
            f"Columns that are neither numbers nor categories: {', '.join(refused)}. Remove them, "
            "convert them, replace a date by numbers such as the year and the weekday, or encode "
            "them with skrub.TableVectorizer. Columns that contain categories need a string or "
            "categorical type."
        )
    return numbers, categories


def _check_names(X):
    """Raise a ValueError unless the names of the columns of a DataFrame are strings."""
    others = [name for name in getattr(X, "columns", []) if not isinstance(name, str)]
    if others:
        raise ValueError(
            f"The names of columns must be strings, got {others[:5]}. Convert them: "
            "X.columns = [str(name) for name in X.columns]."
        )


def _type_and_remedy(column):
    """Describe the type of a column that is refused."""
    native: Any = column.to_native()
    if column.dtype == nw.Object and hasattr(native, "convert_dtypes"):
        if native.convert_dtypes().dtype != object:
            return f"objects: convert the column with X[{column.name!r}].convert_dtypes()"
        return "objects of several types, or that are neither numbers nor strings"
    if column.null_count() == len(column):
        return f"{native.dtype}: cast the column to the type of its values, or remove it"
    return column.dtype


def _is_text(column):
    if column.dtype != nw.String:
        return False
    return column.n_unique() > max(MAX_DISTINCT, MAX_DISTINCT_FRACTION * len(column))


def _has_pandas_na(column):
    """Return whether a column contains `pandas.NA` among strings, which OneHotEncoder refuses."""
    nulls = np.asarray(column.filter(column.is_null()).to_native(), dtype=object)
    return any(type(null).__name__ == "NAType" for null in nulls)


def _columns_of_array(X):
    if sp.issparse(X):
        raise ValueError(
            "X is sparse, but only DataFrames and dense arrays are supported. Pass X.toarray(), or "
            "fit a TorchMLPClassifier or TorchMLPRegressor, which accept sparse data."
        )
    X = np.asarray(X)
    if not _contains_numbers(X):
        raise ValueError(
            "An array must contain numbers only. Pass a DataFrame, in which each column has a type "
            "of its own. Some meta-estimators, such as BaggingClassifier, convert a DataFrame to "
            "an array: pass them to tabular_pipeline instead."
        )
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array. Pass an array of rows.")
    return list(range(X.shape[1])), []


def _contains_numbers(X):
    if X.dtype.kind != "O":
        return X.dtype.kind in "buif"
    try:  # ColumnTransformer converts lists of numbers to arrays of objects
        X.astype(float)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _estimator(estimator):
    """Return the last step of the pipeline."""
    if isinstance(estimator, BaseEstimator) and (
        is_classifier(estimator) or is_regressor(estimator)
    ):
        return estimator
    name = estimator if isinstance(estimator, str) else None
    if name == "classifier":
        return TorchMLPClassifier(**CLASSIFIER_DEFAULTS)
    if name == "regressor":
        return TorchMLPRegressor(**REGRESSOR_DEFAULTS)
    raise ValueError(
        "estimator must be 'classifier', 'regressor', or an instance of a classifier or regressor "
        f"such as TorchMLPClassifier(), got {estimator!r}."
    )
