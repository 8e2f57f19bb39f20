"""Fits that give the same model with one process as with several. Also run by `worker.py`."""

import tempfile
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring

from torchmlp import TorchMLPClassifier, TorchMLPRegressor
from torchmlp.callbacks import Checkpoint
from torchmlp.training.stochastic import EpochTrainer

N_ROWS = 103
EPOCHS = 4


def data(n_rows=N_ROWS):
    """Return X, class labels, targets of a regression, and sample weights."""
    random = np.random.RandomState(0)
    X = random.randn(n_rows, 6)
    labels = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + random.randn(n_rows), [0, 1])]
    targets = X[:, :2] @ [[2.0, 1.0], [0.0, -1.0]] + random.randn(n_rows, 2)
    weights = random.rand(n_rows) * (random.rand(n_rows) > 0.1)
    return X, labels, targets, weights


def _classifier(**parameters):
    defaults = dict(batch_size=32, max_iter=EPOCHS, random_state=0, alpha=0.1)
    return TorchMLPClassifier((8, 5), **defaults | parameters)


def _regressor(**parameters):
    defaults = dict(batch_size=32, max_iter=EPOCHS, random_state=0, alpha=0.1)
    return TorchMLPRegressor(hidden_layer_sizes=(8, 5), **defaults | parameters)


def _fit(
    sample_weight=None, validation=False, sparse=False, mapped=False, n_rows=N_ROWS, **options
):
    X, labels, _, weights = data(n_rows)
    X = sp.csr_array(X * (X > 0)) if sparse else X
    more = {}
    if validation:
        more = dict(X_val=X[:31], y_val=labels[:31], sample_weight_val=weights[:31])
    if mapped:
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "X.npy", X)
            X = np.load(Path(folder) / "X.npy", mmap_mode="r")
            return _classifier(**options).fit(X, labels)
    return _classifier(**options).fit(X, labels, weights if sample_weight else None, **more)


def _fit_regressor(
    sample_weight=None, n_targets=2, positive=False, validation=False, n_rows=N_ROWS, **options
):
    X, _, y, weights = data(n_rows)
    y = np.abs(y) + 0.1 if positive else 10 + 5 * y
    y = y if n_targets == 2 else y[:, 0]
    more = dict(X_val=X[:31], y_val=y[:31]) if validation else {}
    return _regressor(**options).fit(X, y, weights if sample_weight else None, **more)


def _two_classes():
    X, labels, _, _ = data()
    return _classifier().fit(X, labels == "a")


def _multilabel():
    X, _, targets, _ = data()
    return _classifier(class_weight="balanced").fit(X, targets > 0)


def _partial_fits(**options):
    X, labels, _, weights = data()
    model = _classifier(dropout=0.2, **options)
    for part in (slice(0, 50), slice(50, 103), slice(0, 50)):
        model.partial_fit(X[part], labels[part], weights[part], classes=["a", "b", "c"])
    return model


def _warm_start(**options):
    X, labels, _, _ = data()
    model = _classifier(warm_start=True, **options).fit(X, labels)
    return model.fit(X[:80], labels[:80])


def _search():
    X, labels, _, _ = data()
    model = make_pipeline(StandardScaler(), _classifier(max_iter=2))
    search = GridSearchCV(model, {"torchmlpclassifier__alpha": [0.1, 10.0]}, cv=2)
    return search.fit(X, labels).best_estimator_[-1]


def _no_random_state():
    np.random.seed(3)
    return _fit(random_state=None)


def _absolute_error(outputs, y):
    return (outputs - y).abs().sum(1)


CASES = {
    "adam": _fit,
    "one_row_per_batch": partial(_fit, batch_size=1, n_rows=20),
    "two_rows_per_batch": partial(_fit, batch_size=2, n_rows=21, sample_weight=True, dropout=0.2),
    "one_batch": partial(_fit, batch_size=200),
    "ordered": partial(_fit, shuffle=False),
    "sample_weight": partial(_fit, sample_weight=True),
    "class_weight": partial(_fit, class_weight="balanced", sample_weight=True),
    "two_classes": _two_classes,
    "multilabel": _multilabel,
    "dropout": partial(_fit, dropout=[0.5, 0.1]),
    "early_stopping": partial(_fit, early_stopping=True, sample_weight=True, dropout=0.1),
    "early_stopping_stops": partial(
        _fit, early_stopping=True, scoring="loss", n_iter_no_change=1, tol=1.0, max_iter=50
    ),
    "scorer": partial(_fit, early_stopping=True, scoring="neg_log_loss"),
    "validation": partial(_fit, validation=True),
    "validation_early_stopping": partial(_fit, validation=True, early_stopping=True),
    "sgd": partial(_fit, solver="sgd", learning_rate="adaptive", tol=0.5, max_iter=8),
    "adamw": partial(_fit, solver="adamw", learning_rate="one_cycle", learning_rate_init=0.05),
    "rmsprop": partial(_fit, solver=torch.optim.RMSprop, sample_weight=True),
    "gradient_clipping": partial(_fit, max_grad_norm=0.1, learning_rate="cosine"),
    "average": partial(_fit, average=True, solver="adamw", early_stopping=True),
    "average_partial_fit": partial(_partial_fits, average=True),
    "lbfgs": partial(_fit, solver="lbfgs", max_iter=20),
    "lbfgs_converges": partial(_fit, solver="lbfgs", activation="tanh", alpha=5.0, tol=1e-3),
    "lbfgs_weights": partial(_fit, solver="lbfgs", sample_weight=True, validation=True),
    "lbfgs_early_stopping": partial(
        _fit, solver="lbfgs", early_stopping=True, n_iter_no_change=2, max_iter=50
    ),
    "lbfgs_three_rows": partial(_fit_regressor, solver="lbfgs", n_targets=1, max_iter=5, n_rows=3),
    "sparse": partial(_fit, sparse=True),
    "sparse_ordered": partial(_fit, sparse=True, shuffle=False, early_stopping=True),
    "memory_mapped": partial(_fit, mapped=True),
    "float32": partial(_fit, dtype="float32"),
    "callback": partial(_fit, callbacks=[EpochScoring("accuracy", on_train=True)]),
    "time_limit": partial(_fit, time_limit=1e3),
    "random_state_none": _no_random_state,
    "partial_fit": _partial_fits,
    "warm_start": _warm_start,
    "warm_start_early_stopping": partial(_warm_start, early_stopping=True),
    "search": _search,
    "regressor": _fit_regressor,
    "regressor_lbfgs": partial(_fit_regressor, solver="lbfgs", sample_weight=True),
    "normalize_y": partial(_fit_regressor, normalize_y=True, sample_weight=True),
    "r2": partial(_fit_regressor, normalize_y=True, early_stopping=True, validation=True),
    "gaussian": partial(_fit_regressor, loss="gaussian"),
    "poisson": partial(_fit_regressor, loss="poisson", positive=True, normalize_y=True),
    "callable_loss": partial(_fit_regressor, loss=_absolute_error, batch_size=3),
}
# With one and four processes: cases that depend on the number of rows of a process.
SOME = [
    "two_rows_per_batch",
    "dropout",
    "early_stopping",
    "lbfgs_three_rows",
    "lbfgs_weights",
    "sparse",
    "partial_fit",
    "normalize_y",
    "callable_loss",
]

PART_SIZES = 40, 20, 10  # rows of each process with rows of its own
OWN_CASES = {
    "one_batch": {},
    "lbfgs": dict(solver="lbfgs"),
    "adamw": dict(solver="adamw", max_grad_norm=0.1),
    "sample_weight": dict(sample_weight=True),
    "balanced": dict(class_weight="balanced", sample_weight=True),
    "class_weight": dict(class_weight={"b": 3.0}),
    "validation": dict(validation=True, early_stopping=True, sample_weight=True),
    "negative_loss": dict(validation=True, early_stopping=True, scoring="loss"),
    "sparse": dict(sparse=True),
    "partial_fit": dict(partial=True),
    "normalize_y": dict(regressor=True, normalize_y=True, sample_weight=True),
    "gaussian": dict(regressor=True, loss="gaussian", sample_weight=True, normalize_y=True),
    "poisson": dict(regressor=True, loss="poisson", normalize_y=True),
    "r2": dict(regressor=True, normalize_y=True, validation=True, early_stopping=True),
    "batches": dict(batch_size=14, shuffle=False),
    "batches_weights": dict(batch_size=14, shuffle=False, sample_weight=True),
}
# Each process has two of the three labels, or both of two.
LABELS = {
    "int64": np.array([0, 1, 2**40]),
    "bool": np.array([False, True]),
    "uint8": np.array([1, 2, 255], np.uint8),
    "str": np.array(["a", "bb", "ccc"]),
}


def run_own(name, rank=None):
    """Return the model of a case with rows of its own in each process.

    Parameters
    ----------
    name : str
    rank : int or None
        None fits all rows in one process, in an order in which the batches are the same.
    """
    options = OWN_CASES[name]
    options = dict(batch_size=200) | options
    size = sum(PART_SIZES)
    stops = np.cumsum(PART_SIZES)
    parts = [np.arange(stop - n, stop) for stop, n in zip(stops, PART_SIZES, strict=True)]
    n_batches = -(-size // options["batch_size"])
    batches = zip(*(np.split(part, n_batches) for part in parts), strict=True)
    rows = np.concatenate([*map(np.concatenate, batches)]) if rank is None else parts[rank]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _fit_rows(rows, **options)


def _fit_rows(
    rows, sample_weight=False, validation=False, sparse=False, partial=False, regressor=False, **own
):
    X, y, targets, weights = data(sum(PART_SIZES))
    y[-2:] = "d"  # a class that only the last process has
    y = np.abs(targets) if regressor else y
    X = sp.csr_array(X * (X > 0)) if sparse else X
    X, y, weights = X[rows], y[rows], weights[rows] if sample_weight else None
    model = (_regressor if regressor else _classifier)(**own)
    if partial:
        model.partial_fit(X, y, classes=["a", "b", "c", "d"])
        return model.partial_fit(X, y)
    more = dict(X_val=X[::2], y_val=y[::2]) if validation else {}
    return model.fit(X, y, weights, **more)


def run_unequal(rank):
    """Return a model of parts of very different sizes, with shuffled batches and dropout."""
    X, y, _, weights = data(100)
    part = [slice(0, 93), slice(93, 95), slice(95, 100)][rank]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _classifier(dropout=0.2, batch_size=16).fit(X[part], y[part], weights[part])


def run_continued(rank, path, epochs, early_stopping):
    """Return a model after some numbers of epochs, each of which continues from a file.

    Its attribute `n_trained` has the number of epochs that each fit has trained.
    """
    X, y, _, _ = data(100)
    part = [slice(0, 50), slice(50, 80), slice(80, 100)][rank]
    callbacks = None if path is None else [Checkpoint(path, every_seconds=0)]
    options = dict(dropout=0.2, early_stopping=early_stopping, validation_fraction=0.2)
    count = patch.object(
        EpochTrainer, "run_epoch", autospec=True, side_effect=EpochTrainer.run_epoch
    )
    n_trained = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n_epochs in epochs:
            model = _classifier(max_iter=n_epochs, callbacks=callbacks, **options)
            with count as run_epoch:
                model.fit(X[part], y[part])
            n_trained.append(run_epoch.call_count)
    model.n_trained = n_trained
    return model.set_params(callbacks=None)


def run_labels(name, rank):
    """Return a model of labels of a dtype, of which a process may have some only."""
    labels = LABELS[name]
    y = labels[(rank + np.arange(10) % 2) % len(labels)]
    if name == "str":
        y = np.array(y.tolist())  # the dtype has the length of the longest string
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _classifier(max_iter=1).fit(data(10)[0], y)


def run_split(rank):
    """Return a model for which each process splits its own rows for early stopping."""
    X, _, y, weights = data(100)
    part = [slice(0, 50), slice(50, 80), slice(80, 100)][rank]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _regressor(early_stopping=True, normalize_y=True).fit(
            X[part], y[part], weights[part]
        )


def run(name):
    """Return the fitted model of a case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name]()
