"""Values of unusual types in X, y and the weights: used as numbers or labels, or a clear error."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from helpers import (
    CLASSIFIERS,
    OURS,
    REGRESSORS,
    TASKS,
    assert_identical,
    assert_same_weights,
    fit_quietly,
    iris,
)
from sklearn.base import clone

from torchmlp import TorchMLPClassifier, TorchMLPRegressor

X, y = iris()
DAYS = pd.date_range("2020-01-01", periods=150)
MULTILABEL = TASKS["multilabel"][1:3]


def _frame(column):
    return pd.DataFrame(X, columns=list("abcd")).assign(c=column)


def _calls(estimator, rows):
    """Yield what X is called, and a function that passes these rows as X."""
    classes = {"classes": [0, 1, 2]} if estimator is TorchMLPClassifier else {}
    good = pd.DataFrame(X, columns=list(rows.columns)) if hasattr(rows, "columns") else X
    fitted = fit_quietly(estimator(max_iter=2), good, y)
    yield "X", lambda: estimator().fit(rows, y)
    yield "X", lambda: estimator().partial_fit(rows, y, **classes)
    yield "X", lambda: fitted.predict(rows)
    yield "X", lambda: fitted.hidden_activations(rows)
    yield "X", lambda: fitted.score(rows, y)
    yield "X_val", lambda: estimator().fit(good, y, X_val=rows, y_val=y)


DATES = {
    "naive": (_frame(DAYS), r"column 'c'"),
    "aware": (_frame(DAYS.tz_localize("UTC")), r"column 'c'"),
    "aware only": (pd.DataFrame({str(i): DAYS.tz_localize("UTC") for i in range(4)}), "column '0'"),
    "duration": (_frame(DAYS - DAYS[0]), r"column 'c'"),
    "array": (np.full((150, 4), "2020-01-01", dtype="datetime64[D]"), r"dtype datetime64\[D\]"),
    "durations": (np.full((150, 4), 3, dtype="timedelta64[s]"), r"dtype timedelta64\[s\]"),
    "polars": (pl.DataFrame(X).with_columns(pl.lit(DAYS[0]).alias("column_2")), "'column_2'"),
}


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize("kind", DATES)
def test_dates_in_X_raise(estimator, kind):
    rows, where = DATES[kind]
    for name, call in _calls(estimator, rows):
        with pytest.raises(
            TypeError, match=rf"{name}: Got dates or durations \(.*{where}.*Convert"
        ):
            call()


NOT_NUMBERS = {
    "timestamps": (np.full((150, 4), DAYS[0], dtype=object), TypeError, "'Timestamp'"),
    "dates": (np.full((150, 4), datetime.date(2020, 1, 1), dtype=object), TypeError, "date'"),
    "periods": (_frame(DAYS.to_period("D")), TypeError, "'Period'"),
    "categories": (_frame(pd.Categorical(["a", "b"] * 75)), ValueError, "'a'"),
    "text": (np.full((150, 4), "red"), ValueError, "red"),
    "polars text": (pl.DataFrame({str(i): ["red"] * 150 for i in range(4)}), ValueError, "'red'"),
    "lists": (_frame(pd.Series([[1, 2]] * 150)), ValueError, "with a sequence"),
    "ragged": ([[1, 2, 3, 4]] * 149 + [[1, 2]], ValueError, "with a sequence"),
    "ragged objects": (np.array([[1, 2], [3]] * 75, dtype=object), ValueError, "with a sequence"),
    "void": (np.zeros((150, 4), dtype="V8"), ValueError, "with a sequence"),
    "huge integers": ([[10**400] * 4] * 150, ValueError, "too large"),
    "complex objects": (np.full((150, 4), 1j, dtype=object), TypeError, "'complex'"),
}


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_values_of_X_that_are_not_numbers_raise(estimator, kind):
    rows, error, value = NOT_NUMBERS[kind]
    for name, call in _calls(estimator, rows):
        remedy = "transform_input" if name == "X_val" else "OneHotEncoder"
        with pytest.raises(error, match=f"{name} cannot be used: .*{value}.*{remedy}"):
            call()


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    "missing",
    [
        _frame(pd.array([1, None] * 75, dtype="Int64")),
        _frame(pd.array([1.0, None] * 75, dtype="Float64")),
        _frame(pd.array([True, None] * 75, dtype="boolean")),
        np.where(X > 1, None, X),
        [[Decimal("NaN")] * 4] * 150,
    ],
    ids=["Int64", "Float64", "boolean", "None", "Decimal"],
)
def test_missing_values_raise(estimator, missing):
    for name, call in _calls(estimator, missing):
        with pytest.raises(ValueError, match=f"{name if '_' in name else ''}.*contains NaN"):
            call()


@pytest.mark.parametrize("estimator", OURS)
def test_infinite_decimals_raise(estimator):
    for name, call in _calls(estimator, [[Decimal("Infinity")] * 4] * 150):
        with pytest.raises(ValueError, match=f"{name if '_' in name else ''}.*contains infinity"):
            call()


ROUNDED = X.round(3)
NUMBERS = {
    "decimals": np.array([[Decimal(str(v)) for v in row] for row in ROUNDED.tolist()]),
    "list of decimals": [[Decimal(str(v)) for v in row] for row in ROUNDED.tolist()],
    "decimal columns": pd.DataFrame(ROUNDED).map(lambda v: Decimal(str(v))),
    "polars decimals": pl.DataFrame(ROUNDED.astype(str)).cast(pl.Decimal(9, 3)),
    "objects": ROUNDED.astype(object),
    "text": ROUNDED.astype(str),
    "bytes": ROUNDED.astype("S"),
    "list of text": ROUNDED.astype(str).tolist(),
    "text columns": pd.DataFrame(ROUNDED.astype(str)),
    "variable-width text": ROUNDED.astype(np.dtypes.StringDType()),
    "nullable": pd.DataFrame(ROUNDED).convert_dtypes(),
    "categories": pd.DataFrame(ROUNDED).astype("category"),
    "masked, nothing masked": np.ma.array(ROUNDED),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_what_can_be_read_as_numbers_fits_and_predicts(kind):
    rows, mlp = NUMBERS[kind], TorchMLPRegressor(max_iter=3, random_state=0)
    plain = fit_quietly(clone(mlp), ROUNDED, y)
    assert_identical(fit_quietly(clone(mlp), rows, y), plain)
    if not hasattr(rows, "columns"):
        np.testing.assert_array_equal(plain.predict(rows), plain.predict(ROUNDED))
    predicted = fit_quietly(clone(mlp), rows, y).predict(rows)
    np.testing.assert_allclose(predicted, plain.predict(ROUNDED), rtol=1e-11)


@pytest.mark.parametrize("estimator", OURS)
def test_masked_values_raise(estimator):
    rows = np.ma.masked_greater(X, 1)
    for name, call in _calls(estimator, rows):
        with pytest.raises(ValueError, match=rf"{name}: Got {rows.mask.sum()} masked values.*Impu"):
            call()
    labels = np.ma.masked_equal(y, 2)
    with pytest.raises(ValueError, match="y: Got 50 masked values"):
        estimator().fit(X, labels)
    with pytest.raises(ValueError, match="sample_weight: Got 50 masked values"):
        estimator().fit(X, y, sample_weight=np.ma.array(np.ones(150), mask=y == 2))


LABELS = {
    "missing": (np.array(["a", None] * 75, dtype=object), TypeError, "'NoneType' and 'str'"),
    "two types": (np.array(["a", 1] * 75, dtype=object), TypeError, "'int' and 'str'"),
    "missing text": (pd.Series(["a", None] * 75, dtype="string"), TypeError, "NA is ambiguous"),
    "void": (np.zeros(150, dtype="V8"), TypeError, "unhashable"),
    "timestamps": (pd.Series(DAYS.tz_localize("UTC")), ValueError, "Unknown label type"),
    "decimals": ([Decimal(1), Decimal(2)] * 75, ValueError, "Unknown label type"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_cannot_be_sorted_raise(kind):
    labels, error, text = LABELS[kind]
    with pytest.raises(error, match=f"(?s)y cannot be used: .*{text}.*must all have the same type"):
        TorchMLPClassifier().fit(X, labels)
    with pytest.raises(error, match=f"(?s)y cannot be used: .*{text}.*must all have the same type"):
        TorchMLPClassifier().partial_fit(X, labels, classes=["a", "b"])
    with pytest.raises(
        error, match=f"(?s)y_val cannot be used: .*{text}.*must all have the same type"
    ):
        TorchMLPClassifier().fit(X, y, X_val=X, y_val=labels)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (pd.Series(DAYS), "y: Got dates or durations"),
        (pd.Series(DAYS.tz_localize("UTC")), "y: Got dates or durations"),
        (np.full(150, DAYS[0], dtype=object), "y cannot be used: .*'Timestamp'.*must be numbers"),
        (3.0, "y: .*got scalar"),
    ],
    ids=["naive", "aware", "objects", "scalar"],
)
def test_targets_that_are_not_numbers_raise(targets, text):
    with pytest.raises(TypeError, match=text):
        TorchMLPRegressor().fit(X, targets)
    with pytest.raises(TypeError, match=text.replace("y", "y_val", 1)):
        TorchMLPRegressor().fit(X, y, X_val=X, y_val=targets)


def test_decimal_targets_are_numbers():
    mlp = TorchMLPRegressor(max_iter=3, random_state=0)
    plain = fit_quietly(clone(mlp), X, y)
    assert_identical(fit_quietly(mlp, X, [Decimal(int(v)) for v in y]), plain)


@pytest.mark.parametrize("y_val", [np.ones((150, 2)), np.ones((150, 3))])
def test_validation_targets_have_as_many_outputs_as_y(y_val):
    with pytest.raises(ValueError, match=rf"y_val has {y_val.shape[1]} outputs, but y has 1"):
        TorchMLPRegressor().fit(X, y, X_val=X, y_val=y_val)


SPARSE = [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_array]


@pytest.mark.parametrize("container", SPARSE)
def test_sparse_labels_as_in_scikit_learn(container):
    rows, labels = MULTILABEL
    theirs, ours = (
        fit_quietly(c(random_state=0, max_iter=5), rows, container(labels)) for c in CLASSIFIERS
    )
    assert_same_weights(theirs, ours)
    predicted, expected = ours.predict(rows), theirs.predict(rows)
    assert sp.issparse(predicted)
    assert predicted.format == expected.format
    np.testing.assert_array_equal(predicted.toarray(), expected.toarray())
    assert ours.score(rows, container(labels)) == theirs.score(rows, container(labels))


@pytest.mark.parametrize("container", SPARSE)
def test_sparse_targets_as_in_scikit_learn(container):
    rows, labels = MULTILABEL
    theirs, ours = (r(random_state=0, max_iter=5) for r in REGRESSORS)
    # scikit-learn's class takes sparse arrays, but not sparse matrices.
    fit_quietly(theirs, rows, sp.csr_array(labels))
    assert_same_weights(theirs, fit_quietly(ours, rows, container(labels)))


@pytest.mark.parametrize("scoring", [None, "loss", "f1_micro"])
def test_sparse_labels_in_validation_data(scoring):
    rows, labels = MULTILABEL
    mlp = TorchMLPClassifier(early_stopping=True, scoring=scoring, max_iter=4, random_state=0)
    expected = fit_quietly(clone(mlp), rows, labels, X_val=rows, y_val=labels)
    sparse = sp.csr_array(labels)
    got = fit_quietly(mlp, rows, sparse, X_val=rows, y_val=sparse)
    assert got.validation_scores_ == expected.validation_scores_


SCALARS = {
    np.nan: r"{} and its sum must be finite, got a maximum of nan",
    np.inf: r"{} and its sum must be finite, got a maximum of inf",
    np.float32("nan"): r"{} and its sum must be finite, got a maximum of nan",
    -1.0: r"{} must be non-negative, got -1.0",
    0.0: r"at least one non-zero number. Got {} with 150 zeros",
    "a": r"{} cannot be used: .*'a'.*one number per sample",
}


@pytest.mark.parametrize("value", SCALARS, ids=str)
@pytest.mark.parametrize("estimator", OURS)
def test_invalid_scalar_weights_raise(estimator, value):
    text = SCALARS[value]
    classes = {"classes": [0, 1, 2]} if estimator is TorchMLPClassifier else {}
    with pytest.raises(ValueError, match=text.format("sample_weight")):
        estimator().fit(X, y, sample_weight=value)
    with pytest.raises(ValueError, match=text.format("sample_weight")):
        estimator().partial_fit(X, y, sample_weight=value, **classes)
    with pytest.raises(ValueError, match=text.format("sample_weight_val")):
        estimator().fit(X, y, X_val=X, y_val=y, sample_weight_val=value)


@pytest.mark.parametrize("estimator", OURS)
@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        (np.full(150, 1e308), ValueError, "sample_weight and its sum must be finite"),
        (["a"] * 150, ValueError, "sample_weight cannot be used: .*'a'"),
        (pd.Series(DAYS), TypeError, "sample_weight: Got dates"),
        (np.array(3.0), TypeError, "sample_weight: .*got scalar"),
        (sp.csr_array(np.ones((150, 1))), TypeError, "Sparse data was passed for sample_weight"),
    ],
    ids=["sum", "text", "dates", "no dimension", "sparse"],
)
def test_invalid_weights_raise(estimator, weights, error, text):
    with pytest.raises(error, match=text):
        estimator().fit(X, y, sample_weight=weights)


def test_invalid_class_weights_raise():
    with pytest.raises(ValueError, match=r"class_weight must be non-negative, got -2\.0"):
        TorchMLPClassifier(class_weight={0: -2.0}).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight: .*contains NaN"):
        TorchMLPClassifier(class_weight={0: np.nan}).fit(X, y)


def test_keys_of_class_weight_that_are_not_classes_raise():
    colors = np.array(["blue", "green", "red"])[y]
    message = r"not classes: \['purple'\]\. The classes are \['blue', 'green', 'red'\]\. Use labels"
    with pytest.raises(ValueError, match=message):
        TorchMLPClassifier(class_weight={"purple": 1, "red": 2}).fit(X, colors)
    # A fold of a cross-validation may lack a rare class.
    weights = {"blue": 1, "green": 3, "red": 2, "purple": 4}
    fit_quietly(TorchMLPClassifier(class_weight=weights, max_iter=2), X, colors)


@pytest.mark.parametrize("size", [np.array(3), np.int8(3), (np.array(3),), np.array([3])])
@pytest.mark.parametrize("estimator", OURS)
def test_hidden_layer_sizes_as_integers_of_any_kind(estimator, size):
    mlp = fit_quietly(estimator(hidden_layer_sizes=size, max_iter=2), X, y)
    assert mlp.coefs_[0].shape == (4, 3)


@pytest.mark.parametrize("size", [np.array(3.0), np.array(0), np.True_, (np.ones(2, int),)])
def test_invalid_hidden_layer_sizes_raise(size):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.*[gG]ot"):
        TorchMLPRegressor(hidden_layer_sizes=size).fit(X, y)


CITIES = {"a": [1.0, 2.0, 3.0], "city": ["Rome", "Oslo", "Bonn"], "land": ["I", "N", "D"]}


@pytest.mark.parametrize("library", [pd, pl])
def test_error_for_text_names_the_columns(library):
    message = r"X cannot be used: columns \['city', 'land'\]: could not convert.*OneHotEncoder"
    with pytest.raises(ValueError, match=message):
        TorchMLPRegressor().fit(library.DataFrame(CITIES), [1.0, 2.0, 3.0])
    numbers = library.DataFrame(dict(CITIES, city=[1.0, 2.0, 3.0], land=[1.0, 2.0, 3.0]))
    mlp = fit_quietly(TorchMLPRegressor(max_iter=1), numbers, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=message):
        mlp.predict(library.DataFrame(CITIES))
