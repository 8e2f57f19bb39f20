"""Seconds side by side: everybody takes a turn in every round, and ratios are taken by round."""

import gc
import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.libraries import LIBRARIES, takes_part


@dataclass(frozen=True)
class Ratio:
    """How many times as long a library takes as another, over the rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, slow, fast):
        ratios = np.array(slow) / np.array(fast)
        return cls(*(float(r) for r in (ratios.min(), np.median(ratios), ratios.max())))

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def seconds(call):
    """Return how long a call takes, without the collection of others' garbage."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    finally:
        gc.enable()


def interleaved(calls, n_rounds):
    """Return the seconds of each call in each round; a first round is not counted.

    Parameters
    ----------
    calls : dict of str to callable
    n_rounds : int

    Returns
    -------
    dict of str to list of float
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(n_rounds + 1):
        # Who follows whom changes, so that nobody always meets the same caches.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            duration = seconds(calls[name])
            if turn:
                taken[name].append(duration)
    return taken


def fits(problem, device, n_rounds, libraries=tuple(LIBRARIES)):
    """Return the seconds that each library takes to fit a problem, by round."""
    calls = {}
    for name in libraries:
        if not takes_part(name, problem):
            continue
        who, dtype = LIBRARIES[name]
        X, y = problem.load(dtype)
        fit = who(problem, X, device)
        calls[name] = lambda fit=fit, X=X, y=y: fit(X, y)
    with torch.random.fork_rng(devices=[]):  # the others draw from torch's global generator
        return interleaved(calls, n_rounds)
