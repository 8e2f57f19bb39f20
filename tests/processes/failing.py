"""Fits that fail in some of the processes. Prints one line of JSON for each scenario.

Arguments: "all", or "killed" for the last two scenarios only, and the process that ends in them.
"""

import contextlib
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
from torchmlp.training import failure_reports
from torchmlp.training.processes import active_processes

TIMEOUT = 10 * MAX_SECONDS  # a process that waits for it fails the test
KILLED = 9  # exit status
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
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
    os._exit(KILLED)  # without any cleanup, as if killed; Windows has no SIGKILL


def columns():
    _classifier().fit(X[:, : 5 if rank == 1 else 6], y)


def parameters():
    _classifier(alpha=0.5 if rank == 2 else 0.1).fit(X, y)


def warm_start():
    _classifier(warm_start=rank == 2).fit(X, y)


def max_iter():
    _classifier(max_iter=5 if rank == 1 else 4).fit(X, y)


def missing_values():
    _classifier().fit(np.where(rank == 1, np.nan, X), y)


def callback():
    _classifier(callbacks=[InEpochTwo(1, fail)]).fit(X, y)


def interrupt():
    _classifier(callbacks=[InEpochTwo(0, lambda: signal.raise_signal(signal.SIGINT))]).fit(X, y)


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


def handled():
    with contextlib.suppress(ValueError, RuntimeError):
        missing_values()


def slow():
    if rank == 1:  # begins when the others have waited for the timeout
        while len(active_processes().reports.read()) < 3:
            time.sleep(0.05)
    _classifier().fit(X, y)


def labels():
    _classifier().fit(X, y if rank else np.arange(len(y)) % 3)


def other_columns():
    _classifier().fit(X[rank:, : 5 if rank == 1 else 6], y[rank:])


def balanced_in_one():
    _classifier(class_weight="balanced" if rank == 1 else None).fit(X, y)


def multilabel_in_one():
    _classifier().fit(X, X[:, :2] > 0 if rank == 1 else y)


def own_missing_values():
    missing_values()


def own_targets():
    _classifier().fit(X, X[:, 0] if rank == 1 else y)


def scorer():
    _classifier(early_stopping=True, scoring="neg_log_loss").fit(X, y)


def own_callback():
    _classifier(callbacks=[Callback()]).fit(X, y)


def multilabel_balanced():
    _classifier(class_weight="balanced").fit(X, X[:, :2] > 0)


def killed():
    failure_reports.MAX_WAIT = 3.0  # the others wait that long for the report of the killed process
    _classifier(callbacks=[InEpochTwo(int(sys.argv[2]), kill)]).fit(X, y)


def next_block():
    raise AssertionError("one process is missing")


SHARED = [
    columns,
    parameters,
    warm_start,
    max_iter,
    missing_values,
    callback,
    interrupt,
    only_one_fits,
    outside_of_fit,
    after_a_failure,
    handled,
]
OWN = [
    labels,
    other_columns,
    balanced_in_one,
    multilabel_in_one,
    own_missing_values,
    own_targets,
    scorer,
    own_callback,
    multilabel_balanced,
]


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
run(next_block, timeout=1)
