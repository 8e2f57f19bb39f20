"""Encoders of a regressor that predicts several quantiles, or a mean and a standard deviation."""

from functools import partial

import numpy as np
import torch
from torch import nn

from torchmlp.encoding import ValueEncoder, target_names
from torchmlp.training.activations import Apply


class QuantileEncoder(ValueEncoder):
    """Encoder for several quantiles of a single target, with one raw output per quantile.

    The predictions are the raw outputs of each sample in increasing order, so that they do not
    cross (Chernozhukov, Fernandez-Val and Galichon, Econometrica 78, 2010).

    Parameters
    ----------
    quantiles : tuple of float

    Attributes
    ----------
    ranks : int array of shape (n_quantiles,)
        Rank of each quantile.
    """

    def __init__(self, quantiles):
        super().__init__("identity")
        self.quantiles = quantiles
        self.ranks = np.argsort(np.argsort(quantiles))

    def encode(self, y):
        """Return a float array of shape (n_samples, 1).

        Raises
        ------
        ValueError
            If y is not numeric, or has several columns.
        """
        encoded = super().encode(y)
        if encoded.shape[1] > 1:
            raise ValueError(
                f"quantile={list(self.quantiles)} requires a single target, but y has "
                f"{encoded.shape[1]} columns. Use sklearn.multioutput.MultiOutputRegressor, which "
                "fits one network per target, or a single number as quantile."
            )
        return encoded

    def n_outputs(self, encoded):
        """Return the number of quantiles."""
        return len(self.quantiles)

    def predictions(self, raw):
        """Return the quantiles, an array of shape (*stack, n_samples, n_quantiles)."""
        return np.sort(raw, axis=-1)[..., self.ranks]

    def decode(self, raw):
        """Return predictions of shape (n_samples, n_quantiles)."""
        return self.predictions(raw)

    def modules(self, n_outputs):
        """Return the torch modules that convert raw outputs to what `decode` returns."""
        return [Apply(partial(_sorted_outputs, ranks=self.ranks.tolist()))]

    def onnx(self, graph, raw, n_outputs):
        """Add the ONNX nodes of `predictions`. See `OutputActivation`."""
        names = [graph.scope.get_unique_variable_name(name) for name in ("ordered", "index")]
        ordered, _ = graph(
            "TopK", raw, np.array([len(self.ranks)]), output=names, axis=1, largest=0, sorted=1
        )
        return graph("Gather", ordered, self.ranks, axis=1)

    def output_names(self, n_outputs):
        """Return one name per quantile."""
        return [f"quantile {quantile:g}" for quantile in self.quantiles]

    @property
    def score_key(self):
        """Key that is equal for encoders whose `score` computes the same."""
        return self.quantiles

    def score(self, encoded, raw, sample_weight):
        """Return D² averaged over the quantiles, or NaN if an output is not finite.

        It equals the mean of `sklearn.metrics.d2_pinball_score`, which is slow and does not accept
        stacks. See `ClassEncoder.score` for the shapes.
        """
        finite = np.isfinite(raw).all((-2, -1))
        scores = self.d2(encoded, self.predictions(raw), sample_weight)
        return np.where(finite, scores, np.nan)

    def d2(self, y, predictions, sample_weight):
        """Return D² averaged over the quantiles.

        D² is 1 minus the ratio of the mean pinball loss of the predictions to that of the best
        constant, which is an empirical quantile.

        Parameters
        ----------
        y : ndarray of shape (*stack, n_samples, 1)
        predictions : ndarray of shape (*stack, n_samples, n_quantiles)
        sample_weight : ndarray of shape (*stack, n_samples) or None

        Returns
        -------
        ndarray of shape (*stack,)
        """
        weights = None if sample_weight is None else sample_weight[..., None]
        constant = np.quantile(
            y, self.quantiles, axis=-2, weights=weights, method="inverted_cdf", keepdims=True
        )
        constant = np.moveaxis(constant, 0, -1)[..., 0, :]
        with np.errstate(all="ignore"):
            loss, constant_loss = (self._mean_loss(y, p, weights) for p in (predictions, constant))
            d2 = 1 - loss / constant_loss
        return np.where(constant_loss == 0, np.where(loss == 0, 1.0, 0.0), d2).mean(-1)

    def _mean_loss(self, y, predictions, weights):
        error, q = y - predictions, np.array(self.quantiles)
        losses = np.maximum(q * error, (q - 1) * error)
        weights = None if weights is None else np.broadcast_to(weights, losses.shape)
        return np.average(losses, axis=-2, weights=weights)


class GaussianEncoder(ValueEncoder):
    """Encoder for normal distributions.

    The raw outputs are the mean of each target, then the logarithm of the variance of each target.
    """

    def __init__(self):
        super().__init__("identity")

    def n_outputs(self, encoded):
        """Return the number of network outputs for an encoded y."""
        return 2 * encoded.shape[1]

    def n_columns(self, n_outputs):
        """Return the number of targets."""
        return n_outputs // 2

    def predictions(self, raw):
        """Return the means, an array of shape (*stack, n_samples, n_targets)."""
        return raw[..., : self.n_columns(raw.shape[-1])]

    def deviations(self, raw):
        """Return the standard deviations, in the shape that `decode` returns."""
        deviations = np.exp(raw[:, self.n_columns(raw.shape[1]) :] / 2)
        return deviations.ravel() if deviations.shape[1] == 1 else deviations

    def modules(self, n_outputs):
        """Return the torch modules that convert raw outputs to what `decode` returns."""
        means = Apply(partial(torch.narrow, dim=1, start=0, length=self.n_columns(n_outputs)))
        return [means] if n_outputs > 2 else [means, nn.Flatten(0)]

    def onnx(self, graph, raw, n_outputs):
        """Add the ONNX nodes of `predictions`. See `OutputActivation`."""
        return graph("Gather", raw, np.arange(self.n_columns(n_outputs)), axis=1)

    def onnx_deviations(self, graph, raw, n_outputs):
        """Add the ONNX nodes of the standard deviations, of shape (n_samples, n_targets)."""
        log_variance = graph("Gather", raw, np.arange(self.n_columns(n_outputs), n_outputs), axis=1)
        return graph("Exp", graph("Mul", log_variance, 0.5))

    def output_names(self, n_outputs):
        """Return the names of the raw outputs."""
        n_targets = self.n_columns(n_outputs)
        of = [""] if n_targets == 1 else [f" of {name}" for name in target_names(n_targets)]
        return [what + name for what in ("mean", "log variance") for name in of]


def _sorted_outputs(raw, ranks):
    """Sort the columns of a tensor in each row, and return them in the order of ranks."""
    return raw.sort(1).values[:, ranks]


def quantile_levels(quantile):
    """Return the parameter `quantile` as a float, or as a tuple if it is a list or an array."""
    return float(quantile) if np.ndim(quantile) == 0 else tuple(map(float, quantile))


def value_encoder(loss, quantiles, out_activation):
    """Return the encoder of a regressor.

    Parameters
    ----------
    loss : str or callable
        The parameter of the regressor.
    quantiles : float or tuple of float
        What `quantile_levels` returned.
    out_activation : str
    """
    if loss == "gaussian":
        return GaussianEncoder()
    if loss == "quantile" and isinstance(quantiles, tuple):
        return QuantileEncoder(quantiles)
    return ValueEncoder(out_activation)
