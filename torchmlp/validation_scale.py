"""Detection of validation data that are on a different scale than the training data."""

import math

import numpy as np
import scipy.sparse as sp

SAMPLE_ROWS = 500
SAMPLE_VALUES = 1 << 17
FALSE_ALARMS = 1e-6  # accepted probability of a false warning for a random split

_SCALE_REMEDIES = {
    "X": (
        "A Pipeline transforms X_val only with Pipeline(..., transform_input=['X_val']), "
        "sklearn.set_config(enable_metadata_routing=True) and set_fit_request(X_val=True, "
        "y_val=True). Without a Pipeline, apply the transformations of X to X_val before fit."
    ),
    "y": (
        "TransformedTargetRegressor transforms y, but not y_val. To standardize both, use "
        "normalize_y=True instead. Apply other transformations of y to y_val before calling fit."
    ),
}


def scale_warnings(data, validation_data):
    """Return warnings for validation features or targets on a different scale.

    Parameters
    ----------
    data, validation_data : Dataset

    Returns
    -------
    list of (str, type of Warning)
    """
    warnings = []
    for name, remedy in _SCALE_REMEDIES.items():
        training, validation = getattr(data, name), getattr(validation_data, name)
        if training.dtype.kind != "f":  # class indices
            continue
        column = column_on_other_scale(training, validation)
        if column is not None:
            message = (
                f"{name}_val seems to be on a different scale than {name}: column {column} has "
                f"values {_range(validation, column)} in {name}_val, but "
                f"{_range(training, column)} in {name}. {remedy}"
            )
            warnings.append((message, UserWarning))
    return warnings


def _range(rows, column):
    values = rows[:, [column]]
    return f"from {values.min():.3g} to {values.max():.3g}"


def column_on_other_scale(training, validation):
    """Return a column that is on a different scale in the validation data, or None.

    Two criteria are tested on a random sample of at most `SAMPLE_ROWS` rows of each data set.

    1. In some column, more than half of the validation values exceed the maximum, or are below the
       minimum, of the training values by more than the range of the training values.
    2. The columns that are standardized in the training data (mean about 0, standard deviation
       about 1) have a different distribution in the validation data. The distance of a column is
       ``sum(abs(p - q)) / 2``, where p and q are the proportions of the training and validation
       values in each of the four intervals bounded by the quartiles of the training values. The
       mean distance over these columns must exceed 0.4 and ``3 / sqrt(n * m / (n + m))`` for n
       training rows and m validation rows.

    For a random split both criteria have a small probability, whatever the distribution. The
    probability that c of m validation values are larger than all n training values is at most
    ``comb(m, c) / comb(n + c, c)``. The first criterion is not used if this bound is too large for
    the number of columns. The probability of the second criterion is at most about
    ``14 * exp(-18)``, or 2e-7, for a single column [1]_. With few validation rows neither
    criterion can be met.

    Parameters
    ----------
    training, validation : {ndarray, csr matrix} of shape (n_rows, n_columns)

    Returns
    -------
    int or None
        Index of the column that differs most.

    References
    ----------
    .. [1] Weissman, Ordentlich, Seroussi, Verdu and Weinberger, "Inequalities for the L1
       Deviation of the Empirical Distribution", Hewlett-Packard Labs HPL-2003-97, 2003.
    """
    training, validation = _sample(training), _sample(validation)
    with np.errstate(over="ignore", invalid="ignore"):
        ordered = np.sort(training, axis=0)
        column = _outside(ordered, validation)
        return _not_standardized(ordered, validation) if column is None else column


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
    probability = math.comb(m, majority) / math.comb(n + majority, majority)
    if 2 * n_columns * probability > FALSE_ALARMS:
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


def _not_standardized(ordered, validation):
    """Return the standardized column whose distribution differs most, or None."""
    mean, deviation = ordered.mean(axis=0), ordered.std(axis=0)
    columns = np.flatnonzero((abs(mean) < 0.25) & (deviation > 0.5) & (deviation < 2))
    if not len(columns):
        return None
    n, m = len(ordered), len(validation)
    ordered, validation = ordered[:, columns], validation[:, columns]
    quartiles = ordered[[n // 4, n // 2, 3 * n // 4]]
    difference = _proportions(ordered, quartiles) - _proportions(validation, quartiles)
    distance = abs(difference).sum(axis=0) / 2
    if distance.mean() <= max(0.4, 3 / np.sqrt(n * m / (n + m))):
        return None
    return int(columns[np.argmax(distance)])


def _proportions(rows, bounds):
    """Return, for each column, the proportions of the values in the intervals between bounds."""
    below = [(rows <= bound).mean(axis=0) for bound in bounds]
    zeros = np.zeros(rows.shape[1])
    return np.diff([zeros, *below, zeros + 1], axis=0)
