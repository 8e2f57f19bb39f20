"""Kills fits with a Checkpoint at random moments: killed_fit.py FOLDER N_KILLS.

A moment is a call or a return of a function, in Python or in C. Those of a whole fit are counted
first. Half of the moments are before or after a call that writes a file.

A copy of this process runs each fit, so that torch is imported once.
"""

import gc
import json
import os
import random
import signal
import sys
import warnings
from pathlib import Path

from checkpoints import checkpoint
from helpers import iris

from torchmlp import TorchMLPClassifier
from torchmlp.callbacks import checkpoint_file

SCENARIOS = [
    {"dropout": 0.1, "early_stopping": True, "validation_fraction": 0.3},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05},
    {"solver": "adamw", "learning_rate": "one_cycle", "dtype": "float32"},
]
N_MODELS = 2 * len(SCENARIOS)
WRITES = {checkpoint_file.write.__code__, checkpoint_file.rotate.__code__}
X, y = iris()


def model_of(path, number):
    """Return the estimator of a fit. Every other one keeps two files."""
    parameters = SCENARIOS[number % len(SCENARIOS)]
    callback = checkpoint(path, keep=1 + number % 2)
    common = {"batch_size": 10, "max_iter": 20, "n_iter_no_change": 20}
    common["random_state"] = number % N_MODELS
    return TorchMLPClassifier((20, 10), callbacks=[callback], **common, **parameters)


class Moments:
    """Counts the moments of a fit, as a function for `sys.setprofile`.

    Parameters
    ----------
    last : int or None, default=None
        The process kills itself at this moment.

    Attributes
    ----------
    count : int
    writing : list of int
        The moments before and after the calls that write a file.
    """

    def __init__(self, last=None):
        self.last = last
        self.count = 0
        self.writing = []

    def __call__(self, frame, event, argument):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        if event.startswith("c_") and frame.f_code in WRITES:
            self.writing.append(self.count)


def fit_in_a_copy(folder, number, moments):
    """Fit in a copy of the process, and save the moments. Return its exit status."""
    folder.mkdir()
    child = os.fork()
    if not child:
        gc.disable()  # it would run at other moments in each fit
        model = model_of(folder / "fit.ckpt", number)
        sys.setprofile(moments)
        model.fit(X, y)
        sys.setprofile(None)
        saved = json.dumps([moments.count, moments.writing])
        (folder / "moments.json").write_text(saved, encoding="utf-8")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def moments_of(folder, number):
    """Return the number of moments of a whole fit, and a list of those that write a file."""
    assert fit_in_a_copy(folder, number, Moments()) == 0
    return json.loads((folder / "moments.json").read_text(encoding="utf-8"))


def main(folder, n_kills):
    model_of(folder / "first.ckpt", 0).fit(X, y)  # what only a first fit does
    known = [moments_of(folder / f"whole {number}", number) for number in range(N_MODELS)]
    draw = random.Random(0)
    for number in range(n_kills):
        count, writing = known[number % N_MODELS]
        last = draw.choice(writing) if number % 4 < 2 else draw.randrange(1, count)
        print(fit_in_a_copy(folder / str(number), number, Moments(last)), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]))
