"""How the rows of each batch are divided among the processes of a fit."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shares:
    """The rows of one process in the batches of an epoch.

    Attributes
    ----------
    totals : int array of shape (n_batches,)
        Number of rows of each batch, over all processes.
    sizes : int array of shape (n_batches,)
        Number of rows of this process in each batch.
    offsets : int array of shape (n_batches,)
        Number of rows of the processes before this one in each batch.
    firsts : int array of shape (n_batches,)
        Position of the first row of this process in each batch, in its order of the rows.
    """

    totals: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    firsts: np.ndarray

    def __len__(self):
        return len(self.totals)

    def positions(self, batches):
        """Return the positions of the rows of this process in consecutive batches.

        Parameters
        ----------
        batches : slice

        Returns
        -------
        slice or int array
            A slice if they are consecutive.
        """
        firsts, sizes = self.firsts[batches], self.sizes[batches]
        stops = firsts + sizes
        if (stops[:-1] == firsts[1:]).all():
            return slice(int(firsts[0]), int(stops[-1]))
        return np.concatenate([np.arange(a, b) for a, b in zip(firsts, stops, strict=True)])


def shares_of_batches(n_rows, batch_size, rank, world_size):
    """Divide each batch evenly. All processes have the same rows in the same order."""
    starts = np.arange(0, n_rows, batch_size)
    totals = np.minimum(starts + batch_size, n_rows) - starts
    offsets, stops = (totals * (rank + i) // world_size for i in (0, 1))
    return Shares(totals, stops - offsets, offsets, starts + offsets)


def shares_of_parts(n_rows, batch_size, rank):
    """Divide the rows of each process evenly among the batches.

    All rows are used once. Batches differ by one row per process at most.

    Parameters
    ----------
    n_rows : int array of shape (world_size,)
        Number of rows of each process.
    batch_size : int
        Maximum of the mean number of rows of a batch, over all processes.
    rank : int
    """
    # With the second number, there is no batch without rows.
    n_batches = min(-(-int(n_rows.sum()) // batch_size), int(n_rows.max()))
    quotients, remainders = np.divmod(n_rows, n_batches)
    batches = np.arange(n_batches)

    def sizes_of(ranks):
        """Return the number of rows of some processes in each batch."""
        # The first batches have one row more.
        n_larger = len(remainders[ranks]) - np.searchsorted(
            np.sort(remainders[ranks]), batches, side="right"
        )
        return quotients[ranks].sum() + n_larger

    sizes = sizes_of(slice(rank, rank + 1))
    return Shares(sizes_of(slice(None)), sizes, sizes_of(slice(0, rank)), np.cumsum(sizes) - sizes)
