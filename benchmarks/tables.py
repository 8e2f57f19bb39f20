"""Real tables in `benchmarks/data` as DataFrames, with their splits and metrics."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

from benchmarks.machine import ROOT

FOLDER = ROOT / "benchmarks" / "data"
PART = "part"  # column with the published split
# Name of each table -> columns of its target, in the order of the number of rows.
TARGETS = {
    "penguins": ["species"],
    "mtr_enb": ["heating_load", "cooling_load"],
    "optdigits": ["digit"],
    "churn": ["Exited"],
    "california": ["MedHouseVal"],
    "adult": ["income"],
}
REGRESSION = {"california", "mtr_enb"}
FRACTION = 0.2  # of the rows in the random test and validation parts


class Split(NamedTuple):
    """Indices of the rows of each part."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Table:
    """A table with its target.

    Attributes
    ----------
    name : str
    X : DataFrame of shape (n_samples, n_features)
        Numbers are float64, categories are strings. Missing values are NaN.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Numbers for regression, codes of the classes in sorted order for classification.
    task : {"classification", "regression"}
    parts : ndarray of shape (n_samples,) or None
        Published part of each row: "train", "validation" or "test". There may be no "validation".
        None if no split was published.
    """

    name: str
    X: pd.DataFrame
    y: np.ndarray
    task: str
    parts: np.ndarray | None = None

    @property
    def metric(self):
        """Name of the metric in `METRICS`."""
        if self.task == "classification":
            return "accuracy"
        return "RMSE" if self.y.ndim == 1 else "aRRMSE"

    def score(self, y_true, y_pred):
        """Return the metric of predictions as a float."""
        return float(METRICS[self.metric](y_true, y_pred))

    def split(self, seed):
        """Return the published split, in which parts that were not published are random.

        Parameters
        ----------
        seed : int
            Seed of the random parts, which have the same share of each class.

        Returns
        -------
        split : Split
            The indices of each part are sorted.
        """
        rows = np.arange(len(self.y))
        if self.parts is None:
            rest, test = self._random_parts(rows, len(rows), seed)
        else:
            rest, test = rows[self.parts != "test"], rows[self.parts == "test"]
        if self.parts is not None and "validation" in self.parts:
            train, validation = (rows[self.parts == part] for part in ("train", "validation"))
        else:
            train, validation = self._random_parts(rest, len(rows), seed)
        return Split(train, validation, test)

    def _random_parts(self, rows, n_rows, seed):
        """Return rows in two random parts. The second has a fifth of `n_rows`."""
        stratify = self.y[rows] if self.task == "classification" else None
        size = round(FRACTION * n_rows)
        parts = train_test_split(rows, test_size=size, random_state=seed, stratify=stratify)
        return tuple(np.sort(part) for part in parts)


def mean_relative_rmse(y_true, y_pred):
    """Return the mean over the outputs of the RMSE divided by the standard deviation of y_true."""
    errors = np.sqrt(np.mean((y_true - y_pred) ** 2, axis=0))
    return np.mean(errors / np.std(y_true, axis=0))


# Name of each metric -> function of y_true and y_pred.
METRICS: dict[str, Any] = {
    "accuracy": accuracy_score,
    "RMSE": root_mean_squared_error,
    "aRRMSE": mean_relative_rmse,
}
GREATER_IS_BETTER = {"accuracy"}


def load(name):
    """Return a table of `benchmarks/data`.

    Parameters
    ----------
    name : str
        Key of `TARGETS`.

    Returns
    -------
    table : Table
    """
    frame = pd.read_csv(FOLDER / f"{name}.csv.xz")
    parts = frame.pop(PART).to_numpy(dtype=str) if PART in frame else None
    y = frame[TARGETS[name]].to_numpy()
    y = y[:, 0] if y.shape[1] == 1 else y
    X = frame.drop(columns=TARGETS[name])
    X = X.astype(dict.fromkeys(X.select_dtypes("number"), float))
    if name in REGRESSION:
        return Table(name, X, y.astype(float), "regression", parts)
    return Table(name, X, np.unique(y, return_inverse=True)[1], "classification", parts)
