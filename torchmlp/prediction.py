"""From rows to predictions: what a fitted estimator computes."""

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from torchmlp.arrays import check_input, in_namespace_of_X, to_numpy
from torchmlp.training.activations import resolve_activations
from torchmlp.training.compute import prediction_device, threads_for
from torchmlp.training.forward import as_layers, hidden_values, raw_outputs
from torchmlp.training.losses import activate_outputs


class PredictionMixin:
    """The predictions that both estimators make."""

    def _checked(self, X):
        """Return X as an array, and the dtype that a prediction for it is computed in."""
        check_is_fitted(self)
        X = check_input(self, X)
        promoted = np.result_type(X, *self.coefs_, *self.intercepts_)
        dtype = np.dtype(np.float32 if promoted.itemsize <= 4 else np.float64)
        return (X.astype(dtype) if promoted.itemsize > 8 else X), dtype  # torch has no longdouble

    def _raw_outputs(self, X):
        """Return the outputs before the output activation, for X as the user gives it."""
        X, dtype = self._checked(X)
        work = self._multiply_adds(X)
        device = prediction_device(self.device, work, dtype)
        with threads_for(work, dtype):
            layers = as_layers(self.coefs_, self.intercepts_, dtype, device)
            return raw_outputs(X, layers, self._activations())

    def _multiply_adds(self, X):
        """Return the multiply-adds of a prediction for all rows of X."""
        return X.shape[0] * sum([len(coefs) * np.shape(coefs)[1] for coefs in self.coefs_])

    def _activations(self):
        return resolve_activations(self.activation, len(self.coefs_) - 1)

    @in_namespace_of_X
    def hidden_activations(self, X):
        """Return what each hidden layer makes of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        activations : list of ndarrays of shape (n_samples, n_units)
            The values of each hidden layer after its activation function, input side first.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5, 3), solver="lbfgs", random_state=0).fit(X, y)
        >>> [values.shape for values in clf.hidden_activations(X)]
        [(150, 5), (150, 3)]
        """
        X, dtype = self._checked(X)
        with threads_for(self._multiply_adds(X), dtype):
            layers = as_layers(self.coefs_, self.intercepts_, dtype, torch.device("cpu"))
            return hidden_values(X, layers, self._activations())

    @in_namespace_of_X
    def predict(self, X):
        """Predict the targets of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted labels, or values.
        """
        raw = self._raw_outputs(X)
        return self._encoder.decode(raw)


class ProbabilityMixin(PredictionMixin):
    """The predictions that a classifier makes besides."""

    @in_namespace_of_X
    def decision_function(self, X):
        """Return the raw outputs: those before softmax or sigmoid, if the loss has one.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, that of ``classes_[1]``: its log-odds with ``loss='log_loss'``.
        """
        raw = self._raw_outputs(X)
        return raw.ravel() if raw.shape[1] == 1 else raw

    @available_if(lambda self: self._check_probabilities())
    @in_namespace_of_X
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for a multilabel target, of each label.
        """
        outputs = activate_outputs(self._raw_outputs(X), self.out_activation_)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    @available_if(lambda self: self._check_probabilities())
    @in_namespace_of_X
    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _check_probabilities(self):
        if self.loss != "log_loss":
            raise AttributeError(
                f"loss={self.loss!r} gives no probabilities. Use loss='log_loss', or wrap the "
                "classifier in CalibratedClassifierCV; decision_function is there."
            )
        return True


class ScoreMixin:
    """The score of scikit-learn's mixins, for torch tensors too."""

    def score(self, X, y, sample_weight=None):
        """Return the mean accuracy of a classifier, or R² of a regressor.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true labels, or values. For a multilabel target a sample counts as correct where
            all its labels are.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        score : float
            At most 1; larger is better.
        """
        X, y, sample_weight = to_numpy(X=X, y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)  # type: ignore[misc]
