"""Test score and fit time of models with default parameters on real tables."""

import contextlib
import io
import logging
import warnings
from dataclasses import replace

import numpy as np
import torch

from benchmarks.measure import Row, Score, seconds
from benchmarks.models import MODELS
from benchmarks.tables import GREATER_IS_BETTER, TARGETS, load

TITLE = "Test score and fit time of models with default parameters on real tables"
MEASURED = (
    "Mean \N{PLUS-MINUS SIGN} standard deviation of the test score over {rounds} seeds (median "
    "seconds of a fit)"
)
MEANS = False
QUICK_TABLES, QUICK_ROWS, QUICK_ROUNDS = ("penguins", "mtr_enb"), 150, 2


def columns(plan):
    """Return the names of the models that are installed."""
    return [name for name, model in MODELS.items() if model.installed]


def tables(quick):
    """Yield the tables of a run."""
    for name in QUICK_TABLES if quick else TARGETS:
        table = load(name)
        yield first_rows(table, QUICK_ROWS) if quick else table


def first_rows(table, n_rows):
    """Return a table with `n_rows` of the rows, at equal distances."""
    rows = np.linspace(0, len(table.y) - 1, n_rows).astype(int)
    parts = table.parts if table.parts is None else table.parts[rows]
    return replace(table, X=table.X.iloc[rows], y=table.y[rows], parts=parts)


@contextlib.contextmanager
def _isolated():
    """Hide warnings and messages, and restore the global random state of torch."""
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            torch.random.fork_rng(devices=[]),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)


def fit_and_score(model, table, seed):
    """Return the test score and the seconds of a fit on the training and validation rows."""
    split = table.split(seed)
    rows = np.concatenate([split.train, split.validation])
    X = model.prepared(table.X)
    with _isolated():
        estimator = model.make(table, seed)
        taken = seconds(lambda: estimator.fit(X.iloc[rows], table.y[rows]))
        score = table.score(table.y[split.test], estimator.predict(X.iloc[split.test]))
    return score, taken


def row(table, rounds):
    """Return the scores of all models for one table. Each round has its own seed."""
    scores = {}
    for name, model in MODELS.items():
        if model.installed:
            measured = [fit_and_score(model, table, seed) for seed in range(rounds)]
            scores[name] = Score.of(*zip(*measured, strict=True))
    better = "higher" if table.metric in GREATER_IS_BETTER else "lower"
    name = f"{table.name}: {table.metric} ({better} is better)"
    return Row(name, {}, rounds=rounds, scores=scores)


def rows(plan):
    rounds = min(plan.rounds, QUICK_ROUNDS) if plan.quick else plan.rounds
    for table in tables(plan.quick):
        yield row(table, rounds)
