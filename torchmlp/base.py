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
from sklearn.base import BaseEstimator, is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.buffers import Layout
from torchmlp.training.compute import prediction_device, resolve_device, resolve_dtype, threads_for
from torchmlp.training.forward import as_layers, raw_outputs
from torchmlp.training.lbfgs import minimise_lbfgs
from torchmlp.training.losses import LOSSES, activate_outputs
from torchmlp.training.net import run_epochs
from torchmlp.training.parameters import Parameters, glorot_uniform
from torchmlp.training.rows import Data
from torchmlp.training.solvers import SOLVERS
from torchmlp.training.task import Holdout, Progress, Settings, Task
from torchmlp.validation import (
    check_input,
    check_layers,
    check_lbfgs_result,
    check_resumable,
    check_training_input,
    check_weights,
    fit_context,
)


class BaseTorchMLP(BaseEstimator, ABC):
    """Base of both estimators; not for direct use."""

    def __init__(self, **parameters):
        for name, value in parameters.items():
            setattr(self, name, value)

    @abstractmethod
    def _target_encoder(self, y, incremental):
        """Return the encoder for y: that of the last fit, checked, or a new one."""

    @fit_context
    def fit(self, X, y, sample_weight=None):
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
        with unchanged_by_errors(self):
            return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X, y, sample_weight, incremental):
        if incremental and self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True; set it to False, or use fit."
            )
        hidden = check_layers(self.hidden_layer_sizes)
        resumed = hasattr(self, "coefs_") and (self.warm_start or incremental)
        X, y = check_training_input(self, X, y, reset=not resumed, y_numeric=is_regressor(self))
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        encoder = self._target_encoder(y, incremental)
        encoded = encoder.encode(y)
        data = Data(X, encoded, check_weights(sample_weight, X))
        layer_units = (X.shape[1], *hidden, encoded.shape[1])
        task = self._task(data, layer_units, encoder, resumed, incremental)
        with threads_for(task.work, task.layout.dtype):
            self._train(task)
        self._publish(task, encoder)
        return self

    def _task(self, data, layer_units, encoder, resumed, incremental):
        """Put together what the engine needs, drawing random numbers in scikit-learn's order."""
        resume = getattr(self, "_resume", {}) if incremental else {}
        random_state = copy.deepcopy(resume.get("random_state"))
        if random_state is None:
            random_state = check_random_state(self.random_state)
        if resumed:
            check_resumable(self.coefs_, layer_units)
            start = self.coefs_, self.intercepts_
        else:
            start = glorot_uniform(layer_units, self.activation, random_state, data.X.dtype)
        data, holdout = self._split(data, encoder, random_state)
        batch_size = self._batch_rows(len(data))
        device = resolve_device(self.device, batch_size * _n_weights(layer_units))
        dtype, product_dtype = resolve_dtype(self.dtype, data.X.dtype, device)
        layout = Layout(layer_units, dtype, product_dtype, device)
        return Task(
            settings=self._settings(encoder, incremental),
            data=data,
            holdout=holdout,
            batch_size=batch_size,
            layout=layout,
            weights=Parameters(layer_units, layout.dtype, device).assign(*start),
            progress=self._progress() if resumed else Progress(),
            random_state=random_state,
            incremental=incremental,
            resume=resume,
        )

    def _batch_rows(self, n_rows):
        if self.solver == "lbfgs":
            return n_rows
        if self.batch_size == "auto":
            return min(200, n_rows)
        if self.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=5,
            )
        return min(self.batch_size, n_rows)

    def _settings(self, encoder, incremental):
        own: dict[str, Any] = {
            field.name: getattr(self, field.name, None) for field in fields(Settings)
        }
        own["loss"] = encoder.loss
        if incremental:
            own["max_iter"] = 1
        return Settings(**own)

    def _split(self, data, encoder, random_state):
        """Keep rows from training for early stopping."""
        if not self.early_stopping:
            return data, None
        train, held_out = np.empty((2, 0), dtype=int)
        if len(data) > 1 and self.validation_fraction > 0:
            train, held_out = train_test_split(
                np.arange(len(data)),
                random_state=random_state,
                test_size=self.validation_fraction,
                stratify=encoder.strata(data.y),
            )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                f"your dataset. Got validation_fraction={self.validation_fraction} of "
                f"{len(data)} samples."
            )
        weights = data.sample_weight
        for rows in (train, held_out) if weights is not None else ():
            check_weights(weights[rows], data.X[rows])
        holdout = Holdout(
            data.X[held_out],
            data.y[held_out],
            None if weights is None else weights[held_out],
            encoder.score,
        )
        return Data(data.X, data.y, weights, train), holdout

    def _progress(self):
        """Return how the last fit went, for this one to go on from."""
        names = ("best_loss", "validation_scores", "best_validation_score", "t")
        known = {name: getattr(self, name + "_") for name in names if hasattr(self, name + "_")}
        return Progress(
            loss_curve=list(getattr(self, "loss_curve_", [])),
            no_improvement_count=getattr(self, "_no_improvement_count", 0),
            **known,
        )

    def _train(self, task):
        if self.solver == "lbfgs":
            result = minimise_lbfgs(task)
            if result is not None:
                check_lbfgs_result(result, self.max_iter)
        else:
            run_epochs(task)

    def _publish(self, task, encoder):
        """Set the fitted attributes; what only training needed goes, unless it will go on."""
        progress, units = task.progress, task.layout.layer_units
        self.coefs_, self.intercepts_ = task.weights.to_numpy()
        self.n_layers_ = len(units)
        self.n_outputs_ = units[-1]
        self.out_activation_ = LOSSES[encoder.loss].out_activation
        self.n_parameters_ = task.weights.flat.numel()
        self.device_ = str(task.layout.device)
        self.n_iter_, self.t_ = progress.n_iter, progress.t
        self.loss_, self.loss_curve_ = progress.loss, progress.loss_curve
        self._no_improvement_count = progress.no_improvement_count
        self._encoder = encoder
        watched = self.solver != "lbfgs" or self.early_stopping
        for name in ("best_loss", "validation_scores", "best_validation_score"):
            if watched:
                setattr(self, name + "_", getattr(progress, name))
            else:
                self.__dict__.pop(name + "_", None)
        self._resume = {}
        if task.incremental or self.warm_start:
            self._resume = task.resume
            if isinstance(self.random_state, Integral):
                self._resume["random_state"] = task.random_state

    def _raw_outputs(self, X):
        """Return the outputs before the output activation, for X as the user gives it."""
        check_is_fitted(self)
        X = check_input(self, X)
        dtype = np.result_type(X, *self.coefs_, *self.intercepts_)
        n_weights = sum(np.size(coefs) for coefs in self.coefs_)
        work = X.shape[0] * n_weights
        device = prediction_device(self.device, work, dtype)
        with threads_for(work, dtype):
            layers = as_layers(self.coefs_, self.intercepts_, dtype, device)
            return raw_outputs(X, layers, ACTIVATIONS[self.activation])

    def _outputs(self, X):
        return activate_outputs(self._raw_outputs(X), self.out_activation_)

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
        outputs = self._outputs(X)
        return self._encoder.decode(outputs)

    def _check_solver(self):
        if self.solver not in SOLVERS:
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
def unchanged_by_errors(estimator):
    """Leave an estimator as it was if the body fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
