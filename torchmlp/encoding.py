"""Encoders that convert y to the array for training, and raw outputs to predictions."""

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import unique_labels
from torch import nn

from torchmlp.training.losses import classifier_loss
from torchmlp.training.output_activations import activate_outputs


class ClassEncoder:
    """Encode class labels as integer codes or boolean columns.

    The encoded y has one boolean column for two classes, one column of integer codes (indices of
    `classes`) for more than two classes, and one boolean column per label for a multilabel target.
    The network has one output for two classes, one output per class for more than two classes, and
    one output per label for a multilabel target.

    Parameters
    ----------
    binarizer : LabelBinarizer
        Fitted with the labels, or with the classes across all calls of `partial_fit`.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    multiclass : bool
        Whether each sample has exactly one of more than two classes.
    multilabel : bool
        Whether each sample has a set of labels.
    score_name : str
        Name of what `score` and `metric` return.
    predicts_raw_outputs : bool
        Whether the predictions are the raw outputs.
    """

    score_name = "accuracy"
    predicts_raw_outputs = False

    def __init__(self, binarizer):
        self.binarizer = binarizer
        self.classes = binarizer.classes_
        self.multiclass = binarizer.y_type_ == "multiclass"
        self.multilabel = binarizer.y_type_.startswith("multilabel")

    def loss(self, loss, label_smoothing):
        """Return the multiclass or binary `Loss` for the parameters of a classifier."""
        return classifier_loss(loss, self.multiclass, label_smoothing)

    def check(self, y, same_classes):
        """Check that training can continue with these labels.

        Raises
        ------
        ValueError
            If y has unknown classes, if `same_classes` is true and a class is missing, or if y is
            multilabel but the network was fitted with one class per sample.
        """
        if y.ndim > 1 and not self.multilabel:
            raise ValueError(
                "`y` has a column per label, but the network was fitted with one class per sample. "
                "Pass an array of shape (n_samples,)."
            )
        classes = unique_classes(y)
        if same_classes and set(classes) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes}. 'y' has {classes}. Pass all classes in the "
                "first call: in y of fit, or in `classes` of partial_fit."
            )

    def encode(self, y):
        """Return codes of shape (n_samples, 1), or a bool array of shape (n_samples, n_outputs)."""
        if self.multilabel:
            return self.binarizer.transform(y).astype(bool)
        # `LabelBinarizer.transform` is slower: it makes four passes over y and creates a sparse
        # matrix.
        codes = np.searchsorted(self.classes, y)[:, None]
        return codes if self.multiclass else codes == 1

    def n_outputs(self, encoded):
        """Return the number of network outputs for an encoded y."""
        return len(self.classes) if self.multiclass else encoded.shape[1]

    def inverse_transform(self, encoded):
        """Return the labels for an encoded y."""
        if self.multilabel:
            return self.binarizer.inverse_transform(encoded)
        return self.labels(encoded[:, 0])

    def decode(self, raw):
        """Return the labels for raw outputs of shape (n_samples, n_outputs).

        The label is the class with the largest output, or every label with a positive output.
        Softmax and sigmoid are not applied, because they do not change this result.
        """
        if self.multilabel:
            return self.binarizer.inverse_transform(raw, threshold=0.0)
        return self.labels(self._codes(raw))

    def labels(self, codes):
        """Return the labels for class indices."""
        return self.classes.take(codes)

    def _codes(self, raw):
        if self.multiclass:
            return raw.argmax(axis=-1)
        # With a single class, the output has no effect on the prediction.
        return np.minimum(raw[..., 0] > 0, len(self.classes) - 1)

    def output_names(self, n_outputs):
        """Return the names of the raw outputs: the classes, or the second of two classes."""
        return [str(label) for label in self.classes[-n_outputs:]]

    def stratify(self, encoded):
        """Return the class codes for a stratified split, or None for a multilabel target."""
        return None if self.multilabel else encoded

    @property
    def score_key(self):
        """Key that is equal for encoders whose `score` computes the same."""
        return self.multiclass, self.multilabel, len(self.classes)

    def score(self, encoded, raw, sample_weight):
        """Return the (subset) accuracy, or NaN if an output is not finite.

        Parameters
        ----------
        encoded : array of shape (*stack, n_samples, n_outputs) or (*stack, n_samples, 1)
        raw : array of shape (*stack, n_samples, n_outputs)
        sample_weight : array of shape (*stack, n_samples) or None

        Returns
        -------
        array of shape (*stack,)
        """
        if self.multilabel:
            correct = ((raw > 0) == encoded).all(-1)
        else:
            correct = self._codes(raw) == encoded[..., 0]
        accuracy = np.average(correct, axis=-1, weights=sample_weight)
        return np.where(np.isfinite(raw).all((-2, -1)), accuracy, np.nan)

    def metric(self, y, predictions, sample_weight):
        """Return the (subset) accuracy of predicted labels."""
        return accuracy_score(y, predictions, sample_weight=sample_weight)


def unique_classes(y):
    """Return the sorted labels in y, as `unique_labels` of scikit-learn does."""
    # For these dtypes, NumPy returns the same labels and is five times as fast.
    return np.unique(y) if y.ndim == 1 and y.dtype.kind in "biuU" else unique_labels(y)


def target_names(n_targets):
    """Return the names of the targets of a regressor: "y", or "y0", "y1" and so on."""
    return ["y"] if n_targets == 1 else [f"y{i}" for i in range(n_targets)]


class ValueEncoder:
    """Encode the targets of a regressor as a float array with one column per output.

    Parameters
    ----------
    out_activation : str
        Output activation of the network.

    Attributes
    ----------
    score_name : str
        Name of what `score` and `metric` return.
    binarizer : None
        There is none, unlike that of a `ClassEncoder`.
    has_deviations : bool
        Whether the network also predicts standard deviations.
    columns_per_target : int
        Number of columns of the predictions for each target.
    """

    score_name = "R²"
    binarizer = None
    has_deviations = False
    columns_per_target = 1

    def __init__(self, out_activation):
        self.out_activation = out_activation

    def encode(self, y):
        """Return a float32 (if y is float32) or float64 array of shape (n_samples, n_outputs).

        Raises
        ------
        ValueError
            If y is not numeric.
        """
        y = y.toarray() if sp.issparse(y) else y
        if y.dtype.kind not in "biuf":
            raise ValueError(
                f"y must be numeric, got an array of dtype {y.dtype}. Use TorchMLPClassifier for "
                "labels."
            )
        dtype = np.float32 if y.dtype == np.float32 else np.float64
        return y.reshape(len(y), -1).astype(dtype, copy=False)

    def n_outputs(self, encoded):
        """Return the number of network outputs for an encoded y."""
        return encoded.shape[1]

    def check(self, y, same_classes):
        """Do nothing: every number is a valid target."""

    def inverse_transform(self, encoded):
        """Return the values for an encoded y."""
        return encoded.ravel() if encoded.shape[1] == 1 else encoded

    def predictions(self, raw):
        """Return the predictions for raw outputs, which may be overwritten.

        Parameters
        ----------
        raw : ndarray of shape (*stack, n_samples, n_outputs)

        Returns
        -------
        ndarray of shape (*stack, n_samples, n_columns)
        """
        return activate_outputs(raw, self.out_activation)

    def decode(self, raw):
        """Return predictions of shape (n_samples,), or (n_samples, n_columns) if n_columns > 1."""
        predictions = self.predictions(raw)
        return predictions.ravel() if predictions.shape[1] == 1 else predictions

    def n_columns(self, n_outputs):
        """Return the number of columns of the predictions of a network."""
        return n_outputs

    def modules(self, n_outputs):
        """Return the torch modules after the output activation, for what `decode` returns."""
        return [] if n_outputs > 1 else [nn.Flatten(0)]

    def onnx(self, graph, outputs, n_outputs):
        """Add the ONNX nodes after the output activation, for what `predictions` returns.

        Parameters
        ----------
        graph : torchmlp.export.onnx_converters.Graph
        outputs : str
            Name of the outputs after the output activation.
        n_outputs : int

        Returns
        -------
        str
            Name of the predictions.
        """
        return outputs

    def column_names(self, n_columns):
        """Return the names of the columns of the predictions: "y", or "y0", "y1" and so on."""
        return target_names(n_columns)

    def output_names(self, n_outputs):
        """Return the names of the raw outputs."""
        return self.column_names(n_outputs)

    @property
    def predicts_raw_outputs(self):
        """Whether the predictions are the raw outputs."""
        return self.out_activation == "identity"

    def stratify(self, encoded):
        """Return None: the validation split of a regressor is not stratified."""

    @property
    def score_key(self):
        """Key that is equal for encoders whose `score` computes the same."""
        return self.out_activation

    def score(self, encoded, raw, sample_weight):
        """Return R² averaged over the outputs, or NaN if a prediction is not finite.

        It equals `sklearn.metrics.r2_score`, which does not accept stacks. See `ClassEncoder.score`
        for the shapes.
        """
        outputs = self.predictions(raw.copy())
        weights = 1.0 if sample_weight is None else sample_weight[..., None]
        mean = np.average(
            encoded,
            axis=-2,
            weights=None if sample_weight is None else np.broadcast_to(weights, encoded.shape),
            keepdims=True,
        )
        with np.errstate(all="ignore"):
            residual = (weights * (encoded - outputs) ** 2).sum(-2)
            total = (weights * (encoded - mean) ** 2).sum(-2)
            r2 = 1 - residual / total
        r2 = np.where(total == 0, np.where(residual == 0, 1.0, 0.0), r2).mean(-1)
        return np.where(np.isfinite(outputs).all((-2, -1)), r2, np.nan)

    def metric(self, y, predictions, sample_weight):
        """Return R² of predictions, averaged over the targets."""
        return r2_score(y, predictions, sample_weight=sample_weight)
