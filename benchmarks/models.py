"""Models with default parameters for tables with categories and missing values."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from torchmlp import TorchMLPClassifier, TorchMLPRegressor, tabular_pipeline

NUMBERS = make_column_selector(dtype_include="number")
CATEGORIES = make_column_selector(dtype_exclude="number")


@dataclass(frozen=True)
class Model:
    """A kind of model.

    Attributes
    ----------
    make : callable (table, seed) -> estimator
        The estimator accepts DataFrames.
    categorical : bool
        Whether columns of strings are converted to the type "category" before fit and predict.
    package : str
        Package that has to be installed.
    """

    make: Callable
    categorical: bool = False
    package: str = "sklearn"

    @property
    def installed(self):
        return importlib.util.find_spec(self.package) is not None

    def prepared(self, X):
        """Return the DataFrame as the estimator expects it."""
        if not self.categorical:
            return X
        return X.astype(dict.fromkeys(CATEGORIES(X), "category"))


def pair(classifier, regressor, table, seed, **options):
    """Return the estimator for the task of the table."""
    estimator = classifier if table.task == "classification" else regressor
    return estimator(random_state=seed, **options)


def one_hot(classifier, regressor):
    """Return a `Model` with a median imputer and a scaler for numbers, and one-hot categories."""

    def make(table, seed):
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns = make_column_transformer((numbers, NUMBERS), (categories, CATEGORIES))
        return make_pipeline(columns, pair(classifier, regressor, table, seed))

    return Model(make)


def tabular(table, seed):
    """Return `tabular_pipeline` for the task of the table."""
    pipeline = tabular_pipeline("classifier" if table.task == "classification" else "regressor")
    pipeline[-1].set_params(random_state=seed)
    return pipeline


def for_each_output(estimator, table):
    """Return the estimator, repeated for each output if there are several."""
    return estimator if table.y.ndim == 1 else MultiOutputRegressor(estimator)


def hist_gradient_boosting(table, seed):
    estimator = pair(HistGradientBoostingClassifier, HistGradientBoostingRegressor, table, seed)
    return for_each_output(estimator.set_params(categorical_features="from_dtype"), table)


def realmlp(table, seed):
    """Return RealMLP-TD. It encodes categories itself, but does not accept missing numbers."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    columns = make_column_transformer(
        (SimpleImputer(strategy="median"), NUMBERS),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = pair(RealMLP_TD_Classifier, RealMLP_TD_Regressor, table, seed, device="cpu")
    return make_pipeline(columns, model)


def xgboost(table, seed):
    from xgboost import XGBClassifier, XGBRegressor

    return pair(XGBClassifier, XGBRegressor, table, seed, enable_categorical=True)


def lightgbm(table, seed):
    from lightgbm import LGBMClassifier, LGBMRegressor

    return for_each_output(pair(LGBMClassifier, LGBMRegressor, table, seed, verbosity=-1), table)


MODELS = {
    "tabular_pipeline": Model(tabular),
    "TorchMLP": one_hot(TorchMLPClassifier, TorchMLPRegressor),
    "sklearn MLP": one_hot(MLPClassifier, MLPRegressor),
    "HistGradientBoosting": Model(hist_gradient_boosting, categorical=True),
    "RandomForest": one_hot(RandomForestClassifier, RandomForestRegressor),
    "RealMLP-TD": Model(realmlp, categorical=True, package="pytabkit"),
    "XGBoost": Model(xgboost, categorical=True, package="xgboost"),
    "LightGBM": Model(lightgbm, categorical=True, package="lightgbm"),
}
