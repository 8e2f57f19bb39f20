"""From rows to predictions: what a fitted estimator computes."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from torchmlp.training.activations import resolve_activations
from torchmlp.training.device.placement import one_thread, prediction_device
from torchmlp.training.inference import as_layers, hidden_values, largest_outputs, raw_outputs
from torchmlp.training.losses import BINARY_LOSSES, activate_outputs
from torchmlp.validation import check_input, in_namespace_of_X, to_numpy


class PredictionMixin:
    """The predictions that both estimators make."""

    def _checked(self, X):
        """Return X as an array, and the dtype that a prediction for it is computed in."""
        if not hasattr(self, "coefs_"):  # `check_is_fitted` reads all attributes
            check_is_fitted(self)
        X = check_input(self, X)
        promoted = np.result_type(X, *self.coefs_, *self.intercepts_)
        dtype = np.dtype(np.float32 if promoted.itemsize <= 4 else np.float64)
        return (X.astype(dtype) if promoted.itemsize > 8 else X), dtype  # torch has no longdouble

    def _compute(self, function, X):
        """Call a function of `torchmlp.training.inference` for X as the user gives it."""
        X, dtype = self._checked(X)
        with one_thread():
            device = prediction_device(self.device, dtype)
            layers = as_layers(self.coefs_, self.intercepts_, dtype, device)
            return function(X, layers, self._activations())

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
        return self._compute(hidden_values, X)

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
        return self._compute(self._predict_rows, X)

    def _predict_rows(self, X, layers, activations):
        return self._encoder.decode(raw_outputs(X, layers, activations))


class ProbabilityMixin(PredictionMixin):
    """The predictions that a classifier makes besides."""

    def _predict_rows(self, X, layers, activations):
        if not self._encoder.multiclass:
            return super()._predict_rows(X, layers, activations)
        return self._encoder.labels(largest_outputs(X, layers, activations))

    @available_if(lambda self: self._check_no_probabilities())
    @in_namespace_of_X
    def decision_function(self, X):
        """Return the raw outputs, with a loss that has no probabilities.

        Only with ``loss='hinge'`` or ``'perceptron'``. scikit-learn's MLPClassifier has no
        `decision_function`. Tools that choose a method, such as
        :class:`~sklearn.inspection.DecisionBoundaryDisplay` and
        :class:`~sklearn.calibration.CalibratedClassifierCV`, prefer it to `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One score per sample for two classes, positive where `predict` returns
            ``classes_[1]``; else one per class or label.

        Raises
        ------
        AttributeError
            With ``loss='log_loss'``. Use `predict_logits`.

        See Also
        --------
        predict_logits : Raw outputs of a classifier with probabilities.
        """
        return self._scores(X)

    @available_if(lambda self: self._check_probabilities())
    @in_namespace_of_X
    def predict_logits(self, X):
        """Return the raw outputs, before softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For two classes, the log-odds of ``classes_[1]``, ``log(p / (1 - p))``. For more
            classes one column each, whose softmax is `predict_proba`. For a multilabel target
            the log-odds of each label.

        Raises
        ------
        AttributeError
            With a loss that has no probabilities. Use `decision_function`.

        See Also
        --------
        decision_function : Raw outputs of a classifier without probabilities.

        Examples
        --------
        >>> import numpy as np
        >>> from scipy.special import softmax
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> np.allclose(softmax(clf.predict_logits(X), axis=1), clf.predict_proba(X))
        True
        """
        return self._scores(X)

    def _scores(self, X):
        """Return the raw outputs, in one dimension where there is one output."""
        raw = self._compute(raw_outputs, X)
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
        outputs = activate_outputs(self._compute(raw_outputs, X), self.out_activation_)
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
        if not _has_probabilities(self.loss):
            raise AttributeError(
                f"loss={self.loss!r} has no probabilities. Use decision_function, loss='log_loss', "
                "or CalibratedClassifierCV around the classifier."
            )
        return True

    def _check_no_probabilities(self):
        if _has_probabilities(self.loss):
            raise AttributeError(
                f"loss={self.loss!r} has no decision_function: scikit-learn's MLPClassifier has "
                "none, and tools that choose a method by themselves would prefer it to "
                "predict_proba. Use predict_logits for the raw outputs."
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
        return super().score(X, y, sample_weight)


def _has_probabilities(loss):
    """Return whether the outputs of a classifier with this loss are probabilities."""
    return loss in BINARY_LOSSES and BINARY_LOSSES[loss].out_activation != "identity"
