"""Targets: between y as the user knows it and the array that the network is trained on."""

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels


class ClassEncoder:
    """Classes or labels, as one bool column per output.

    Two classes take one output; more take one each; a multilabel target one per label.

    Parameters
    ----------
    y : array-like
        The labels, or all classes that will ever occur.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    loss : str
        Key of `torchmlp.training.losses.LOSSES`.
    """

    def __init__(self, y):
        self.binarizer = LabelBinarizer().fit(y)
        self.classes = self.binarizer.classes_
        exclusive = self.binarizer.y_type_ == "multiclass"
        self.loss = "log_loss" if exclusive else "binary_log_loss"

    def check(self, y, same_classes):
        """Make sure that training can go on with these labels.

        Raises
        ------
        ValueError
            If y has classes that the network does not know or, with `same_classes`, lacks some.
        """
        classes = unique_labels(y)
        if same_classes and set(classes) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes}. 'y' has {classes}. Name them all in "
                "`classes` at the first call to partial_fit."
            )

    def encode(self, y):
        """Return a bool array of shape (n_samples, n_outputs)."""
        return self.binarizer.transform(y).astype(bool)

    def decode(self, outputs):
        """Return the labels for activated outputs of shape (n_samples, n_outputs)."""
        return self.binarizer.inverse_transform(
            outputs.ravel() if outputs.shape[1] == 1 else outputs
        )

    def strata(self, encoded):
        """Return what a split is stratified by: the class, or nothing for a multilabel target."""
        if encoded.shape[1] == 1:
            return encoded
        return self.classes[encoded.argmax(axis=1)] if self.loss == "log_loss" else None

    def score(self, encoded, outputs, sample_weight):
        """Accuracy: the share of the rows with all labels right."""
        if self.loss == "log_loss":
            true, predicted = encoded.argmax(axis=1), outputs.argmax(axis=1)
        else:
            true, predicted = encoded, outputs > 0.5
        return accuracy_score(true, predicted, sample_weight=sample_weight)


# The smallest y that a loss makes sense for.
_SMALLEST = {"poisson": 0.0}


class ValueEncoder:
    """Real numbers, one column per output.

    Parameters
    ----------
    loss : str
        Key of `torchmlp.training.losses.LOSSES`.
    """

    def __init__(self, loss):
        self.loss = loss

    def encode(self, y):
        """Return an array of shape (n_samples, n_outputs).

        Raises
        ------
        ValueError
            If the loss is not defined for one of the values.
        """
        smallest = _SMALLEST.get(self.loss, -np.inf)
        if y.min() < smallest:
            raise ValueError(
                f"loss={self.loss!r} needs y >= {smallest:g}, got {y.min()}. Use "
                "loss='squared_error' for targets that can be negative."
            )
        return y.reshape(len(y), -1)

    def decode(self, outputs):
        """Return predictions of shape (n_samples,), or (n_samples, n_outputs) for several."""
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def strata(self, encoded):
        return None

    def score(self, encoded, outputs, sample_weight):
        """R², averaged over the outputs; NaN for predictions that are not finite."""
        if not np.isfinite(outputs).all():
            return np.nan
        return r2_score(encoded, outputs, sample_weight=sample_weight)
