"""Transformers that prepare tables for a network."""

import contextlib
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from torchmlp import _typing as t
from torchmlp._sklearn_compat import (
    DocumentationLink,
    Interval,
    Options,
    ParameterChecks,
    StrOptions,
    check_feature_names_in,
    fit_context,
)
from torchmlp.bin_components import components_of, encode
from torchmlp.bin_edges import TargetEdges, all_edges, checked_target, median, quantile_edges
from torchmlp.validation import check_weights, naming, naming_columns, unchanged_by_errors

__all__ = ["PiecewiseLinearEncoder"]

_FORMAT: dict[str, Any] = {
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": "allow-nan",
}
FEW_BINS = 8  # a feature with fewer bins can have a standardized column
# Numbers that are encoded at a time, so that the temporary arrays stay in the processor's caches.
BLOCK_SIZE = 2**16


class PiecewiseLinearEncoder(DocumentationLink, ParameterChecks, TransformerMixin, BaseEstimator):
    r"""Encode each numeric feature by the position of its value in every bin.

    The range of a feature is divided into bins with the edges :math:`b_0 < \dots < b_T`. The
    feature becomes T components, one per bin,

    .. math:: e_t(x) = \frac{x - b_{t-1}}{b_t - b_{t-1}}, \quad t = 1, \dots, T,

    clipped to the interval [0, 1]: a component is 0 below its bin, 1 above it, and increases
    linearly within it. The first component is not clipped below and the last is not clipped above,
    so that the encoding is linear outside of the range of the training data. A linear function of
    the components is a piecewise linear function of the feature, so a network can represent steps
    and bends of the target that it would learn slowly from the feature itself. The encoding is
    invertible, and it does not depend on the scale of the features, which need not be scaled.

    A constant feature has one component, which is always 0. A feature with missing values (NaN)
    during fit has an additional last column: for a missing value, this column is 1 and the
    components are 0. For all other values, it is 0. See `handle_missing` for the other features.

    Parameters
    ----------
    n_bins : int, default=48
        Maximum number of bins of each feature, at least 2. Gaps (see `bins`) are not counted.

    bins : {'target', 'quantile'}, default='target'
        How the bins are chosen. The outer edges are the smallest and the largest value.

        - 'target': The inner edges are the thresholds of a decision tree that predicts y from this
          feature alone. The bins are narrow where y changes. A threshold lies in the middle
          between two values of the training data. If these are far apart, as whole numbers often
          are, both of them are edges instead, so that the gap between them is a bin, and the
          components can represent a jump from one value to the other. Far apart means at least a
          tenth of the width of the narrower of the two bins beside the threshold.
        - 'quantile': The edges are quantiles, so that the bins contain about equally many samples.
          Equal edges are merged. y is ignored.

    target_type : {'auto', 'continuous', 'multiclass'}, default='auto'
        Type of y, with one or several columns. Only used with ``bins='target'``.

        - 'auto': As :func:`~sklearn.utils.multiclass.type_of_target` says, except that numbers are
          continuous if they have more than 100 distinct values, or more than half as many as there
          are samples. Whole numbers with fewer distinct values are classes: pass 'continuous' for
          the regression of counts.
        - 'continuous': The trees are those of :class:`~sklearn.tree.DecisionTreeRegressor`. Each
          column of y is divided by its standard deviation.
        - 'multiclass': The trees are those of :class:`~sklearn.tree.DecisionTreeClassifier`, for
          two or more classes or for several labels.

    min_samples_leaf : int, default=64
        Minimum number of training samples in each bin that is not a gap, as for the trees. Fewer
        than twice as many samples give a single bin. Only used with ``bins='target'``.

    min_impurity_fraction : float, default=5e-4
        An inner edge must decrease the impurity (variance or Gini impurity) by at least this
        fraction of the impurity of y. It is the trees' `min_impurity_decrease` divided by the
        impurity of y. With 0, features without information about y have as many bins as others,
        and a network overfits more easily. Only used with ``bins='target'``.

    handle_missing : {'error', 'median'}, default='error'
        What `transform` does with missing values of a feature that had none during fit: raise an
        error, or replace them by the median of the training data.

    add_scaled : bool, default=False
        Whether each feature with fewer than 8 bins has an additional first column, the standardized
        feature clipped to the interval [-3, 3]: :math:`(x - \mu) / \sigma` with the mean and the
        standard deviation of the training data. With few rows, bins are wide. In a bin with an
        outlier, the component is nearly equal for all other values, and the standardized column
        distinguishes them better. For a missing value, it is 0. A constant feature has none.

    subsample : int or None, default=100_000
        Maximum number of samples, drawn without replacement, from which the inner edges and the
        medians are computed. The outer edges, means and standard deviations are always those of all
        samples. None uses all samples.

    sparse_output : bool, default=False
        Whether to return a sparse array in CSR format. It rarely saves memory: all components below
        the bin of a value are 1, so that about half of the entries are not zero.

    dtype : {np.float32, np.float64}, default=np.float32
        Dtype of the output. Numbers beyond its range are replaced by its largest (smallest) number.

    random_state : int, RandomState instance or None, default=None
        Determines the subsample. Pass an int for reproducible results.

    Attributes
    ----------
    bin_edges_ : list of ndarrays
        Edges of the bins of each feature, in increasing order, one more than its bins. A constant
        feature has one bin with two equal edges. There are no edges if all values of a feature are
        missing.

    n_bins_ : ndarray of int of shape (n_features,)
        Number of bins of each feature, with the gaps.

    has_missing_ : ndarray of bool of shape (n_features,)
        Whether each feature had missing values during fit.

    mean_, scale_ : ndarray of shape (n_features,)
        Mean and standard deviation of each feature with a standardized column, without its missing
        values. NaN for other features.

    has_scaled_ : ndarray of bool of shape (n_features,)
        Whether each feature has a standardized column.

    median_ : ndarray of shape (n_features,)
        Median of each feature without its missing values: the smallest value for which the samples
        with this or a smaller value have at least half of the total weight. NaN if all values are
        missing.

    target_type_ : {'continuous', 'multiclass'} or None
        Type of y. None with ``bins='quantile'``.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of str of shape (n_features,)
        Names of features seen during fit. Only available if X has feature names that are all
        strings.

    See Also
    --------
    torchmlp.inspection.PiecewiseLinearEncodingDisplay : Bins and components of a feature.
    sklearn.preprocessing.KBinsDiscretizer : One-hot encoding of bins.
    sklearn.preprocessing.SplineTransformer : Smooth functions between evenly spaced knots or
        quantiles.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular Deep
    Learning", 2022, :arxiv:`2203.05556`.

    Examples
    --------
    >>> import numpy as np
    >>> from torchmlp.preprocessing import PiecewiseLinearEncoder
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [np.nan]])
    >>> encoder = PiecewiseLinearEncoder(n_bins=2, min_samples_leaf=1)
    >>> encoder.fit(X, [0, 0, 1, 1, 0]).bin_edges_
    [array([0., 1., 2., 3.])]
    >>> encoder.transform([[0.25], [1.0], [1.5], [6.0], [np.nan]])
    array([[0.25, 0.  , 0.  , 0.  ],
           [1.  , 0.  , 0.  , 0.  ],
           [1.  , 0.5 , 0.  , 0.  ],
           [1.  , 1.  , 4.  , 0.  ],
           [0.  , 0.  , 0.  , 1.  ]], dtype=float32)
    >>> encoder.get_feature_names_out()
    array(['x0_bin_0', 'x0_bin_1', 'x0_bin_2', 'x0_missing'], dtype=object)

    In front of a network:

    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from torchmlp import TorchMLPClassifier
    >>> X, y = load_diabetes(return_X_y=True)
    >>> clf = TorchMLPClassifier(learning_rate="one_cycle", max_iter=30, random_state=0)
    >>> pipeline = make_pipeline(PiecewiseLinearEncoder(), clf).fit(X, y > 140)
    >>> pipeline[:-1].transform(X).shape
    (442, 53)
    """

    _parameter_constraints = {  # noqa: RUF012
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "bins": [StrOptions({"target", "quantile"})],
        "target_type": [StrOptions({"auto", "continuous", "multiclass"})],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left")],
        "min_impurity_fraction": [Interval(Real, 0, 1, closed="both")],
        "handle_missing": [StrOptions({"error", "median"})],
        "add_scaled": ["boolean"],
        "subsample": [Interval(Integral, 1, None, closed="left"), None],
        "sparse_output": ["boolean"],
        "dtype": [Options(type, {np.float32, np.float64})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_bins: t.Int = 48,
        *,
        bins: Literal["target", "quantile"] = "target",
        target_type: Literal["auto", "continuous", "multiclass"] = "auto",
        min_samples_leaf: t.Int = 64,
        min_impurity_fraction: t.Float = 5e-4,
        handle_missing: Literal["error", "median"] = "error",
        add_scaled: bool = False,
        subsample: t.Int | None = 100_000,
        sparse_output: bool = False,
        dtype: type = np.float32,
        random_state: t.RandomState = None,
    ) -> None:
        self._store(locals())

    @fit_context
    def fit(
        self, X: t.Matrix, y: t.Matrix | None = None, sample_weight: t.Vector | None = None
    ) -> Self:
        """Compute the edges of the bins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The training data. NaN is a missing value.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The target values or class labels. Not used with ``bins='quantile'``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample. Samples of weight 0 are ignored. `min_samples_leaf` and
            `subsample` count samples, not weights.

        Returns
        -------
        self : object
            The fitted encoder.

        Raises
        ------
        ValueError
            If X contains infinity, or if y is None with ``bins='target'``. The attributes are then
            those of the previous fit.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from torchmlp.preprocessing import PiecewiseLinearEncoder
        >>> X, y = load_diabetes(return_X_y=True)
        >>> PiecewiseLinearEncoder(n_bins=3, bins="quantile").fit(X).n_bins_
        array([3, 1, 3, 3, 3, 3, 3, 3, 3, 3])
        """
        with unchanged_by_errors(self):
            self._compute_edges(X, y, sample_weight)
        return self

    def transform(self, X: t.Matrix) -> Any:
        """Encode the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data to encode.

        Returns
        -------
        X_encoded : ndarray or csr_array of shape (n_samples, n_features_out)
            The columns of the first feature, those of the second feature, and so on. The number of
            columns is the sum of `has_scaled_`, `n_bins_` and `has_missing_`.

        Raises
        ------
        ValueError
            If X contains infinity, or, with ``handle_missing='error'``, missing values in a feature
            that had none during fit.

        Examples
        --------
        >>> from torchmlp.preprocessing import PiecewiseLinearEncoder
        >>> encoder = PiecewiseLinearEncoder(2, bins="quantile").fit([[0.0], [2.0], [4.0]])
        >>> encoder.transform([[1.0], [3.0]])
        array([[0.5, 0. ],
               [1. , 0.5]], dtype=float32)
        """
        check_is_fitted(self)
        with _naming_X(X):
            X = validate_data(self, X, reset=False, **_FORMAT)
        X = self._without_new_missing(X)
        components, n_components = self._components, self._components.shape[1]
        batches = list(gen_batches(len(X), max(1, BLOCK_SIZE // n_components)))
        if self.sparse_output:
            blocks = (encode(X[rows], components, self.dtype) for rows in batches)
            return sp.vstack([sp.csr_array(block) for block in blocks], format="csr")
        encoded = np.empty((len(X), n_components), self.dtype)
        for rows in batches:
            encode(X[rows], components, self.dtype, out=encoded[rows])
        return encoded

    def get_feature_names_out(self, input_features: t.Names | None = None) -> t.Array:
        """Return the names of the columns of the output.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features. By default, `feature_names_in_` or "x0", "x1" and so on.

        Returns
        -------
        feature_names_out : ndarray of str objects
            For a feature "age": "age_scaled" if it has a standardized column, then "age_bin_0",
            "age_bin_1" and so on, and "age_missing" if the feature had missing values during fit.

        Examples
        --------
        >>> from torchmlp.preprocessing import PiecewiseLinearEncoder
        >>> encoder = PiecewiseLinearEncoder(2, bins="quantile").fit([[0.0], [2.0], [4.0]])
        >>> encoder.get_feature_names_out(["age"])
        array(['age_bin_0', 'age_bin_1'], dtype=object)
        """
        check_is_fitted(self)
        with naming("input_features"):
            names = check_feature_names_in(self, input_features)
        columns: list[str] = []
        flags = self.has_scaled_, self.n_bins_, self.has_missing_
        for name, scaled, n_bins, missing in zip(names, *flags, strict=True):
            columns += [f"{name}_scaled"] * int(scaled)
            columns += [f"{name}_bin_{k}" for k in range(n_bins)]
            columns += [f"{name}_missing"] * int(missing)
        return np.array(columns, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = self.bins == "target"
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _compute_edges(self, X, y, sample_weight):
        """Set the fitted attributes."""
        with _naming_X(X):
            X = validate_data(self, X, **_FORMAT)
        weights = _scaled_weights(check_weights(sample_weight, X))
        used = slice(None) if weights is None else weights > 0
        rows = self._rows_for_inner_edges(len(X), weights)
        weights_of_rows = None if weights is None else weights[rows]
        inner_edges = self._inner_edges(X, y, rows, weights_of_rows)
        features = range(X.shape[1])
        self.has_missing_ = np.array([np.isnan(X[used, j]).any() for j in features])
        self.bin_edges_ = [all_edges(X[used, j], inner_edges(X[rows, j])) for j in features]
        self.median_ = np.array([median(X[rows, j], weights_of_rows) for j in features])
        self.n_bins_ = np.array([max(len(edges) - 1, 0) for edges in self.bin_edges_])
        varies = np.array([len(np.unique(edges)) > 1 for edges in self.bin_edges_])
        self.has_scaled_ = np.logical_and(self.add_scaled, varies & (self.n_bins_ < FEW_BINS))
        self.mean_, self.scale_ = _mean_and_deviation(X, weights, self.has_scaled_)
        scaled = {j: (self.mean_[j], self.scale_[j]) for j in np.flatnonzero(self.has_scaled_)}
        self._components = components_of(self.bin_edges_, self.has_missing_, scaled)

    def _rows_for_inner_edges(self, n_samples, weights):
        """Return the indices of all samples with a weight, or of a subsample of them."""
        rows = np.arange(n_samples) if weights is None else np.flatnonzero(weights)
        if self.subsample is None or len(rows) <= self.subsample:
            return rows
        random_state = check_random_state(self.random_state)
        return np.sort(random_state.choice(rows, int(self.subsample), replace=False))

    def _inner_edges(self, X, y, rows, weights):
        """Return a function from the values of a feature in the given rows to its inner edges."""
        if self.bins == "quantile":
            self.target_type_ = None
            return lambda x: quantile_edges(x, weights, self.n_bins)
        edges = TargetEdges(
            checked_target(X, y)[rows],
            weights,
            self.target_type,
            self.n_bins,
            self.min_samples_leaf,
            self.min_impurity_fraction,
        )
        self.target_type_ = edges.target_type
        return edges

    def _without_new_missing(self, X):
        """Return X without missing values in features that had none during fit."""
        missing = np.isnan(X) & ~self.has_missing_
        new = missing.any(axis=0)
        if not new.any():
            return X
        if self.handle_missing == "median":
            return np.where(missing, self.median_, X)  # float64
        names = check_feature_names_in(self, None)[new].tolist()
        raise ValueError(
            f"X has missing values in the features {names}, which had none during fit. Fit on data "
            "with missing values in these features, or pass handle_missing='median'."
        )


@contextlib.contextmanager
def _naming_X(X):
    with naming("X"), naming_columns(X), np.errstate(invalid="ignore"):  # sums of large values
        yield


def _scaled_weights(weights):
    """Return the weights divided by a power of two, so that sums of subnormal weights are exact."""
    return None if weights is None else np.ldexp(weights, -np.frexp(weights.max())[1])


def _mean_and_deviation(X, weights, of_features):
    """Return the means and the standard deviations of some features, and NaN for the others."""
    result = np.full((2, X.shape[1]), np.nan)
    if of_features.any():
        X = X[:, of_features].astype(np.float64)
        largest = np.nanmax(np.abs(X), axis=0)  # so that the squares do not overflow
        scaler = StandardScaler().fit(X / largest, sample_weight=weights)
        result[:, of_features] = scaler.mean_ * largest, scaler.scale_ * largest
    return result
