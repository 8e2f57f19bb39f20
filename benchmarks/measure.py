"""Interleaved measurements of several calls, and ratios computed within each round."""

import contextlib
import gc
import time
from dataclasses import dataclass, field

import numpy as np
import torch

# Pause in seconds before each call. The OpenBLAS or OpenMP threads of the previous call wait for
# work in a spin loop for some time, and occupy the processors that the next call needs.
PAUSE = 0.1


@dataclass(frozen=True)
class Plan:
    """Options of a run.

    Attributes
    ----------
    rounds : int
        Number of rounds, without the warm-up.
    device : str
        Device of torch.
    quick : bool
        Whether to run only small problems.
    """

    rounds: int = 5
    device: str = "cpu"
    quick: bool = False


@dataclass(frozen=True)
class Ratio:
    """Smallest, median and largest ratio of two measurements over the rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, numerators, denominators):
        ratios = np.array(numerators) / np.array(denominators)
        return cls(*(float(r) for r in (ratios.min(), np.median(ratios), ratios.max())))

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}\N{EN DASH}{self.high:.2f})"


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation of a test score over the rounds, and median seconds of a fit."""

    mean: float
    deviation: float
    seconds: float

    @classmethod
    def of(cls, scores, seconds):
        deviation = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
        return cls(float(np.mean(scores)), float(deviation), float(np.median(seconds)))

    @property
    def time(self):
        """The seconds as text."""
        return f"{self.seconds:.0f} s" if self.seconds >= 100 else f"{self.seconds:.2g} s"

    def __str__(self):
        return f"{self.mean:.4f} \N{PLUS-MINUS SIGN} {self.deviation:.4f} ({self.time})"


@dataclass(frozen=True)
class Row:
    """Results of one problem.

    Attributes
    ----------
    name : str
        Name of the problem.
    ratios : dict of str to Ratio
        Ratios by column. Columns of libraries that do not support the problem are missing.
    seconds : dict of str to float
        Median time of each library.
    figures : dict of str to float
        Other results by column, such as memory.
    rounds : int
        Number of rounds.
    scores : dict of str to Score
        Test scores by column.
    """

    name: str
    ratios: dict
    seconds: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    rounds: int = 1
    scores: dict = field(default_factory=dict)

    @classmethod
    def of(cls, name, times, columns):
        """Return the row of a problem.

        Parameters
        ----------
        name : str
        times : dict of str to list of float
            Times of each library by round.
        columns : dict of str to (str, str)
            Numerator and denominator of each column.
        """
        ratios = {
            column: Ratio.of(times[numerator], times[denominator])
            for column, (numerator, denominator) in columns.items()
            if numerator in times and denominator in times
        }
        medians = {library: float(np.median(rounds)) for library, rounds in times.items()}
        return cls(name, ratios, medians, rounds=max(map(len, times.values())))


def seconds(call):
    """Return the time of a call in seconds, with garbage collection disabled."""
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
def _frozen_objects():
    """Exclude existing objects from garbage collection, so that each collection is fast."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interleaved(calls, n_rounds, measure=seconds, n_warm=1):
    """Measure each call in each round, in random order.

    Parameters
    ----------
    calls : dict of str to callable
    n_rounds : int
    measure : callable (call) -> float
    n_warm : int
        Number of additional warm-up rounds, which are discarded.

    Returns
    -------
    dict of str to list of float
    """
    measured: dict[str, list[float]] = {name: [] for name in calls}
    shuffled = np.random.default_rng(0).permutation
    # Other libraries use the global random state of torch.
    with torch.random.fork_rng(devices=[]), _frozen_objects():
        for i in range(-n_warm, n_rounds):
            # A random order, so that the state of the caches before a call varies.
            for name in shuffled(list(calls)):
                value = measure(calls[name])
                if i >= 0:
                    measured[name].append(value)
    return measured
