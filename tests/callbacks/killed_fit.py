"""Kills fits with a Checkpoint at random moments: killed_fit.py FOLDER N_KILLS.

A copy of this process runs each fit, so that torch is imported once.
"""

import os
import random
import signal
import sys
import time
import warnings

from checkpoints import checkpoint
from helpers import iris

from torchmlp import TorchMLPClassifier

SCENARIOS = [
    {"dropout": 0.1, "early_stopping": True, "validation_fraction": 0.3},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05},
    {"solver": "adamw", "learning_rate": "one_cycle", "dtype": "float32"},
]


def model_of(path, number):
    """Return the estimator of a fit. Every other one keeps two files."""
    parameters = SCENARIOS[number % len(SCENARIOS)]
    callback = checkpoint(path, keep=1 + number % 2)
    common = {"batch_size": 10, "max_iter": 40, "n_iter_no_change": 40, "random_state": number}
    return TorchMLPClassifier((20, 10), callbacks=[callback], **common, **parameters)


def fit_in_a_copy(path, number, seconds):
    """Fit in a copy of the process, and kill it after some seconds. Return its exit status."""
    child = os.fork()
    if not child:
        model_of(path, number).fit(*iris())
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder, n_kills):
    moments = random.Random(0)
    start = time.monotonic()
    model_of(f"{folder}/whole.ckpt", 0).fit(*iris())
    duration = time.monotonic() - start
    for number in range(n_kills):
        path = f"{folder}/{number}.ckpt"
        print(fit_in_a_copy(path, number, moments.uniform(0, duration)), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]))
