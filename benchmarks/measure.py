"""Seconds side by side: everybody takes a turn in every round, and ratios are taken by round."""

import contextlib
import gc
import time
from dataclasses import dataclass, field

import numpy as np
import torch

# Seconds before each turn: the threads of the one before, of OpenBLAS or OpenMP, wait for more work
# by spinning for a while, on the processors that the next one needs.
PAUSE = 0.1


@dataclass(frozen=True)
class Plan:
    """What a run is asked for.

    Attributes
    ----------
    rounds : int
        Turns of each library that count.
    device : str
        Where torch computes.
    quick : bool
        Whether small problems are enough.
    """

    rounds: int = 5
    device: str = "cpu"
    quick: bool = False


@dataclass(frozen=True)
class Ratio:
    """How many times as much one takes as another, over the rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, more, less):
        ratios = np.array(more) / np.array(less)
        return cls(*(float(r) for r in (ratios.min(), np.median(ratios), ratios.max())))

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}\N{EN DASH}{self.high:.2f})"


@dataclass(frozen=True)
class Row:
    """What was measured on one problem.

    Attributes
    ----------
    name : str
        Of the problem.
    ratios : dict of str to Ratio
        By column; a column is missing where a library cannot do the problem.
    seconds : dict of str to float
        The median of each who was timed.
    figures : dict of str to float
        What is not a ratio: scores, bytes, rates.
    rounds : int
        That counted.
    """

    name: str
    ratios: dict
    seconds: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    rounds: int = 1

    @classmethod
    def of(cls, name, taken, columns):
        """Return the row of the seconds by round.

        Parameters
        ----------
        name : str
        taken : dict of str to list of float
        columns : dict of str to (str, str)
            Column -> (who, as many times as whom).
        """
        ratios = {
            column: Ratio.of(taken[more], taken[less])
            for column, (more, less) in columns.items()
            if more in taken and less in taken
        }
        medians = {who: float(np.median(rounds)) for who, rounds in taken.items()}
        return cls(name, ratios, medians, rounds=max(map(len, taken.values())))


def seconds(call):
    """Return how long a call takes, without the collection of others' garbage."""
    gc.collect()
    gc.disable()
    time.sleep(PAUSE)
    try:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    finally:
        gc.enable()


@contextlib.contextmanager
def _older_objects_set_aside():
    """Let collections look at new objects only, not at those of every module each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interleaved(calls, n_rounds, measure=seconds, n_warm=1):
    """Return what is measured of each call in each round that counts.

    Parameters
    ----------
    calls : dict of str to callable
    n_rounds : int
    measure : callable (call) -> float
    n_warm : int
        Rounds before those that count.

    Returns
    -------
    dict of str to list of float
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    shuffled = np.random.default_rng(0).permutation
    # The others draw from torch's global generator.
    with torch.random.fork_rng(devices=[]), _older_objects_set_aside():
        for turn in range(-n_warm, n_rounds):
            # Who follows whom changes, so that nobody always meets the same caches.
            for name in shuffled(list(calls)):
                measured = measure(calls[name])
                if turn >= 0:
                    taken[name].append(measured)
    return taken
