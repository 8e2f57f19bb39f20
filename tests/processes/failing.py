"""Fits that fail in some of the processes. Prints one line of JSON for each scenario.

If a process waited for the timeout, the tests would not end in time.
"""

import json
import os
import signal
import sys
import time

import numpy as np
from cases import _classifier, data
from launch import MAX_SECONDS
from skorch.callbacks import Callback

from torchmlp.distributed import data_parallel

TIMEOUT = 10 * MAX_SECONDS
rank = int(os.environ["RANK"])
X, y, _, _ = data()


class InEpochTwo(Callback):
    """Calls a function in the second epoch, in one process."""

    def __init__(self, in_rank, function):
        self.in_rank = in_rank
        self.function = function

    def on_epoch_begin(self, net, **kwargs):
        if rank == self.in_rank and len(net.history) == 2:
            self.function()


def fail():
    raise KeyError("on purpose")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def columns():
    _classifier().fit(X[:, : 5 if rank == 1 else 6], y)


def parameters():
    _classifier(alpha=0.5 if rank == 2 else 0.1).fit(X, y)


def missing_values():
    _classifier().fit(np.where(rank == 1, np.nan, X), y)


def callback():
    _classifier(callbacks=[InEpochTwo(1, fail)]).fit(X, y)


def interrupt():
    _classifier(callbacks=[InEpochTwo(0, lambda: os.kill(os.getpid(), signal.SIGINT))]).fit(X, y)


def only_one_fits():
    if rank == 0:
        _classifier().fit(X, y)


def outside_of_fit():
    _classifier().fit(X, y)
    if rank == 2:
        raise OSError("no such file")
    _classifier().fit(X, y)


def after_a_failure():
    try:
        columns()
    except ValueError:
        _classifier().fit(X, y)


def slow():
    if rank == 1:
        time.sleep(7)
    _classifier().fit(X, y)


def labels():
    _classifier().fit(X, y if rank else np.arange(len(y)) % 3)


def other_columns():
    _classifier().fit(X[rank:, : 5 if rank == 1 else 6], y[rank:])


def scorer():
    _classifier(early_stopping=True, scoring="neg_log_loss").fit(X, y)


def own_callback():
    _classifier(callbacks=[Callback()]).fit(X, y)


def multilabel_balanced():
    _classifier(class_weight="balanced").fit(X, X[:, :2] > 0)


def killed():
    _classifier(callbacks=[InEpochTwo(int(sys.argv[2]), kill)]).fit(X, y)


SHARED = [
    columns,
    parameters,
    missing_values,
    callback,
    interrupt,
    only_one_fits,
    outside_of_fit,
    after_a_failure,
]
OWN = [labels, other_columns, scorer, own_callback, multilabel_balanced]


def run(scenario, **options):
    """Run a scenario, and print the error."""
    try:
        with data_parallel(**options):
            scenario()
        error = None
    except BaseException as caught:
        error = caught
    print(json.dumps([scenario.__name__, str(error)]), flush=True)


if sys.argv[1] == "all":
    for scenario in SHARED:
        run(scenario, timeout=TIMEOUT)
    run(slow, timeout=5)
    for scenario in OWN:
        run(scenario, rows="own", timeout=TIMEOUT)
run(killed, timeout=TIMEOUT)
