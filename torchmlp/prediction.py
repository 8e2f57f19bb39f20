"""Prediction methods of the estimators."""

from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from torchmlp import _typing as t
from torchmlp._sklearn_compat import available_if
from torchmlp.training.activations import resolve_activations
from torchmlp.training.device.placement import prediction_device
from torchmlp.training.inference import as_layers, hidden_values, raw_outputs
from torchmlp.training.losses import BINARY_LOSSES
from torchmlp.training.output_activations import activate_outputs
from torchmlp.training.threads import one_thread
from torchmlp.validation import (
    check_any_weight,
    check_input,
    in_namespace_of_X,
    naming,
    to_numpy,
    weights_of_rows,
)


class PredictionMixin:
    """Prediction methods of both estimators."""

    @property
    def _network(self):
        """The estimator with the parameters of the network."""
        return self

    def _compute(self, function, X):
        """Validate X, and call a function of `torchmlp.training.inference` with it."""
        if not hasattr(self, "coefs_"):  # faster than `check_is_fitted`
            check_is_fitted(self)
        return self._compute_checked(function, check_input(self, X))

    def _compute_checked(self, function, X):
        """Call a function of `torchmlp.training.inference` with an X that was validated."""
        promoted = np.result_type(X, *self.coefs_, *self.intercepts_)
        dtype = np.dtype(np.float32 if promoted.itemsize <= 4 else np.float64)
        X = X.astype(dtype) if promoted.itemsize > 8 else X  # torch has no longdouble
        with one_thread():
            device = prediction_device(self.device, dtype)
            layers = as_layers(self.coefs_, self.intercepts_, dtype, device)
            return function(X, layers, self._activations())

    def _activations(self):
        return resolve_activations(self.activation, len(self.coefs_) - 1)

    @in_namespace_of_X
    def hidden_activations(self, X: t.Matrix) -> list[t.Floats]:
        """Return the activations of each hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        activations : list of ndarrays of shape (n_samples, n_units)
            The output of the activation function of each hidden layer, starting with the first
            layer.

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
    def predict(self, X: t.Matrix) -> t.Array:
        """Predict the class labels of the samples in X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The predicted class labels.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.predict(X[[0, 50, 100]])
        array([0, 1, 2])
        """
        return self._compute(self._predict_rows, X)

    def _predict_rows(self, X, layers, activations):
        return self._encoder.decode(raw_outputs(X, layers, activations))

    def _raw_outputs(self, X):
        """Return the raw outputs for X, of shape (n_samples, n_outputs)."""
        return self._compute(raw_outputs, X)


def check_predicts_std(regressor):
    """Raise a ValueError if a fitted regressor does not predict standard deviations."""
    if not regressor._encoder.has_deviations:
        raise ValueError(
            "return_std=True requires a network that was fitted with loss='gaussian', got loss="
            f"{regressor._network.loss!r}. Use TorchMLPRegressor(loss='gaussian')."
        )


class StdMixin:
    """Extends `predict` of the regressor to standard deviations."""

    @overload
    def predict(self, X: t.Matrix, return_std: Literal[False] = False) -> t.Array: ...

    @overload
    def predict(self, X: t.Matrix, return_std: Literal[True]) -> tuple[t.Array, t.Array]: ...

    @in_namespace_of_X
    def predict(self, X: t.Matrix, return_std: bool = False) -> Any:
        """Predict the targets of the samples in X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        return_std : bool, default=False
            Whether to return the standard deviations, too. It requires ``loss='gaussian'``.

        Returns
        -------
        y : ndarray of shape (n_samples,), (n_samples, n_targets) or (n_samples, n_quantiles)
            The predictions. The meaning of a prediction depends on the loss, for example the mean
            or a quantile. If `quantile` is a list, there is one column per quantile, in the order
            of the list.
        std : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Standard deviation of each target for the given features. Only if `return_std` is True.
            For an ensemble, it is that of the mixture of the members' normal distributions. Its
            square is the mean of the members' variances plus the variance of the members' means.

        Raises
        ------
        ValueError
            If `return_std` is True, and the network was fitted with another loss than 'gaussian'.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from torchmlp import TorchMLPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> reg = TorchMLPRegressor("gaussian", (5,), solver="lbfgs", alpha=1.0, random_state=0)
        >>> mean, std = reg.fit(X, y / 100).predict(X, return_std=True)
        >>> mean.shape, std.shape
        ((442,), (442,))
        >>> bool((abs(y / 100 - mean) < 2 * std).mean() > 0.9)
        True
        """
        if not return_std:
            return super().predict(X)
        check_is_fitted(self)
        check_predicts_std(self)
        return self._mean_and_std(X)

    def _mean_and_std(self, X):
        raw = self._raw_outputs(X)
        return self._encoder.decode(raw), self._encoder.deviations(raw)


def _gives_probabilities(loss):
    """Return whether the outputs of a classifier with this loss are probabilities."""
    if callable(loss):
        return True
    return loss in BINARY_LOSSES and BINARY_LOSSES[loss].out_activation != "identity"


def has_probabilities(classifier):
    """Return True, or raise an AttributeError if the loss has no probabilities."""
    loss = classifier._network.loss
    if not _gives_probabilities(loss):
        raise AttributeError(
            f"loss={loss!r} has no probabilities. Use decision_function, "
            "loss='log_loss', or CalibratedClassifierCV with this classifier."
        )
    return True


def has_no_probabilities(classifier):
    """Return True, or raise an AttributeError if the loss has probabilities."""
    loss = classifier._network.loss
    if _gives_probabilities(loss):
        raise AttributeError(
            f"decision_function is not available with loss={loss!r}, as in "
            "scikit-learn's MLPClassifier. Use predict_proba for probabilities or predict_logits "
            "for the raw outputs."
        )
    return True


class ProbabilityMixin:
    """Additional prediction methods of the classifiers."""

    @available_if(has_no_probabilities)
    @in_namespace_of_X
    def decision_function(self, X: t.Matrix) -> t.Floats:
        """Return the raw outputs, for a loss without probabilities.

        For an ensemble, they are the mean of the members' raw outputs.

        This method exists only with ``loss='hinge'`` or ``'perceptron'``. With ``loss='log_loss'``
        or a callable it does not exist, as in scikit-learn's MLPClassifier, because
        :class:`~sklearn.inspection.DecisionBoundaryDisplay` and
        :class:`~sklearn.calibration.CalibratedClassifierCV` would use it instead of
        `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For two classes, one score per sample, which is positive if the predicted class is
            ``classes_[1]``. Otherwise, one score per class or label.

        Raises
        ------
        AttributeError
            If the loss has probabilities. Use `predict_logits` instead.

        See Also
        --------
        predict_logits : Raw outputs for a loss with probabilities.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", loss="hinge", random_state=0).fit(X, y)
        >>> scores = clf.decision_function(X)
        >>> scores.shape
        (150, 3)
        >>> bool((scores.argmax(axis=1) == clf.predict(X)).all())
        True
        """
        return self._scores(X)

    @available_if(has_probabilities)
    @in_namespace_of_X
    def predict_logits(self, X: t.Matrix) -> t.Floats:
        """Return the raw outputs, before softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For two classes, the log-odds ``log(p / (1 - p))`` of ``classes_[1]``. For more classes,
            one column per class; the softmax of a row is `predict_proba`. For a multilabel target,
            the log-odds of each label. For an ensemble, those of the mean of the members'
            probabilities.

        Raises
        ------
        AttributeError
            If the loss has no probabilities. Use `decision_function` instead.

        See Also
        --------
        decision_function : Raw outputs for a loss without probabilities.

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
        """Return the raw outputs, as a 1-dimensional array if there is only one output."""
        raw = self._raw_outputs(X)
        return raw.ravel() if raw.shape[1] == 1 else raw

    @available_if(has_probabilities)
    @in_namespace_of_X
    def predict_proba(self, X: t.Matrix) -> t.Floats:
        """Return probability estimates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns are in the order of `classes_`. For a multilabel target, the probability of each
            label. For an ensemble, the mean of the members' probabilities.

        Raises
        ------
        AttributeError
            If the loss has no probabilities.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.predict_proba(X[:1]).round(2)
        array([[1., 0., 0.]])
        """
        outputs = activate_outputs(self._raw_outputs(X), self.out_activation_)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    @available_if(has_probabilities)
    @in_namespace_of_X
    def predict_log_proba(self, X: t.Matrix) -> t.Floats:
        """Return the logarithm of the probability estimates.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Columns are in the order of `classes_`.

        Raises
        ------
        AttributeError
            If the loss has no probabilities.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> bool((clf.predict_log_proba(X).argmax(axis=1) == clf.predict(X)).all())
        True
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)


class ScoreMixin:
    """Replaces `score` of scikit-learn's mixins, which do not accept tensors and quantiles."""

    def score(self, X: t.Matrix, y: t.Matrix, sample_weight: t.Vector | None = None) -> float:
        """Return the mean accuracy of a classifier, or R² of a regressor.

        For several quantiles, R² is replaced by the average of
        :func:`~sklearn.metrics.d2_pinball_score` over the quantiles.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The true class labels or target values. For a multilabel target, the score is the subset
            accuracy, which requires that all labels of a sample are predicted correctly.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        score : float
            The best possible score is 1.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.score(X, y)
        0.98...
        """
        X, y, sample_weight = to_numpy(X=X, y=y, sample_weight=sample_weight)
        predictions = self.predict(X)
        with naming("y"):
            check_consistent_length(predictions, y)
        if sample_weight is not None:
            sample_weight = weights_of_rows(sample_weight, predictions)
            check_any_weight(sample_weight)
        with naming("y"):
            return self._encoder.metric(y, predictions, sample_weight)
