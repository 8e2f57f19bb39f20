"""Ensembles of multilayer perceptrons that share their weights."""

import copy
import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from torchmlp import _typing as t
from torchmlp._sklearn_compat import (
    DocumentationLink,
    Interval,
    ParameterChecks,
    fit_context,
    has_callbacks,
)
from torchmlp.agreement import refuse_processes
from torchmlp.base import FitCall, validation_of
from torchmlp.callbacks.monitors import monitors_of
from torchmlp.classifier import TorchMLPClassifier
from torchmlp.constraints import MAX_UNITS, check_layers
from torchmlp.export.forms import EnsembleExportMixin
from torchmlp.prediction import ProbabilityMixin, ScoreMixin, StdMixin
from torchmlp.regressor import TorchMLPRegressor
from torchmlp.training.activations import per_layer
from torchmlp.training.inference import raw_outputs
from torchmlp.training.jobs import Job, run
from torchmlp.training.output_activations import mean_outputs
from torchmlp.training.solvers import SOLVERS
from torchmlp.training.threads import one_thread
from torchmlp.training.weight_sharing import member_states, share_weights
from torchmlp.validation import check_input, in_namespace_of_X

__all__ = ["WeightSharingClassifier", "WeightSharingRegressor"]


# Fitted attributes of a network that the ensemble does not have.
_OF_ONE_NETWORK = {"coefs_", "intercepts_", "n_layers_", "n_parameters_"}


def _constraints(estimator):
    return {
        "estimator": [estimator, None],
        "n_estimators": [Interval(Integral, 1, MAX_UNITS, closed="both")],
    }


class BaseWeightSharing(
    EnsembleExportMixin, ParameterChecks, DocumentationLink, MetaEstimatorMixin, BaseEstimator
):
    """Base class of the ensembles. Use the derived classes instead."""

    estimators_: list[Any]
    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    t_: int
    n_features_in_: int
    feature_names_in_: t.Array
    n_iter_: int
    n_outputs_: int
    out_activation_: str
    device_: str

    estimator: Any
    n_estimators: t.Int
    _encoder: Any
    _default: type

    @property
    def _network(self):
        """The unfitted network: the parameter `estimator`, or the default."""
        return self._default() if self.estimator is None else self.estimator

    @fit_context
    def fit(
        self,
        X: t.Matrix,
        y: t.Matrix,
        sample_weight: t.Vector | None = None,
        *,
        X_val: t.Matrix | None = None,
        y_val: t.Matrix | None = None,
        sample_weight_val: t.Vector | None = None,
    ) -> Self:
        """Fit the ensemble to data matrix X and target(s) y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The input data. Sparse matrices are not supported.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values: class labels, a label indicator matrix, or real numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative sample weights. None means equal weights.
        X_val : array-like of shape (n_validation_samples, n_features), default=None
            Validation data for `validation_loss_curve_`. With early stopping of the estimator, they
            are used instead of a part of X. In a Pipeline, ``transform_input=["X_val"]``
            preprocesses them like X.
        y_val : array-like of shape (n_validation_samples,) or (n_validation_samples, n_outputs), \
                default=None
            Target values of X_val.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Sample weights of X_val.

        Returns
        -------
        self : object
            The fitted ensemble.

        Raises
        ------
        TypeError
            If the input contains dates or other values that cannot be converted to numbers.
        ValueError
            If the input or a parameter is invalid, if X is sparse, if the estimator has a parameter
            that members with shared weights do not support (see the parameter `estimator`), or if
            training diverges.

        Warns
        -----
        UserWarning, ConvergenceWarning
            As in `fit` of the estimator, once for the ensemble.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> from torchmlp.ensemble import WeightSharingClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> mlp = TorchMLPClassifier(
        ...     (20,), learning_rate="one_cycle", learning_rate_init=0.05, max_iter=50,
        ...     random_state=0,
        ... )
        >>> WeightSharingClassifier(mlp, n_estimators=4).fit(X, y).n_iter_
        50
        """
        refuse_processes(self)
        network = clone(self._network)
        network._validate_params()
        self._check_network(network)
        if sp.issparse(X) or sp.issparse(X_val):
            raise ValueError(
                f"{type(self).__name__} does not support a sparse X or X_val. Convert it with "
                "toarray(), or reduce its dimension with TruncatedSVD."
            )
        validation = validation_of(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        call = FitCall(X, y, sample_weight, validation=validation).to_numpy()
        with one_thread():
            encoder, inputs, state, _ = network._begin(call)
            attributes = partial(_attributes, network, encoder, inputs)
            inputs, state = share_weights(inputs, state, int(self.n_estimators))
            inputs = replace(inputs, make_model=partial(self._as_if_trained, attributes))
            run(Job(inputs, state, monitors_of(network, inputs, state, callbacks=[])))
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        self.__dict__.update(attributes(state))
        for message, category in state.pending_warnings:
            warnings.warn(message, category, stacklevel=3)
        return self

    def _check_network(self, network):
        """Raise a ValueError if a parameter of the estimator cannot be used with shared weights."""
        n_hidden = len(check_layers(network.hidden_layer_sizes))
        activations = per_layer(network.activation, n_hidden)
        solvers = " or ".join(map(repr, SOLVERS))
        rules = [
            ("hidden_layer_sizes", not n_hidden, "Use at least one hidden layer"),
            ("solver", network.solver not in SOLVERS, f"Use {solvers}"),
            ("activation", any(map(callable, activations)), "Use the name of an activation"),
            ("loss", callable(network.loss), "Use the name of a loss"),
            ("warm_start", network.warm_start, "Set it to False"),
            (
                "callbacks",
                network.callbacks,
                "Set it to None; verbose and time_limit are supported",
            ),
            ("dtype", network.dtype == "bfloat16", "Use 'float32'"),
        ]
        for name, unsupported, remedy in rules:
            if unsupported:
                raise ValueError(
                    f"{type(self).__name__} does not support {name}={getattr(network, name)!r} of "
                    f"its estimator, because its members share the hidden layers. {remedy}."
                )
        if has_callbacks(network):
            raise ValueError(
                f"{type(self).__name__} does not support set_callbacks of its estimator. Create "
                "the estimator without callbacks."
            )

    def _as_if_trained(self, attributes, inputs, state):
        """Return a copy, fitted as if training ended now. It accepts arrays without names."""
        model = copy.copy(self)
        model.__dict__.update(attributes(state))
        model.__dict__.pop("feature_names_in_", None)
        return model

    def _raw_outputs(self, X):
        """Return the raw outputs for the mean of the predictions. See `mean_outputs`."""
        return mean_outputs(self._raw_outputs_of_members(X), self.out_activation_)

    def _raw_outputs_of_members(self, X):
        check_is_fitted(self)
        X = check_input(self, X)
        return [member._compute_checked(raw_outputs, X) for member in self.estimators_]

    @in_namespace_of_X
    def predict(self, X: t.Matrix) -> t.Array:
        """Predict with the mean of the members' outputs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The mean of the members' predictions, or the class with the largest mean probability.
            Several quantiles are the means of the members' outputs, sorted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from torchmlp import TorchMLPClassifier
        >>> from torchmlp.ensemble import WeightSharingClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> mlp = TorchMLPClassifier(
        ...     (20,), learning_rate="one_cycle", learning_rate_init=0.05, max_iter=50,
        ...     random_state=0,
        ... )
        >>> WeightSharingClassifier(mlp, n_estimators=4).fit(X, y).predict(X[[0, 50, 100]])
        array([0, 1, 2])
        """
        raw = self._raw_outputs(X)
        return self._encoder.decode(raw)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags


def _attributes(network, encoder, inputs, state):
    """Return the fitted attributes of an ensemble as a dict.

    Parameters
    ----------
    network : BaseTorchMLP
        Its number and names of features and its classes are set.
    encoder : ClassEncoder or ValueEncoder
    inputs : FitInputs
        Those of a single network.
    state : FitState
        That of the ensemble.
    """
    members = []
    for member_state in member_states(state):
        member = copy.copy(network)
        member._publish(inputs, member_state, encoder)
        members.append(member)
    of_ensemble = {
        name: copy.copy(value)
        for name, value in vars(members[0]).items()
        if name.endswith("_") and name not in _OF_ONE_NETWORK
    }
    return {**of_ensemble, "estimators_": members, "_encoder": encoder}


class WeightSharingClassifier(ProbabilityMixin, ScoreMixin, ClassifierMixin, BaseWeightSharing):
    """Ensemble of multilayer perceptron classifiers that share their hidden layers.

    The members are trained together as one network, as in TabM [1]_. They have the same weights,
    except that each member multiplies the features by fixed random signs and has an output layer of
    its own. The ensemble predicts the mean of the members' probabilities.

    Parameters
    ----------
    estimator : TorchMLPClassifier, default=None
        The network of each member, with the parameters of the training. None means
        ``TorchMLPClassifier()``. Its `random_state` determines the initial weights, the signs, the
        validation split, the order of the samples and dropout. These parameters are not supported:
        ``hidden_layer_sizes=()``, ``solver='lbfgs'`` and torch optimizers, a callable activation or
        loss, `warm_start`, `callbacks` and ``dtype='bfloat16'``.

    n_estimators : int, default=8
        Number of members. The time of a fit is about proportional to it.

    Attributes
    ----------
    estimators_ : list of TorchMLPClassifier
        The members, as fitted networks of their own. Their first matrix ``coefs_[0]`` contains the
        signs. Changing their weights changes the predictions of the ensemble. Their losses and
        scores are those of the ensemble.

    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted. For a multilabel target, the indices of the labels.

    loss_, best_loss_ : float or None
        Training loss of the last epoch and the lowest one. `best_loss_` is None with early
        stopping.

    loss_curve_ : list of float
        Training loss of each epoch, the mean of the members' losses.

    validation_loss_curve_ : list of float or None
        Loss of the ensemble for the validation data after each epoch. None without validation data.

    validation_scores_, best_validation_score_ : list of float or None, float or None
        Score of the ensemble for the validation data after each epoch, and the best one. The
        weights of all members are those of the epoch with the best score. None without early
        stopping.

    n_iter_, t_ : int
        Number of epochs, and number of samples seen, over all epochs.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Defined only when X has feature names that are all strings.

    n_outputs_ : int
        Number of outputs of each member.

    out_activation_ : str
        Output activation of the members.

    device_ : str
        Device on which the model was trained.

    See Also
    --------
    WeightSharingRegressor : The ensemble for regression.
    sklearn.ensemble.BaggingClassifier : Ensembles of independent networks.

    Notes
    -----
    Member m computes ``f_m(x) = g_m(h(s_m * x))``, where h are the hidden layers that all members
    share, s_m is a vector of signs, 1 or -1 with equal probability, and g_m is the member's output
    layer. All members are trained on the same batches. A step uses the mean over the members of the
    gradients of the shared weights, and for each output layer the gradient of its own member's
    loss. The weights of the first member are initialized as those of the estimator, and its signs
    are 1. Dropout masks are drawn for each member. `max_grad_norm` limits the square root of a sum:
    the squared norm of the gradient of the shared weights, plus the mean over the members of the
    squared norm of the gradient of the output layer.

    The signs make the members different, as the trained factors of BatchEnsemble [2]_ and TabM do,
    but a sign can be absorbed by the weights of the first layer. Therefore every member is an
    ordinary multilayer perceptron, with weights, displays and exports.

    One stopping rule applies to the ensemble. It is used for the mean loss of the members, or, with
    early stopping, for the score of the mean prediction.

    References
    ----------
    .. [1] Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning with
       Parameter-Efficient Ensembling", 2024. :arxiv:`2410.24210`
    .. [2] Wen, Tran and Ba, "BatchEnsemble: An Alternative Approach to Efficient Ensemble and
       Lifelong Learning", 2020. :arxiv:`2002.06715`

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.ensemble import WeightSharingClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> mlp = TorchMLPClassifier(
    ...     (50,), learning_rate="one_cycle", learning_rate_init=0.01, max_iter=30, random_state=0
    ... )
    >>> ensemble = WeightSharingClassifier(mlp, n_estimators=4)
    >>> model = make_pipeline(StandardScaler(), ensemble).fit(X_train, y_train)
    >>> model.score(X_test, y_test)
    0.95...
    >>> len(ensemble.estimators_)
    4
    """

    classes_: t.Array

    _default = TorchMLPClassifier
    _parameter_constraints = _constraints(TorchMLPClassifier)

    def __init__(
        self, estimator: TorchMLPClassifier | None = None, n_estimators: t.Int = 8
    ) -> None:
        self._store(locals())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class WeightSharingRegressor(StdMixin, ScoreMixin, RegressorMixin, BaseWeightSharing):
    """Ensemble of multilayer perceptron regressors that share their hidden layers.

    The members are trained together as one network, as in TabM [1]_. They have the same weights,
    except that each member multiplies the features by fixed random signs and has an output layer of
    its own. The ensemble predicts the mean of the members' predictions, see Notes.

    Parameters
    ----------
    estimator : TorchMLPRegressor, default=None
        The network of each member, with the parameters of the training. None means
        ``TorchMLPRegressor()``. Its `random_state` determines the initial weights, the signs, the
        validation split, the order of the samples and dropout. These parameters are not supported:
        ``hidden_layer_sizes=()``, ``solver='lbfgs'`` and torch optimizers, a callable activation or
        loss, `warm_start`, `callbacks` and ``dtype='bfloat16'``.

    n_estimators : int, default=8
        Number of members. The time of a fit is about proportional to it.

    Attributes
    ----------
    estimators_ : list of TorchMLPRegressor
        The members, as fitted networks of their own. Their first matrix ``coefs_[0]`` contains the
        signs. Changing their weights changes the predictions of the ensemble. Their losses and
        scores are those of the ensemble.

    loss_, best_loss_ : float or None
        Training loss of the last epoch and the lowest one. `best_loss_` is None with early
        stopping.

    loss_curve_ : list of float
        Training loss of each epoch, the mean of the members' losses.

    validation_loss_curve_ : list of float or None
        Loss of the ensemble for the validation data after each epoch. None without validation data.

    validation_scores_, best_validation_score_ : list of float or None, float or None
        Score of the ensemble for the validation data after each epoch, and the best one. The
        weights of all members are those of the epoch with the best score. None without early
        stopping.

    n_iter_, t_ : int
        Number of epochs, and number of samples seen, over all epochs.

    n_features_in_ : int
        Number of features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Defined only when X has feature names that are all strings.

    n_outputs_ : int
        Number of outputs of each member.

    out_activation_ : str
        Output activation of the members.

    device_ : str
        Device on which the model was trained.

    See Also
    --------
    WeightSharingClassifier : The ensemble for classification. Its Notes describe the training.

    Notes
    -----
    With the losses 'poisson' and 'gamma', the mean is taken over the predictions, after the
    exponential function. With several quantiles, it is taken over the outputs, before they are
    sorted. With 'gaussian', `predict` returns the mean of the members' means, and with
    ``return_std=True`` also the standard deviation of the mixture of their distributions:
    ``sqrt(mean(std**2) + var(mean))`` over the members.

    References
    ----------
    .. [1] Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning with
       Parameter-Efficient Ensembling", 2024. :arxiv:`2410.24210`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from torchmlp import TorchMLPRegressor
    >>> from torchmlp.ensemble import WeightSharingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> mlp = TorchMLPRegressor(
    ...     hidden_layer_sizes=(50, 50), normalize_y=True, solver="adamw", dropout=0.1,
    ...     early_stopping=True, scoring="loss", max_iter=500, random_state=0,
    ... )
    >>> ensemble = WeightSharingRegressor(mlp, n_estimators=4).fit(X_train, y_train)
    >>> bool(ensemble.score(X_test, y_test) > 0.3)
    True

    The prediction is the mean of those of the members, which share their hidden layers:

    >>> members = ensemble.estimators_
    >>> mean = np.mean([member.predict(X_test) for member in members], axis=0)
    >>> np.allclose(ensemble.predict(X_test), mean)
    True
    >>> bool((members[0].coefs_[1] == members[1].coefs_[1]).all())
    True
    """

    _default = TorchMLPRegressor
    _parameter_constraints = _constraints(TorchMLPRegressor)

    def __init__(self, estimator: TorchMLPRegressor | None = None, n_estimators: t.Int = 8) -> None:
        self._store(locals())

    def _mean_and_std(self, X):
        raw = self._raw_outputs_of_members(X)
        mean = self._encoder.decode(mean_outputs(raw, self.out_activation_))
        return mean, self._encoder.mixture_deviations(raw)
