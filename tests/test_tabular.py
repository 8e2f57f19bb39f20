"""Tests for `tabular_pipeline`: kinds of columns, missing and unknown values, errors, ecosystem."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_html_repr

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, tabular_pipeline
from torchmlp.ensemble import WeightSharingRegressor
from torchmlp.tabular import categorical_columns, numerical_columns

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 240


def _table():
    rng = np.random.default_rng(0)
    table = {
        "age": rng.integers(18, 80, N),
        "income": rng.lognormal(10, 0.6, N),
        "rooms": rng.integers(1, 5, N).astype(np.float32),
        "city": rng.choice(["Lyon", "Oslo", "Porto"], N),
        "member": rng.random(N) < 0.5,
        "plan": pd.Categorical(rng.choice(["free", "pro"], N)),
    }
    return pd.DataFrame(table)


def _polars(table):
    frame = pl.DataFrame({name: table[name].astype(object).tolist() for name in table})
    return frame.with_columns(pl.col("plan").cast(pl.Enum(["free", "pro"])))


def _target(table):
    return table["income"].to_numpy() / 1e4 + 3 * (table["city"] == "Oslo").to_numpy()


def _regressor(**parameters):
    parameters = {"max_iter": 60, "random_state": 0, **parameters}
    pipeline = tabular_pipeline("regressor")
    return pipeline.set_params(**{f"torchmlpregressor__{k}": v for k, v in parameters.items()})


def _classifier():
    return tabular_pipeline("classifier").set_params(
        torchmlpclassifier__max_iter=30, torchmlpclassifier__random_state=0
    )


def test_kinds_of_columns():
    table = _table()
    for frame in table, _polars(table):
        assert numerical_columns(frame) == ["age", "income", "rooms"]
        assert categorical_columns(frame) == ["city", "member", "plan"]
    assert numerical_columns(np.zeros((3, 2))) == [0, 1]
    assert categorical_columns(np.zeros((3, 2), bool)) == []


def test_a_table_with_numbers_and_categories():
    table = _table()
    model = _regressor().fit(table, _target(table))
    assert model.score(table, _target(table)) > 0.95
    names = list(model[0].get_feature_names_out())
    assert {"numbers__age_bin_0", "categories__city_Oslo", "categories__plan_pro"} <= set(names)
    expected = _regressor().fit(_polars(table), _target(table)).predict(_polars(table))
    np.testing.assert_allclose(model.predict(table), expected, rtol=1e-5)


def test_missing_values_also_in_columns_that_had_none():
    table, y = _table(), _target(_table())
    table.loc[::7, "income"] = np.nan
    table.loc[::5, "city"] = None
    model = _regressor().fit(table, y)
    names = list(model[0].get_feature_names_out())
    assert "numbers__income_missing" in names
    other, imputed = table.copy(), table.copy()
    other.loc[:3, "rooms"] = np.nan
    imputed.loc[:3, "rooms"] = table["rooms"].quantile(interpolation="lower")
    np.testing.assert_array_equal(model.predict(other), model.predict(imputed))
    other.loc[:3, "plan"] = None
    assert np.isfinite(model.predict(other)).all()


def test_categories_that_are_rare_or_unknown_share_a_column():
    table, y = _table(), _target(_table())
    table.loc[0, "city"], table.loc[1, "city"] = "Rome", "Turin"
    model = _regressor().fit(table, y)
    assert "categories__city_infrequent_sklearn" in model[0].get_feature_names_out()
    rare, unknown = table.iloc[[0]].copy(), table.iloc[[0]].copy()
    unknown["city"] = "Vienna"
    assert model.predict(rare) == model.predict(unknown)


REFUSED = {
    "date": (datetime.date(2020, 1, 1), r"'new' \("),
    "time": (pd.Timestamp("2020-01-01"), r"'new' \(Datetime"),
    "duration": (pd.Timedelta(days=1), r"'new' \(Duration"),
    "list": ([1, 2], r"'new' \("),
    "text": (None, r"'new' \(text: 240 distinct values\)"),
}


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
def test_columns_that_are_neither_numbers_nor_categories_raise(value, message):
    table = _table()
    table["new"] = [f"name {i}" if value is None else value for i in range(N)]
    with pytest.raises(ValueError, match=message) as caught:
        _regressor().fit(table, _target(table))
    assert "skrub.TableVectorizer" in str(caught.value)


NAMES = {
    "integers": [1, 0, 3, 2, 5, 4],
    "booleans": [True, False, 2, 3, 4, 5],
    "floats": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
    "tuples": [("a", i) for i in range(6)],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_names_of_columns_that_are_not_strings_raise(names):
    table = _table()
    table.columns = names
    with pytest.raises(ValueError, match="names of columns must be strings") as caught:
        _regressor().fit(table, _target(_table()))
    assert "X.columns = [str(name) for name in X.columns]" in str(caught.value)
    table.columns = [str(name) for name in table.columns]
    _regressor(max_iter=2).fit(table, _target(_table()))


def test_repeated_names_of_columns_raise():
    table = _table()
    table.columns = ["a", "a", "b", "c", "d", "c"]
    with pytest.raises(ValueError, match=r"unique column names, got:\s+- 'a' 2 times"):
        _regressor().fit(table, _target(_table()))


OBJECTS = {
    "booleans": ([True, None], r"X\['new'\].convert_dtypes\(\)"),
    "numbers": ([1, None], r"X\['new'\].convert_dtypes\(\)"),
    "strings": (["a", pd.NA], r"pandas.NA: convert the column with astype\(str\)"),
    "mixed": ([1, "a"], "objects of several types"),
}


@pytest.mark.parametrize(("values", "message"), OBJECTS.values(), ids=OBJECTS)
def test_columns_of_objects_raise_an_error_with_the_conversion(values, message):
    table = _table()
    table["new"] = pd.Series(values * (N // 2), dtype=object)
    with pytest.raises(ValueError, match=r"'new' \(.*" + message):
        _regressor().fit(table, _target(table))
    if "convert" in message:
        is_text = isinstance(values[0], str)
        table["new"] = table["new"].astype(str) if is_text else table["new"].convert_dtypes()
        _regressor(max_iter=2).fit(table, _target(table))


def test_a_polars_column_without_values_raises():
    table = _polars(_table()).with_columns(new=pl.lit(None))
    with pytest.raises(
        ValueError, match=r"'new' \(Null: cast the column to the type of its values"
    ):
        _regressor().fit(table, _target(_table()))


def test_errors_for_unusable_numbers_name_the_column():
    table, y = _table(), _target(_table())
    with pytest.raises(ValueError, match=r"columns \['age'\]: Input X contains infinity"):
        _regressor().fit(table.assign(age=np.inf), y)
    model = _regressor(max_iter=2).fit(table, y)
    for frame in table.assign(age="old"), _polars(table).with_columns(age=pl.lit("old")):
        with pytest.raises(ValueError, match=r"X cannot be used: columns \['age'\]: could not"):
            model.predict(frame)


NOT_NUMBERS = {
    "objects": (_table().to_numpy(dtype=object), "must contain numbers only. Pass a DataFrame"),
    "dates": (np.full((N, 2), np.datetime64("2020-01-01")), "must contain numbers only"),
    "complex": (np.full((N, 2), 1j), "must contain numbers only"),
    "one dimension": (np.arange(N), "Expected 2D array, got 1D array"),
    "sparse": (sp.csr_array((N, 2)), "X is sparse, but only"),
}


@pytest.mark.parametrize(("X", "message"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_arrays_without_rows_of_numbers_raise(X, message):
    with pytest.raises(ValueError, match=message):
        _regressor().fit(X, _target(_table()))


def test_lists_of_numbers_are_arrays():
    X = _table()[["age", "income"]].to_numpy()
    expected = _regressor(max_iter=2).fit(X, _target(_table())).predict(X)
    model = _regressor(max_iter=2).fit(X.tolist(), _target(_table()))
    np.testing.assert_array_equal(model.predict(X.tolist()), expected)


def test_missing_values_of_the_nullable_string_type():
    table, y = _table(), _target(_table())
    table["city"] = table["city"].astype("string")
    _regressor(max_iter=2).fit(table, y)
    table.loc[0, "city"] = pd.NA
    for column in table["city"], table["city"].astype("category"):
        with pytest.raises(ValueError, match=r"'city' \(pandas.NA: convert .* astype\(str\)\)"):
            _regressor(max_iter=2).fit(table.assign(city=column), y)
    table["city"] = table["city"].astype(str)
    assert np.isfinite(_regressor(max_iter=2).fit(table, y).predict(table[:3])).all()


@pytest.mark.parametrize("estimator", ["boosting", TorchMLPClassifier, 3, np.array(["regressor"])])
def test_other_estimators_raise(estimator):
    with pytest.raises(ValueError, match="must be 'classifier', 'regressor', or an instance of"):
        tabular_pipeline(estimator)


@pytest.mark.parametrize(
    "estimator",
    [TorchMLPRegressor(hidden_layer_sizes=(3,)), WeightSharingRegressor(), Ridge()],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_is_used_as_it_is(estimator):
    pipeline = tabular_pipeline(estimator)
    assert pipeline[-1] is estimator
    assert pipeline.fit(_table(), _target(_table())).predict(_table()).shape == (N,)


def test_it_is_an_ordinary_pipeline():
    table, y = _table(), _target(_table()) > 4
    model = _classifier()
    assert "dropout" in estimator_html_repr(model)
    clone(model).set_params(columntransformer__numbers__n_bins=4)
    model.fit(table, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(table), model.predict_proba(table))
    labels = np.where(y, "yes", "no")
    assert set(_classifier().fit(table, labels).predict(table)) <= {"yes", "no"}


def test_searches_with_the_joblib_backend():
    table, y = _table(), _target(_table()) > 4
    grid = {"torchmlpclassifier__alpha": [1e-4, 1e-2]}
    serial = GridSearchCV(_classifier(), grid, cv=3).fit(table, y)
    with parallel_config(backend="torchmlp"):
        together = GridSearchCV(_classifier(), grid, cv=3).fit(table, y)
        assert cross_val_score(_classifier(), table, y, cv=3).mean() > 0.8
    assert together.best_params_ == serial.best_params_


@pytest.mark.filterwarnings("ignore:X has feature names")  # before the error for X_val
def test_validation_data_are_encoded():
    table, y = _table(), _target(_table())
    with sklearn.config_context(enable_metadata_routing=True):
        model = _regressor()
        model[-1].set_fit_request(X_val=True, y_val=True)
        with pytest.raises(ValueError, match=r"^X_val.* set_params\(transform_input=\['X_val'\]\)"):
            model.fit(table, y, X_val=table[:50], y_val=y[:50])
        with pytest.raises(ValueError, match=r"^X_val: X has 2 feat.*transform_input=\['X_val'\]"):
            model.fit(table, y, X_val=np.zeros((50, 2)), y_val=y[:50])
        model.set_params(transform_input=["X_val"])
        model.fit(table, y, X_val=table[:50], y_val=y[:50])
    assert len(model[-1].validation_scores_) == model[-1].n_iter_


def test_large_targets_give_no_warning_about_their_scale():
    table = _table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = _regressor().fit(table, 1e6 * _target(table))
    assert model.score(table, 1e6 * _target(table)) > 0.9
