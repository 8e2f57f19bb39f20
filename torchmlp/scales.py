"""Whether validation data are on the scale of the training data."""

import math

import numpy as np
import scipy.sparse as sp

SAMPLE_ROWS, SAMPLE_VALUES = 500, 1 << 17
FALSE_ALARMS = 1e-6  # accepted probability of a warning for data that are split at random

_REMEDIES = {
    "X": (
        "A Pipeline transforms X_val only if it is told to: Pipeline(..., "
        "transform_input=['X_val']). Otherwise transform X_val like X, before fit."
    ),
    "y": (
        "TransformedTargetRegressor transforms y, but not y_val. Transform y_val like y, before "
        "fit."
    ),
}


def scale_warnings(data, validation_data):
    """Return warnings for features or targets that are on another scale in the validation data.

    Parameters
    ----------
    data, validation_data : Dataset

    Returns
    -------
    list of (str, type of Warning)
    """
    warnings = []
    for name, remedy in _REMEDIES.items():
        ours, theirs = getattr(data, name), getattr(validation_data, name)
        if ours.dtype.kind != "f":  # classes
            continue
        column = column_on_other_scale(ours, theirs)
        if column is not None:
            message = (
                f"{name}_val seems to be on another scale than {name}: column {column} has values "
                f"{_range(theirs, column)} in {name}_val, but {_range(ours, column)} in {name}. "
                f"{remedy}"
            )
            warnings.append((message, UserWarning))
    return warnings


def _range(rows, column):
    values = rows[:, [column]]
    return f"from {values.min():.3g} to {values.max():.3g}"


def column_on_other_scale(training, validation):
    """Return a column that is on another scale in the validation data, or None.

    Validation data are on another scale by one of two criteria, which are computed for a sample
    of at most `SAMPLE_ROWS` rows of each.

    1. In some column, more than half of the validation values lie above, or below, the range of
       the training values, by more than the width of that range.
    2. The columns that are standardised in the training data (mean about 0, standard deviation
       about 1) have another distribution in the validation data. The distance of a column is
       ``sum(abs(p - q)) / 2``, where p and q are the shares of the training and validation
       values in each of the four intervals between the quartiles of the training values. The
       mean distance has to exceed 0.4 and ``3 / sqrt(n * m / (n + m))`` for n and m rows.

    For rows that are divided at random the probability of both is small, whatever their
    distribution. That c of m validation values are larger than n training values has at most the
    probability ``comb(m, c) / comb(n + c, c)``; where that is too large for the number of
    columns, the first criterion is not used. The second has at most about the probability
    ``14 * exp(-18)``, or 2e-7, for a single column [1]_. With few validation rows neither applies.

    Parameters
    ----------
    training, validation : {ndarray, csr matrix} of shape (n_rows, n_columns)

    Returns
    -------
    int or None
        The column that differs most.

    References
    ----------
    .. [1] Weissman, Ordentlich, Seroussi, Verdu and Weinberger, "Inequalities for the L1
       Deviation of the Empirical Distribution", Hewlett-Packard Labs HPL-2003-97, 2003.
    """
    training, validation = _sample(training), _sample(validation)
    with np.errstate(over="ignore", invalid="ignore"):
        ordered = np.sort(training, axis=0)
        column = _outside(ordered, validation)
        return _not_standardised(ordered, validation) if column is None else column


def _sample(rows):
    n_rows, n_columns = rows.shape
    size = min(max(SAMPLE_VALUES // n_columns, 64), SAMPLE_ROWS)
    if n_rows > size:
        rows = rows[np.random.RandomState(0).randint(n_rows, size=size)]
    return rows.toarray() if sp.issparse(rows) else rows


def _outside(ordered, validation):
    """Return the column that lies farthest outside the range of the training values, or None."""
    n, n_columns = ordered.shape
    m = len(validation)
    majority = m // 2 + 1
    chance = math.comb(m, majority) / math.comb(n + majority, majority)
    if 2 * n_columns * chance > FALSE_ALARMS:
        return None
    low, high = ordered[0], ordered[-1]
    width = high - low
    above = (validation > high + width).mean(axis=0)
    below = (validation < low - width).mean(axis=0)
    outside = (np.maximum(above, below) > 0.5) & (width > 0)
    if not outside.any():
        return None
    columns = np.flatnonzero(outside)
    distance = np.abs(np.median(validation[:, columns], axis=0) - low[columns])
    return int(columns[np.argmax(distance / width[columns])])


def _not_standardised(ordered, validation):
    """Return the column whose distribution differs most, among those standardised in training."""
    mean, deviation = ordered.mean(axis=0), ordered.std(axis=0)
    columns = np.flatnonzero((abs(mean) < 0.25) & (deviation > 0.5) & (deviation < 2))
    if not len(columns):
        return None
    n, m = len(ordered), len(validation)
    ordered, validation = ordered[:, columns], validation[:, columns]
    quartiles = ordered[[n // 4, n // 2, 3 * n // 4]]
    distance = abs(_shares(ordered, quartiles) - _shares(validation, quartiles)).sum(axis=0) / 2
    if distance.mean() <= max(0.4, 3 / np.sqrt(n * m / (n + m))):
        return None
    return int(columns[np.argmax(distance)])


def _shares(rows, bounds):
    """Return the shares of the values in the intervals between bounds, column by column."""
    below = [(rows <= bound).mean(axis=0) for bound in bounds]
    zeros = np.zeros(rows.shape[1])
    return np.diff([zeros, *below, zeros + 1], axis=0)
