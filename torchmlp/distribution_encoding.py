"""Encoders of a regressor that predicts several quantiles, or a mean and a standard deviation."""

from functools import partial

import numpy as np
import torch
from sklearn.metrics import d2_pinball_score
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

    score_name = "D²"
    predicts_raw_outputs = False

    def __init__(self, quantiles):
        super().__init__("identity")
        self.quantiles = quantiles
        self.columns_per_target = len(quantiles)
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
        """Return the torch modules that sort the outputs."""
        return [Apply(partial(_sorted_outputs, ranks=self.ranks.tolist()))]

    def onnx(self, graph, outputs, n_outputs):
        """Add the ONNX nodes that sort the outputs."""
        names = [graph.scope.get_unique_variable_name(name) for name in ("ordered", "index")]
        ordered, _ = graph(
            "TopK", outputs, np.array([len(self.ranks)]), output=names, axis=1, largest=0, sorted=1
        )
        return graph("Gather", ordered, self.ranks, axis=1)

    def column_names(self, n_columns):
        """Return one name per quantile."""
        return [f"quantile {quantile:g}" for quantile in self.quantiles]

    @property
    def score_key(self):
        """Key that is equal for encoders whose `score` computes the same."""
        return self.quantiles

    def score(self, encoded, raw, sample_weight):
        """Return D² averaged over the quantiles, or NaN if an output is not finite.

        D² is 1 minus the ratio of the mean pinball loss of the predictions to that of the best
        constant, which is an empirical quantile. It equals `metric`, which is slow and does not
        accept stacks. See `ClassEncoder.score` for the shapes.
        """
        weights = None if sample_weight is None else sample_weight[..., None]
        constant = np.quantile(
            encoded, self.quantiles, axis=-2, weights=weights, method="inverted_cdf", keepdims=True
        )
        constant = np.moveaxis(constant, 0, -1)[..., 0, :]
        with np.errstate(all="ignore"):
            loss = self._mean_losses(encoded, self.predictions(raw), weights)
            constant_loss = self._mean_losses(encoded, constant, weights)
            d2 = 1 - loss / constant_loss
        d2 = np.where(constant_loss == 0, np.where(loss == 0, 1.0, 0.0), d2).mean(-1)
        return np.where(np.isfinite(raw).all((-2, -1)), d2, np.nan)

    def metric(self, y, predictions, sample_weight):
        """Return D² of predictions, averaged over the quantiles."""
        columns = zip(self.quantiles, predictions.T, strict=True)
        scores = [
            d2_pinball_score(y, column, alpha=quantile, sample_weight=sample_weight)
            for quantile, column in columns
        ]
        return float(np.mean(scores))

    def _mean_losses(self, y, predictions, weights):
        """Return the mean pinball loss of each quantile, of shape (*stack, n_quantiles)."""
        error, q = y - predictions, np.array(self.quantiles)
        losses = np.maximum(q * error, (q - 1) * error)
        weights = None if weights is None else np.broadcast_to(weights, losses.shape)
        return np.average(losses, axis=-2, weights=weights)


class GaussianEncoder(ValueEncoder):
    """Encoder for normal distributions.

    The raw outputs are the mean of each target, then the logarithm of the variance of each target.
    """

    has_deviations = True
    predicts_raw_outputs = False

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

    def mixture_deviations(self, raw):
        """Return the standard deviations of the mixture of the distributions of several networks.

        Parameters
        ----------
        raw : list of ndarrays of shape (n_samples, n_outputs)
            The raw outputs of each network.

        Returns
        -------
        ndarray
            In the shape that `decode` returns.
        """
        means = np.array([self.decode(outputs) for outputs in raw], np.float64)
        deviations = np.array([self.deviations(outputs) for outputs in raw], np.float64)
        variance = np.mean(deviations**2, axis=0) + np.var(means, axis=0)
        return np.sqrt(variance).astype(raw[0].dtype)

    def modules(self, n_outputs):
        """Return the torch modules that select the means."""
        means = Apply(partial(torch.narrow, dim=1, start=0, length=self.n_columns(n_outputs)))
        return [means] if n_outputs > 2 else [means, nn.Flatten(0)]

    def onnx(self, graph, outputs, n_outputs):
        """Add the ONNX node that selects the means."""
        return graph("Gather", outputs, np.arange(self.n_columns(n_outputs)), axis=1)

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
