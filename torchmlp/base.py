"""What both estimators share: validate, encode, train, publish the fitted attributes."""

import contextlib
import copy
import warnings
from abc import ABC, abstractmethod
from dataclasses import fields
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from torchmlp.export import ExportMixin
from torchmlp.training.activations import per_layer, resolve_activations
from torchmlp.training.buffers import Layout
from torchmlp.training.compute import prediction_device, resolve_device, resolve_dtype, threads_for
from torchmlp.training.forward import as_layers, hidden_values, raw_outputs
from torchmlp.training.lbfgs import minimise_lbfgs
from torchmlp.training.net import run_epochs
from torchmlp.training.parameters import Parameters, initial_weights
from torchmlp.training.rows import Data
from torchmlp.training.task import Progress, Settings, Task
from torchmlp.validation import (
    check_any_weight,
    check_combinations,
    check_input,
    check_layers,
    check_lbfgs_result,
    check_resumable,
    check_targets,
    check_together,
    check_training_input,
    check_weights,
    fit_context,
)

# field of Progress -> fitted attribute
_PROGRESS = {
    field.name: "_" + field.name if field.name == "no_improvement_count" else field.name + "_"
    for field in fields(Progress)
}


class BaseTorchMLP(ExportMixin, BaseEstimator, ABC):
    """Base of both estimators; not for direct use."""

    def _store(self, parameters):
        """Set what a constructor was given, as it is: the local variables of `__init__`."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    @abstractmethod
    def _target_encoder(self, y, incremental, classes):
        """Return the encoder for y: that of the last fit, checked, or a new one."""

    @abstractmethod
    def _loss(self, encoder):
        """Return the `Loss` for what the encoder encodes."""

    @fit_context
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network to data and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. Sparse input stays sparse; every other format becomes CSR.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets: class labels, a binary indicator per label, or real numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, not negative. A batch's loss is the weighted mean over its
            samples.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features), \
                default=None
            Validation data, for `validation_loss_curve_` and, with ``early_stopping=True``,
            instead of a part of X. In a Pipeline, ``transform_input=["X_val"]`` takes them
            through the same steps as X.
        y_val : array-like of shape (n_validation_samples,) or (n_validation_samples, n_outputs), \
                default=None
            Their targets.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not what a network can learn from, or if training diverges. The
            estimator is then as it was before.
        """
        check_together(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        validation = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, validation=validation)

    def _fit(self, X, y, sample_weight, incremental=False, classes=None, validation=None):
        with _unchanged_by_errors(self):
            task, result = self._train(X, y, sample_weight, incremental, classes, validation)
        # The model is there, even for a user who makes errors of warnings.
        for message, category in task.notes:
            warnings.warn(message, category, stacklevel=4)
        if result is not None:
            check_lbfgs_result(result, self.max_iter)
        return self

    def _train(self, X, y, sample_weight, incremental, classes, validation):
        """Validate, encode, train and publish; return the task and scipy's result if any."""
        if incremental and self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True; set it to False, or use fit."
            )
        hidden = check_layers(self.hidden_layer_sizes)
        check_combinations(self, len(hidden), incremental)
        resumed = hasattr(self, "coefs_") and (self.warm_start or incremental)
        X, y = check_training_input(self, X, y, reset=not resumed)
        encoder = self._target_encoder(y, incremental, classes)
        encoded, loss = encoder.encode(y), self._loss(encoder)
        check_targets(encoded, loss, self.loss)
        data = Data(X, encoded, self._row_weights(sample_weight, X, y, incremental))
        layer_units = (X.shape[1], *hidden, encoded.shape[1])
        holdout = self._validation_data(validation, encoder, loss) if validation else None
        task = self._task(data, holdout, layer_units, encoder, loss, resumed, incremental)
        with threads_for(task.work, task.layout.dtype):
            result = minimise_lbfgs(task) if self.solver == "lbfgs" else run_epochs(task)
        self._publish(task, encoder)
        return task, result

    def _row_weights(self, sample_weight, X, y, incremental):
        """Return what each row counts in the loss, or None for all alike."""
        return check_weights(sample_weight, X)

    def _validation_data(self, validation, encoder, loss):
        """Check and encode the validation data that the user brought."""
        X, y, sample_weight = validation
        try:
            X, y = check_training_input(self, X, y, reset=False)
            encoder.check(y, same_classes=False)
            encoded = encoder.encode(y)
            check_targets(encoded, loss, self.loss)
            return Data(X, encoded, check_weights(sample_weight, X))
        except ValueError as error:
            raise ValueError(f"X_val, y_val or sample_weight_val: {error}") from error

    def _task(self, data, holdout, layer_units, encoder, loss, resumed, incremental):
        """Put together what the engine needs, drawing random numbers in scikit-learn's order."""
        n_hidden = len(layer_units) - 2
        resume = getattr(self, "_resume", {}) if incremental else {}
        random_state = check_random_state(self.random_state)
        if resume.get("seed") is not None and resume["seed"] == self.random_state:
            random_state = resume["random_state"]
        if resumed:
            check_resumable(self.coefs_, layer_units)
            start = self.coefs_, self.intercepts_
        else:
            activations = per_layer(self.activation, max(n_hidden, 1))
            start = initial_weights(self.init, layer_units, activations, random_state, data.X.dtype)
        if self.early_stopping and holdout is None:
            data, holdout = self._split(data, encoder, random_state)
        batch_size = self._batch_rows(len(data))
        device = resolve_device(self.device, batch_size * _n_weights(layer_units))
        dtype, product_dtype = resolve_dtype(self.dtype, data.X.dtype, device)
        layout = Layout(
            layer_units,
            dtype,
            product_dtype,
            device,
            resolve_activations(self.activation, n_hidden),
            per_layer(self.dropout, n_hidden),
        )
        return Task(
            settings=self._settings(loss, incremental),
            data=data,
            holdout=holdout,
            score=self._score_to_watch(encoder, loss, holdout),
            batch_size=batch_size,
            layout=layout,
            weights=Parameters(layer_units, layout.dtype, device).assign(*start),
            progress=self._progress() if resumed else Progress(),
            random_state=random_state,
            incremental=incremental,
            resume=resume,
            notes=self._notes_on_batches(len(data)),
        )

    def _notes_on_batches(self, n_rows):
        if self.solver == "lbfgs" or self.batch_size == "auto" or self.batch_size <= n_rows:
            return []
        clipped = (
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
        )
        return [(clipped, UserWarning)]

    def _batch_rows(self, n_rows):
        if self.solver == "lbfgs":
            return n_rows
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n_rows)

    def _settings(self, loss, incremental):
        own: dict[str, Any] = {
            field.name: getattr(self, field.name, None) for field in fields(Settings)
        }
        own["loss"] = loss
        if incremental:
            own["max_iter"] = 1
        return Settings(**own)

    def _split(self, data, encoder, random_state):
        """Keep rows from training for early stopping."""
        train, held_out = np.empty((2, 0), dtype=int)
        if len(data) > 1 and self.validation_fraction > 0:
            try:
                train, held_out = train_test_split(
                    np.arange(len(data)),
                    random_state=random_state,
                    test_size=self.validation_fraction,
                    stratify=encoder.strata(data.y),
                )
            except ValueError as error:
                raise ValueError(
                    f"early_stopping=True needs samples of each class in both parts of the split: "
                    f"{error} Add samples, change "
                    f"validation_fraction={self.validation_fraction}, or set "
                    "early_stopping=False."
                ) from error
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                f"your dataset. Got validation_fraction={self.validation_fraction} of "
                f"{len(data)} samples."
            )
        weights = data.sample_weight
        if weights is not None:
            check_any_weight(weights[train])
            check_any_weight(weights[held_out])
        held_out_weights = None if weights is None else weights[held_out]
        holdout = Data(data.X[held_out], data.y[held_out], held_out_weights)
        return Data(data.X, data.y, weights, train), holdout

    def _score_to_watch(self, encoder, loss, holdout):
        """Return what early stopping maximises, as the engine calls it."""
        if not self.early_stopping:
            return None
        if self.scoring is None:
            return lambda raw, loss, weights: encoder.score(holdout.y, raw, holdout.sample_weight)
        if isinstance(self.scoring, str) and self.scoring == "loss":
            return lambda raw, loss, weights: -loss
        scorer, model = check_scoring(self, self.scoring), copy.copy(self)
        if hasattr(model, "feature_names_in_"):
            del model.feature_names_in_  # the held-out rows are an array
        model.out_activation_, model._encoder = loss.out_activation, encoder
        model.n_outputs_ = holdout.y.shape[1]
        targets = encoder.targets(holdout.y)
        weighted = holdout.sample_weight is not None
        options = {"sample_weight": holdout.sample_weight} if weighted else {}

        def score(raw, loss, weights):
            model.coefs_, model.intercepts_ = weights.to_numpy()
            return float(scorer(model, holdout.X, targets, **options))

        return score

    def _progress(self):
        """Return how the last fit went, for this one to go on from."""
        known = {
            name: getattr(self, attribute)
            for name, attribute in _PROGRESS.items()
            if hasattr(self, attribute)
        }
        known.update(n_iter=0, loss_curve=list(known.get("loss_curve", [])))
        return Progress(**known)

    def _publish(self, task, encoder):
        """Set the fitted attributes; what only training needed goes, unless it will go on."""
        progress, units = task.progress, task.layout.layer_units
        self.coefs_, self.intercepts_ = task.weights.to_numpy()
        self.n_layers_ = len(units)
        self.n_outputs_ = units[-1]
        self.out_activation_ = task.settings.loss.out_activation
        self.n_parameters_ = task.weights.flat.numel()
        self.device_ = str(task.layout.device)
        self._encoder = encoder
        for name, attribute in _PROGRESS.items():
            setattr(self, attribute, getattr(progress, name))
        if self.solver == "lbfgs" and not self.early_stopping:  # as in scikit-learn
            del self.best_loss_, self.validation_scores_, self.best_validation_score_
        self._resume = {}
        if task.incremental or self.warm_start:
            self._resume = task.resume
            if isinstance(self.random_state, Integral):
                self._resume.update(seed=self.random_state, random_state=task.random_state)

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
        return X.shape[0] * sum(np.size(coefs) for coefs in self.coefs_)

    def _activations(self):
        return resolve_activations(self.activation, len(self.coefs_) - 1)

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

    def _check_solver(self):
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic. Use solver='adam' or 'sgd'."
            )
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _n_weights(layer_units):
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(layer_units))


@contextlib.contextmanager
def _unchanged_by_errors(estimator):
    """Leave an estimator as it was if the body fails."""
    before = dict(vars(estimator))
    generator = before.get("_resume", {}).get("random_state")
    state = generator.get_state() if generator is not None else None
    try:
        yield
    except BaseException:
        if generator is not None:
            generator.set_state(state)
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
