"""What both estimators share: validate, encode, train, publish the fitted attributes."""

import contextlib
import copy
import warnings
from abc import ABC, abstractmethod
from dataclasses import fields
from itertools import pairwise
from numbers import Integral
from typing import Any

import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from torchmlp.arrays import (
    check_targets,
    check_together,
    check_training_input,
    check_weights,
    naming,
    to_numpy,
)
from torchmlp.export import ExportMixin
from torchmlp.hints import hint
from torchmlp.holdout import score_to_monitor, split
from torchmlp.observers import observers_of
from torchmlp.prediction import PredictionMixin
from torchmlp.scales import scale_warnings
from torchmlp.training.activations import per_layer, resolve_activations
from torchmlp.training.buffers import Layout
from torchmlp.training.compute import (
    n_threads,
    n_threads_for,
    one_thread,
    resolve_device,
    resolve_dtype,
)
from torchmlp.training.lbfgs import minimise_lbfgs
from torchmlp.training.net import run_epochs
from torchmlp.training.parameters import Parameters, initial_weights
from torchmlp.training.rows import Data
from torchmlp.training.task import Progress, Settings, Task
from torchmlp.validation import (
    check_combinations,
    check_layers,
    check_lbfgs_result,
    check_resumable,
    describe_ignored,
    fit_context,
)

# field of Progress -> fitted attribute
_PROGRESS = {
    field.name: "_" + field.name if field.name == "no_improvement_count" else field.name + "_"
    for field in fields(Progress)
    if field.name not in ("history", "lowest")
}


class BaseTorchMLP(PredictionMixin, ExportMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Base of both estimators; not for direct use."""

    def _store(self, parameters):
        """Set what a constructor was given, as it is: the local variables of `__init__`."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _validate_params(self):
        """Check the parameters by scikit-learn's table, and add what may have been meant."""
        try:
            super()._validate_params()
        except ValueError as error:
            raise type(error)(f"{error}{hint(self)}") from None

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
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            The targets: class labels, a binary indicator per label, or real numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, not negative. A batch's loss is the weighted mean over its
            samples.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features), \
                default=None
            Validation data, for `validation_loss_curve_` and, with ``early_stopping=True``,
            instead of a part of X. They must be on the scale of X: in a Pipeline,
            ``transform_input=["X_val"]`` takes them through the same steps.
        y_val : array-like of shape (n_validation_samples,) or (n_validation_samples, n_outputs), \
                default=None
            Their targets, on the scale of y. A TransformedTargetRegressor does not transform them.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the input holds dates, or other values that cannot be converted to numbers.
        ValueError
            If another check of the input or the parameters fails, or if training diverges. The
            estimator is then as it was before.

        Warns
        -----
        UserWarning
            If X_val or y_val seem to be on another scale than X or y.
        ConvergenceWarning
            If `max_iter` or `time_limit` is reached.

        Examples
        --------
        >>> from sklearn import config_context
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import train_test_split
        >>> from sklearn.pipeline import Pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from torchmlp import TorchMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> X, X_val, y, y_val = train_test_split(X, y, random_state=0)
        >>> mlp = TorchMLPClassifier(
        ...     early_stopping=True, scoring="loss", learning_rate_init=0.1, random_state=0
        ... )
        >>> with config_context(enable_metadata_routing=True):
        ...     mlp = mlp.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        ...     steps = [("scale", StandardScaler()), ("mlp", mlp)]
        ...     pipeline = Pipeline(steps, transform_input=["X_val"])
        ...     pipeline = pipeline.fit(X, y, X_val=X_val, y_val=y_val)
        >>> bool(min(mlp.validation_loss_curve_) == -mlp.best_validation_score_)
        True

        Data frames, and rows that stay on disk:

        >>> import tempfile
        >>> import numpy as np
        >>> import polars as pl
        >>> frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
        >>> TorchMLPClassifier((), solver="lbfgs", alpha=1.0).fit(frame, y).feature_names_in_
        array(['a', 'b', 'c', 'd'], dtype=object)
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     rows = np.memmap(file, dtype="float64", mode="w+", shape=X.shape)
        ...     rows[:] = X
        ...     TorchMLPClassifier((), solver="lbfgs", alpha=1.0).fit(rows, y).score(rows, y)
        0.98...

        Torch tensors, in and out:

        >>> import torch
        >>> X, y = torch.tensor(X), torch.tensor(y)
        >>> with config_context(array_api_dispatch=True):
        ...     mlp = TorchMLPClassifier((), solver="lbfgs", alpha=1.0).fit(X, y)
        ...     mlp.predict(X[:2])
        tensor([1, 1])
        """
        given = dict(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        check_together(**given)
        validation = None if X_val is None else to_numpy(**given)
        return self._fit(X, y, sample_weight, validation=validation)

    def _fit(self, X, y, sample_weight, incremental=False, classes=None, validation=None):
        observers = [] if incremental else observers_of(self, X, y, sample_weight)
        X, y, sample_weight, classes = to_numpy(
            X=X, y=y, sample_weight=sample_weight, classes=classes
        )
        with _unchanged_by_errors(self), one_thread():
            task, result = self._train(
                X, y, sample_weight, incremental, classes, validation, observers
            )
        for observer in observers:
            observer.on_fit_end()
        # The model is there, even for a user who makes errors of warnings.
        for message, category in task.notes:
            warnings.warn(message, category, stacklevel=4)
        if result is not None:
            check_lbfgs_result(result, self.max_iter)
        return self

    @torch.inference_mode(False)  # even if the caller is in it: callbacks may need autograd
    def _train(self, X, y, sample_weight, incremental, classes, validation, observers):
        """Validate, encode, train and publish; return the task and scipy's result if any."""
        if incremental and self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True; set it to False, or use fit."
            )
        hidden = check_layers(self.hidden_layer_sizes)
        resumed = hasattr(self, "coefs_") and (self.warm_start or incremental)
        check_combinations(self, len(hidden), incremental, resumed, validation is not None)
        X, y = check_training_input(self, X, y, reset=not resumed)
        with naming("y", "classes"):
            encoder = self._target_encoder(y, incremental, classes)
            encoded = encoder.encode(y)
        loss = self._loss(encoder)
        check_targets(encoded, loss, self.loss)
        data = Data(X, encoded, self._row_weights(sample_weight, X, y, incremental))
        layer_units = (X.shape[1], *hidden, encoder.n_outputs(encoded))
        holdout = validation and self._validation_data(validation, encoder, loss, layer_units[-1])
        task = self._task(data, holdout, layer_units, encoder, loss, resumed, incremental)
        task.observers = observers
        task.notes += scale_warnings(data, holdout) if validation else []
        with n_threads(n_threads_for(task.work, task.layout.dtype)), task.observed():
            result = minimise_lbfgs(task) if self.solver == "lbfgs" else run_epochs(task)
        self._publish(task, encoder)
        return task, result

    def _row_weights(self, sample_weight, X, y, incremental):
        """Return what each row counts in the loss, or None for all alike."""
        return check_weights(sample_weight, X)

    def _validation_data(self, validation, encoder, loss, n_outputs):
        """Check and encode the validation data that the user passed."""
        X, y, sample_weight = validation
        X, y = check_training_input(self, X, y, reset=False, names=("X_val", "y_val"))
        with naming("y_val"):
            encoder.check(y, same_classes=False)
            encoded = encoder.encode(y)
            check_targets(encoded, loss, self.loss)
        if encoder.n_outputs(encoded) != n_outputs:
            raise ValueError(
                f"y_val has {encoded.shape[1]} outputs, but y has {n_outputs}. Give the same."
            )
        return Data(X, encoded, check_weights(sample_weight, X, "sample_weight_val"))

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
            data, holdout = split(
                data, encoder.strata(data.y), float(self.validation_fraction), random_state
            )
        batch_size = self._batch_rows(len(data))
        work = batch_size * _n_weights(layer_units)
        device = resolve_device(self.device)
        dtype, product_dtype = resolve_dtype(self.dtype, data.X.dtype, device, work)
        dropout = 0.0 if self.solver == "lbfgs" else self.dropout
        layout = Layout(
            layer_units,
            dtype,
            product_dtype,
            device,
            resolve_activations(self.activation, n_hidden),
            [float(share) for share in per_layer(dropout, n_hidden)],
        )
        return Task(
            settings=self._settings(loss, incremental),
            data=data,
            holdout=holdout,
            score=score_to_monitor(self, encoder, holdout) if self.early_stopping else None,
            batch_size=batch_size,
            layout=layout,
            weights=Parameters(layer_units, dtype, device, sp.issparse(data.X)).assign(*start),
            progress=self._progress() if resumed else Progress(),
            random_state=random_state,
            incremental=incremental,
            may_go_on=incremental or self.warm_start,
            callbacks=self.callbacks or (),
            as_estimator=lambda task: self._as_if_trained(task, encoder),
            targets=encoder.targets,
            resume=resume,
            notes=self._notes_on_parameters(len(data)),
        )

    def _notes_on_parameters(self, n_rows):
        ignored = describe_ignored(self)
        notes = [(ignored, UserWarning)] if ignored else []
        if self.solver == "lbfgs" or self.batch_size == "auto" or self.batch_size <= n_rows:
            return notes
        clipped = (
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
        )
        return [*notes, (clipped, UserWarning)]

    def _batch_rows(self, n_rows):
        if self.solver == "lbfgs":
            return n_rows
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n_rows)

    def _settings(self, loss, incremental):
        own: dict[str, Any] = {
            field.name: getattr(self, field.name, None) for field in fields(Settings)
        }
        own["loss"] = loss
        if self.verbose == "bar":
            own["verbose"] = False
        if incremental:
            own["max_iter"] = 1
        return Settings(**own)

    def _progress(self):
        """Return how the last fit went, for this one to go on from."""
        known = {
            name: getattr(self, attribute)
            for name, attribute in _PROGRESS.items()
            if hasattr(self, attribute)
        }
        known = {name: list(v) if isinstance(v, list) else v for name, v in known.items()}
        return Progress(**{**known, "n_iter": 0}, history=History(getattr(self, "_history", [])))

    def _publish(self, task, encoder):
        """Set the fitted attributes; what only training needed goes, unless it will go on."""
        self.__dict__.update(_fitted_attributes(task, encoder))
        if self.solver == "lbfgs" and not self.early_stopping:  # as in scikit-learn
            del self.best_loss_, self.validation_scores_, self.best_validation_score_
        self._resume = task.resume
        if task.may_go_on and isinstance(self.random_state, Integral):
            self._resume.update(seed=self.random_state, random_state=task.random_state)

    def _as_if_trained(self, task, encoder):
        """Return a copy, fitted as if training ended now, for rows in an array."""
        model = copy.copy(self)
        model.__dict__.update(_fitted_attributes(task, encoder))
        model.__dict__.pop("feature_names_in_", None)
        return model

    @property
    def history_(self):
        """What the fit recorded, epoch by epoch: a `skorch.history.History`.

        Each row has 'epoch', 'train_loss' and 'train_loss_best' (whether it is the lowest so
        far); with validation data 'valid_loss' and 'valid_loss_best', with early stopping
        'valid_score'; and what `callbacks` record. After a warm start, and in `partial_fit`, rows
        are added.
        """
        check_is_fitted(self)
        return History(self._history)

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
        tags.array_api_support = True
        return tags


def _fitted_attributes(task, encoder):
    """Return the fitted attributes as they would be if training ended now."""
    coefs, intercepts = task.weights.to_numpy()
    units = task.layout.layer_units
    progress = {
        attribute: copy.copy(getattr(task.progress, name)) for name, attribute in _PROGRESS.items()
    }
    return {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "n_layers_": len(units),
        "n_outputs_": units[-1],
        "out_activation_": task.settings.loss.out_activation,
        "n_parameters_": task.weights.flat.numel(),
        "device_": str(task.layout.device),
        "_encoder": encoder,
        **progress,
        "_history": list(task.progress.history),
    }


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
