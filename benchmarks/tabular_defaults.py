"""Validation scores of `tabular_pipeline` with other default parameters.

``python -m benchmarks.tabular_defaults`` prints a table with one row per variant and one column per
data set. The rows of the test parts are not used. The results are in benchmarks/NOTES.md.
"""

import argparse
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from benchmarks.models import MODELS, Model, tabular
from benchmarks.tables import TARGETS, Table, load

BUNDLED = {
    "diabetes": (load_diabetes, "regression"),
    "breast_cancer": (load_breast_cancer, "classification"),
    "wine": (load_wine, "classification"),
}
FEW_ROWS = 400
WITH_FEW_ROWS = "churn", "california", "adult"
# Name -> parameters of the encoder, and of the network.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tabular_pipeline": ({}, {}),
    "add_scaled=False": ({"add_scaled": False}, {}),
    "min_samples_leaf=16": ({"min_samples_leaf": 16}, {}),
    "min_impurity_fraction=0": ({"min_impurity_fraction": 0.0}, {}),
    "average=False": ({}, {"average": False}),
    "label_smoothing=0": ({}, {"label_smoothing": 0.0}),
    "label_smoothing=0.1": ({}, {"label_smoothing": 0.1}),
    "dropout=0": ({}, {"dropout": 0.0}),
    "dropout=0.2": ({}, {"dropout": 0.2}),
    "alpha=3e-3": ({}, {"alpha": 3e-3}),
    "alpha=3e-2": ({}, {"alpha": 3e-2}),
    "batch_size=64": ({}, {"batch_size": 64}),
    "learning_rate_init=3e-4": ({}, {"learning_rate_init": 3e-4}),
    "learning_rate_init=3e-3": ({}, {"learning_rate_init": 3e-3}),
    "(128, 128)": ({}, {"hidden_layer_sizes": (128, 128)}),
    "(256, 256, 256)": ({}, {"hidden_layer_sizes": (256, 256, 256)}),
    "n_iter_no_change=16": ({}, {"n_iter_no_change": 16}),
    "tol=1e-5": ({}, {"tol": 1e-5}),
}
REFERENCES = "TorchMLP", "HistGradientBoosting", "RandomForest"


def variant(encoder, network):
    """Return a `Model`: `tabular_pipeline` with other parameters."""

    def make(table, seed):
        pipeline = tabular(table, seed)
        numbers = {f"columntransformer__numbers__{k}": v for k, v in encoder.items()}
        known = pipeline[-1].get_params()
        pipeline[-1].set_params(**{k: v for k, v in network.items() if k in known})
        return pipeline.set_params(**numbers)

    return Model(make)


def bundled(name):
    """Return data of scikit-learn as a `Table`."""
    function, task = BUNDLED[name]
    X, y = function(return_X_y=True, as_frame=True)
    return Table(name, X.astype(float), y.to_numpy(), task)


def data_sets():
    """Return a dict from name to (callable that returns the table, number of rows or None).

    The number of rows is that of the training part to use. None means all.
    """
    few = {f"{name}, {FEW_ROWS} rows": (partial(load, name), FEW_ROWS) for name in WITH_FEW_ROWS}
    sets = {name: (partial(bundled, name), None) for name in BUNDLED}
    return few | sets | {name: (partial(load, name), None) for name in TARGETS}


def error(model, table, n_rows, seed):
    """Return the validation error: 1 - accuracy, or RMSE divided by the standard deviation of y."""
    split = table.split(seed)
    train = np.random.default_rng(seed).permutation(split.train)[:n_rows]
    X, y = model.prepared(table.X), table.y
    with warnings.catch_warnings(action="ignore"):
        estimator = model.make(table, seed).fit(X.iloc[train], y[train])
    predicted, expected = estimator.predict(X.iloc[split.validation]), y[split.validation]
    if table.task == "classification":
        return 1 - table.score(expected, predicted)
    relative = replace(table, y=expected.reshape(len(expected), -1))  # aRRMSE
    return relative.score(relative.y, predicted.reshape(relative.y.shape))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="*", help="names of data sets, all by default")
    parser.add_argument("--variants", nargs="*", help="names of variants, all by default")
    options = parser.parse_args(arguments)
    sets = {
        name: (load_table(), n_rows)
        for name, (load_table, n_rows) in data_sets().items()
        if not options.data or name in options.data
    }
    models = {name: variant(*parameters) for name, parameters in VARIANTS.items()}
    models |= {name: MODELS[name] for name in REFERENCES}
    print("| variant |", " | ".join(sets), "|")
    print("|---|" + "---|" * len(sets))
    for name, model in models.items():
        if options.variants and name not in options.variants:
            continue
        print(f"| {name} |", end="", flush=True)
        for table, n_rows in sets.values():
            errors = [error(model, table, n_rows, seed) for seed in range(options.seeds)]
            print(f" {np.mean(errors):.4f} |", end="", flush=True)
        print()


if __name__ == "__main__":
    main()
