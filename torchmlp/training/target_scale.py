"""Scaling of the targets of a regressor, and the weights of the last layer in both units.

During training the weights are those of a network for scaled targets. The fitted attributes contain
those of the equivalent network for the targets in the original units.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class TargetScale:
    """The linear function that scales the targets: ``(y - center) / spread``.

    Attributes
    ----------
    center, spread : ndarrays of shape (n_outputs,)
        Weighted mean and standard deviation of the training targets, as computed by
        StandardScaler, whose deviation is 1 for constant targets. If the raw outputs predict the
        logarithm of the targets, 0 and the weighted mean, which is replaced by 1 if it is 0.
    raw_outputs : str
        What the raw outputs of the network predict, see `Loss`.
    """

    center: np.ndarray
    spread: np.ndarray
    raw_outputs: str

    @classmethod
    def of(cls, data, raw_outputs):
        """Return the scale of the rows of a `Dataset` that are used for training.

        Raises
        ------
        ValueError
            If the largest absolute value of y is too large for the dtype of the network.
        """
        y, weights = data.targets_and_weights()
        largest = np.abs(y.astype(np.float64)).max(axis=0)
        limit = np.finfo(data.X.dtype).max / 2  # so that differences do not overflow
        if largest.max() > limit:
            raise ValueError(
                f"y has values up to {largest.max():.3g}, but a network of dtype {data.X.dtype} "
                f"supports values up to {limit:.3g} with normalize_y=True. Divide y by a constant."
            )
        # A power of two, so that the squares do not overflow and nothing is rounded.
        exponents = np.frexp(largest)[1]
        y = np.ldexp(y.astype(np.float64), -exponents)
        if weights is not None:
            # StandardScaler regards the sum of the weights as the number of rows.
            weights = weights / weights.mean()
        if raw_outputs != "log_targets":
            scaler = StandardScaler().fit(y, sample_weight=weights)
            # A constant target has the deviation 1 in its original units.
            spread = np.where(scaler.scale_ == 1, 1.0, np.ldexp(scaler.scale_, exponents))
            return cls(np.ldexp(scaler.mean_, exponents), spread, raw_outputs)
        mean = np.ldexp(np.average(y, axis=0, weights=weights), exponents)
        return cls(np.zeros_like(mean), np.where(mean == 0, 1.0, mean), raw_outputs)

    def scaled(self, data):
        """Return a `Dataset` with scaled targets, which also has the original ones."""
        y = ((data.y - self.center) / self.spread).astype(data.y.dtype)
        return replace(data, y=y, unscaled_y=data.y)

    @property
    def factor(self):
        """Factor of the raw outputs: in the original units they are factor * raw + offset."""
        ones = np.ones_like(self.spread)
        if self.raw_outputs == "targets":
            return self.spread
        if self.raw_outputs == "log_targets":
            return ones
        return np.concatenate([self.spread, ones])

    @property
    def offset(self):
        """Offset of the raw outputs. See `factor`."""
        if self.raw_outputs == "targets":
            return self.center
        logarithm = np.log(self.spread)
        if self.raw_outputs == "log_targets":
            return logarithm
        return np.concatenate([self.center, 2 * logarithm])

    def fold(self, coefs, intercepts):
        """Return the weights for predictions in the original units.

        Parameters
        ----------
        coefs, intercepts : lists of ndarrays
            The weights for scaled targets. Only those of the last layer are changed.

        Returns
        -------
        coefs, intercepts : lists of ndarrays
            In the same dtype.
        """
        *coefs, last_coefs = coefs
        *intercepts, last_intercepts = intercepts
        dtype = last_coefs.dtype
        coefs.append((last_coefs * self.factor).astype(dtype))
        intercepts.append((last_intercepts * self.factor + self.offset).astype(dtype))
        return coefs, intercepts

    def unfold(self, coefs, intercepts, last_layer=None):
        """Return the weights for scaled targets: the inverse of `fold`.

        Parameters
        ----------
        coefs, intercepts : lists of ndarrays
            The weights for predictions in the original units.
        last_layer : (ndarray, ndarray) or None
            The last layer for scaled targets, if it is known. It is used if `fold` returns the
            given weights for it, that is, unless the user has changed them. Training then continues
            without a rounding error.

        Returns
        -------
        coefs, intercepts : lists of ndarrays
        """
        given = coefs[-1], intercepts[-1]
        if last_layer is None or not self._folds_to(last_layer, given):
            last_layer = (
                np.asarray(given[0]) / self.factor,
                (np.asarray(given[1]) - self.offset) / self.factor,
            )
        return [*coefs[:-1], last_layer[0]], [*intercepts[:-1], last_layer[1]]

    def _folds_to(self, last_layer, given):
        (coefs,), (intercepts,) = self.fold(*([array] for array in last_layer))
        return np.array_equal(coefs, given[0]) and np.array_equal(intercepts, given[1])
