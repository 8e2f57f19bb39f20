"""Bin edges of a `PiecewiseLinearEncoder`: thresholds of trees, or quantiles."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import type_of_target

from torchmlp._sklearn_compat import check_y
from torchmlp.validation import naming

# Numbers with more distinct values than this are not taken for classes.
MAX_CLASSES = 100
# A gap between two values of the training data becomes a bin of its own if it is at least this
# fraction of the narrower of the two bins beside it (see "Tables" in benchmarks/NOTES.md).
MIN_GAP_FRACTION = 0.1


class TargetEdges:
    """Inner edges that are thresholds of decision trees, each with a single feature.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
        See `checked_target`.
    weights : ndarray of shape (n_samples,) or None
    target_type : {'auto', 'continuous', 'multiclass'}
        See `target_type_of`.
    n_bins, min_samples_leaf, min_impurity_fraction
        See `PiecewiseLinearEncoder`.

    Attributes
    ----------
    target_type : {'continuous', 'multiclass'}
    """

    def __init__(self, y, weights, target_type, n_bins, min_samples_leaf, min_impurity_fraction):
        self.target_type = target_type_of(y, target_type)
        self._tree, self._y = _tree_and_target(y, weights, self.target_type)
        self._weights = weights
        impurity = _impurity(self._tree, self._y, weights)
        self._tree.set_params(
            # Larger values have no other effect, and could overflow in the tree.
            max_leaf_nodes=max(2, min(int(n_bins), len(y))),
            min_samples_leaf=min(int(min_samples_leaf), len(y)),
            min_impurity_decrease=min_impurity_fraction * impurity,
        )

    def __call__(self, x):
        """Return the inner edges of a feature with the values x, of shape (n_samples,)."""
        present = ~np.isnan(x)
        weights = None if self._weights is None else self._weights[present]
        # Ranks, because a tree converts values to float32, and does not split close values.
        values, ranks = np.unique(x[present], return_inverse=True)
        if len(values) < 2:
            return values[:0]
        nodes = _nodes(self._tree, ranks, self._y[present], weights)
        below = np.sort(np.floor(nodes.threshold[nodes.feature >= 0]).astype(np.intp))
        return _edges_at_gaps(values.astype(np.float64), below)


def _edges_at_gaps(values, below):
    """Return the edges for thresholds between two values: in the middle, or at both of them.

    Parameters
    ----------
    values : ndarray
        The distinct values, in increasing order.
    below : int array
        Index of the value below each threshold, in increasing order.
    """
    lower, upper = values[below], values[below + 1]
    middle = lower / 2 + upper / 2
    # Halves, because differences of large values can overflow.
    widths = np.diff(np.array([values[0], *middle, values[-1]]) / 2)
    is_gap = upper / 2 - lower / 2 >= MIN_GAP_FRACTION * np.minimum(widths[:-1], widths[1:])
    return np.concatenate([middle[~is_gap], lower[is_gap], upper[is_gap]])


def quantile_edges(x, weights, n_bins):
    """Return the values where the cumulative share of the weights reaches 1 / n_bins, and so on."""
    present = ~np.isnan(x)
    x, weights = x[present], np.ones(len(x)) if weights is None else weights[present]
    if not len(x):
        return x
    order = np.argsort(x)
    cumulative = np.cumsum(weights[order])
    n_bins = float(n_bins)
    n_reached = np.minimum(np.floor(cumulative * n_bins / cumulative[-1]), n_bins - 1)
    return x[order[np.diff(n_reached, prepend=0) > 0]].astype(np.float64)


def median(x, weights):
    """Return the weighted median of a feature without its missing values, or NaN."""
    return next(iter(quantile_edges(x, weights, 2)), np.nan)


def all_edges(x, inner):
    """Return the sorted inner edges between the smallest and the largest value of a feature."""
    x = x[~np.isnan(x)].astype(np.float64)
    if not len(x):
        return x
    edges = np.unique([x.min(), *inner, x.max()])
    return np.repeat(edges, 2) if len(edges) == 1 else edges


def checked_target(X, y):
    """Return y as an array of shape (n_samples, n_outputs)."""
    if y is None:
        raise ValueError(
            "bins='target' requires y to be passed, but the target y is None. Pass y, or use "
            "bins='quantile', which does not need it."
        )
    with naming("y"), np.errstate(invalid="ignore"):  # sums of large values
        y = check_y(y, multi_output=True)
        check_consistent_length(X, y)
    y = y.toarray() if sp.issparse(y) else y
    return y.reshape(len(y), -1)


def target_type_of(y, requested):
    """Return 'continuous' or 'multiclass'."""
    if requested != "auto":
        return requested
    with naming("y"):
        if y.dtype.kind in "fiu":
            n_distinct = max(len(np.unique(column)) for column in y.T)
            if n_distinct > min(MAX_CLASSES, len(y) / 2):
                return "continuous"
        with np.errstate(invalid="ignore"):  # large numbers are compared with their integer parts
            kind = type_of_target(y, input_name="y")
    if kind == "unknown":
        raise ValueError(
            f"Unknown label type: y has values such as {y.flat[0]!r}. Pass numbers, or labels that "
            "are all strings."
        )
    return "continuous" if kind.startswith("continuous") else "multiclass"


def _tree_and_target(y, weights, target_type):
    """Return an unfitted tree, and the target for its `fit`."""
    if target_type == "continuous":
        with naming("y"):
            y = y.astype(np.float64)
        return DecisionTreeRegressor(random_state=0), _scaled(y, weights)
    with naming("y"):
        codes = [np.unique(column, return_inverse=True)[1] for column in y.T]
    return DecisionTreeClassifier(random_state=0), np.column_stack(codes).astype(np.float64)


def _scaled(y, weights):
    """Return continuous targets on a scale where trees are accurate, the same for all columns."""
    y = np.ldexp(y, -np.frexp(np.abs(y).max(axis=0))[1])  # so that the squares do not overflow
    scale = StandardScaler(with_mean=False).fit(y, sample_weight=weights).scale_
    if y.shape[1] == 1:  # no rounding by a power of two, so that equally good splits stay equal
        scale = np.exp2(np.round(np.log2(scale)))
    return (y - y.min(axis=0)) / scale


def _impurity(tree, y, weights):
    """Return the impurity of the target, which is that of the root of any tree."""
    return _nodes(tree, np.zeros(len(y)), y, weights).impurity[0]


def _nodes(tree, x, y, weights):
    """Return the nodes of a tree with a single feature x, without a warning about many classes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        return tree.fit(x.reshape(-1, 1), y, weights).tree_
