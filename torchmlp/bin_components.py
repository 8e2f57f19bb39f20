"""Columns of a `PiecewiseLinearEncoder`: clipped linear functions of a feature."""

import numpy as np

MAX_SCALED = 3.0  # bound of the absolute value of scaled features


def components_of(bin_edges, has_missing, scaled):
    """Return the parameters of the columns that encode features with the given edges.

    Parameters
    ----------
    bin_edges : list of ndarray
        Edges of each feature.
    has_missing : array-like of bool of shape (n_features,)
        Whether a feature has a column for missing values, after those of its bins.
    scaled : dict of int to (float, float)
        Index of each feature with a standardized column -> its mean and standard deviation. This
        column is before those of the bins.

    Returns
    -------
    components : ndarray of shape (6, n_features_out)
        For each column: the index of the feature, lower, scale, smallest, largest, missing. The
        column is ``clip((x / 2 - lower) * scale, smallest, largest)``, or `missing` if x is
        missing. The halves are exact, and their difference does not overflow. For a feature that
        had no missing values during fit, `missing` is NaN.
    """
    columns = []
    for j, edges in enumerate(bin_edges):
        if j in scaled:
            mean, deviation = scaled[j]
            columns.append([[j, mean / 2, deviation / 2, -MAX_SCALED, MAX_SCALED, False]])
        columns.append(_bins(j, edges))
        if has_missing[j]:
            columns.append([[j, 0, 0, 0, 0, True]])
    feature, lower, width, smallest, largest, is_missing = np.concatenate(columns).T
    # Always 0: columns of missing values and constant features. The inverse would overflow for a
    # subnormal width.
    varies = width >= np.finfo(np.float64).tiny
    smallest[~varies] = largest[~varies] = 0
    scale = np.divide(1, width, out=np.ones_like(width), where=varies)
    missing = np.where(np.asarray(has_missing)[feature.astype(np.intp)], is_missing, np.nan)
    return np.stack([feature, lower, scale, smallest, largest, missing])


def _bins(feature, edges):
    """Return one row per bin: feature, half of the lower edge and of the width, limits, False."""
    edges = edges / 2
    rows = np.zeros((max(len(edges) - 1, 0), 6))
    rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 4] = feature, edges[:-1], np.diff(edges), 1
    rows[:1, 3], rows[-1:, 4] = -np.inf, np.inf
    return rows


def limits(components, dtype):
    """Return the smallest and the largest value of each column, which are finite in the dtype."""
    largest = np.finfo(dtype).max
    return np.clip(components[3:5], -largest, largest)


def encode(X, components, dtype, out=None):
    """Return the encoded rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    components : ndarray of shape (6, n_features_out)
        See `components_of`.
    dtype : type
    out : ndarray of shape (n_samples, n_features_out), default=None
        Memory for the result.

    Returns
    -------
    ndarray of shape (n_samples, n_features_out)
    """
    feature, lower, scale, _, _, missing = components
    smallest, largest = limits(components, dtype).astype(dtype)
    feature = feature.astype(np.intp)
    encoded = np.empty((len(X), len(feature)), dtype) if out is None else out
    # The position is computed in float64, because a bin can be narrow and far from 0.
    with np.errstate(over="ignore"):
        position = (X * np.float64(0.5)).take(feature, axis=1, mode="clip") - lower
        np.multiply(position, scale, out=encoded, casting="same_kind")
    np.maximum(encoded, smallest, out=encoded)
    np.minimum(encoded, largest, out=encoded)
    is_missing = np.isnan(X)
    if is_missing.any():
        np.copyto(encoded, missing, where=is_missing[:, feature], casting="same_kind")
    return encoded
