"""Encoders between y as the user gives it and the array that the network is trained on."""

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

from torchmlp.training.losses import BINARY_LOSSES, MULTICLASS_LOSSES, activate_outputs


class ClassEncoder:
    """Classes as codes, or labels as columns of bool.

    Two classes take one output and one column of bool. More classes take one output each, but
    stay a single column of codes, the indices of the true classes: one integer per sample,
    however many classes there are. A multilabel target takes one output and one column of bool
    per label.

    Parameters
    ----------
    y : array-like
        The labels, or all classes that will ever occur.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    multiclass : bool
        Whether each sample has one of more than two classes.
    multilabel : bool
        Whether each sample has any number of labels.
    """

    def __init__(self, y):
        self._read(LabelBinarizer().fit(y))

    def _read(self, binarizer):
        self.binarizer, self.classes = binarizer, binarizer.classes_
        self.multiclass = binarizer.y_type_ == "multiclass"
        self.multilabel = binarizer.y_type_.startswith("multilabel")

    @classmethod
    def of(cls, binarizer):
        """Make an encoder of a fitted `LabelBinarizer`."""
        encoder = cls.__new__(cls)
        encoder._read(binarizer)
        return encoder

    def loss(self, name):
        """Return the `Loss` for these classes and the parameter `loss`."""
        return (MULTICLASS_LOSSES if self.multiclass else BINARY_LOSSES)[name]

    def check(self, y, same_classes):
        """Make sure that training can go on with these labels.

        Raises
        ------
        ValueError
            If y has classes that the network does not know or, with `same_classes`, lacks some;
            or several labels per sample, for a network that was fitted with one.
        """
        if y.ndim > 1 and not self.multilabel:
            raise ValueError(
                "`y` has a column per label, but the network was fitted with one class per sample. "
                "Give the classes, in an array of shape (n_samples,)."
            )
        # For labels that can be sorted NumPy finds the same five times as fast.
        simple = not self.multilabel and y.dtype.kind in "biuU"
        classes = np.unique(y) if simple else unique_labels(y)
        if same_classes and set(classes) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes}. 'y' has {classes}. All classes must be "
                "known from the first call: in y of fit, or in `classes` of partial_fit."
            )

    def encode(self, y):
        """Return codes of shape (n_samples, 1), or bool of shape (n_samples, n_outputs)."""
        if self.multilabel:
            return self.binarizer.transform(y).astype(bool)
        # The binarizer would make four passes over y, and a sparse matrix on the way.
        codes = np.searchsorted(self.classes, y)[:, None]
        return codes if self.multiclass else codes == 1

    def n_outputs(self, encoded):
        """Return the number of outputs that an encoded y takes."""
        return len(self.classes) if self.multiclass else encoded.shape[1]

    def inverse_transform(self, encoded):
        """Return the labels that were encoded."""
        if self.multiclass:
            return self.labels(encoded[:, 0])
        return self.decode(encoded - 0.5)

    def decode(self, raw):
        """Return the labels for raw outputs of shape (n_samples, n_outputs).

        The class with the largest output, or those with a positive one: softmax and sigmoid
        change nothing about that.
        """
        if self.multilabel:
            raw = raw.ravel() if raw.shape[1] == 1 else raw
            return self.binarizer.inverse_transform(raw, threshold=0.0)
        return self.labels(self._codes(raw))

    def labels(self, codes):
        """Return the labels for indices of classes."""
        return self.classes.take(codes)

    def _codes(self, raw):
        if self.multiclass:
            return raw.argmax(axis=1)
        # A single class has an output too, which then decides nothing.
        return np.minimum(raw[:, 0] > 0, len(self.classes) - 1)

    def strata(self, encoded):
        """Return what a split is stratified by: the class, or nothing for a multilabel target."""
        return None if self.multilabel else encoded

    def score(self, encoded, raw, sample_weight):
        """Return the accuracy, for several labels that of all of them; NaN if `raw` has any."""
        if not np.isfinite(raw).all():
            return np.nan
        if self.multilabel:
            return accuracy_score(encoded, raw > 0, sample_weight=sample_weight)
        return accuracy_score(encoded[:, 0], self._codes(raw), sample_weight=sample_weight)


class ValueEncoder:
    """Real numbers, one column per output.

    Parameters
    ----------
    loss : torchmlp.training.losses.Loss
    """

    def __init__(self, loss):
        self.out_activation = loss.out_activation

    def encode(self, y):
        """Return an array of shape (n_samples, n_outputs), float32 if y is, else float64.

        Raises
        ------
        ValueError
            If y does not hold numbers.
        """
        y = y.toarray() if sp.issparse(y) else y
        if y.dtype.kind not in "biuf":
            raise ValueError(
                f"y must hold numbers, got an array of dtype {y.dtype}. Use TorchMLPClassifier for "
                "labels."
            )
        dtype = np.float32 if y.dtype == np.float32 else np.float64
        return y.reshape(len(y), -1).astype(dtype, copy=False)

    def n_outputs(self, encoded):
        """Return the number of outputs that an encoded y takes."""
        return encoded.shape[1]

    def check(self, y, same_classes):
        """Nothing to check: every number may follow every other."""

    def inverse_transform(self, encoded):
        """Return the values that were encoded."""
        return encoded.ravel() if encoded.shape[1] == 1 else encoded

    def decode(self, raw):
        """Return predictions of shape (n_samples,), or (n_samples, n_outputs) for several."""
        outputs = activate_outputs(raw, self.out_activation)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def strata(self, encoded):
        return None

    def score(self, encoded, raw, sample_weight):
        """R², averaged over the outputs; NaN for predictions that are not finite."""
        outputs = activate_outputs(raw.copy(), self.out_activation)
        if not np.isfinite(outputs).all():
            return np.nan
        return r2_score(encoded, outputs, sample_weight=sample_weight)
