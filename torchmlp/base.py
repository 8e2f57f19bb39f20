"""Base class of the estimators: `fit`, its steps, and the fitted attributes."""

import contextlib
import copy
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from torchmlp import _typing as t
from torchmlp._sklearn_compat import (
    CallbackSupportMixin,
    DocumentationLink,
    ParameterChecks,
    check_lbfgs_result,
    fit_context,
)
from torchmlp.agreement import (
    check_same_data,
    check_same_parameters,
    same_random_state,
    synchronize,
)
from torchmlp.callbacks.checkpoint_monitor import checkpoint_of
from torchmlp.callbacks.monitors import monitors_of, sklearn_callbacks_of
from torchmlp.callbacks.shared_checkpoint import shared_checkpoint_of
from torchmlp.constraints import (
    check_combinations,
    check_layers,
    check_resumable,
    describe_ignored,
    suggestion,
    uses_lbfgs,
)
from torchmlp.early_stopping import score_to_monitor
from torchmlp.export.forms import ExportMixin
from torchmlp.fitted_attributes import UNDEFINED_FOR_LBFGS, fitted_attributes, progress_of
from torchmlp.prediction import PredictionMixin
from torchmlp.preparation import prepare
from torchmlp.training.batches import Dataset
from torchmlp.training.fit_state import SavedState, Settings
from torchmlp.training.jobs import Job, run
from torchmlp.training.processes import active_processes, failures_reported
from torchmlp.training.threads import one_thread
from torchmlp.validation import (
    check_targets,
    check_training_input,
    check_validation_arguments,
    check_weights,
    naming,
    to_numpy,
    unchanged_by_errors,
)
from torchmlp.validation_scale import scale_warnings


@dataclass(frozen=True)
class FitCall:
    """The arguments of one call of `fit` or `partial_fit`.

    Attributes
    ----------
    X, y : array-like
    sample_weight : array-like or None
    classes : array-like or None
        The argument of `partial_fit`.
    validation : (X_val, y_val, sample_weight_val) or None
    incremental : bool
        Whether `partial_fit` was called.
    resumed : bool
        Whether training continues from the weights of an earlier fit.
    processes : Processes or None
        The processes that share the fit.
    """

    X: Any
    y: Any
    sample_weight: Any = None
    classes: Any = None
    validation: Any = None
    incremental: bool = False
    resumed: bool = False
    processes: Any = None

    def to_numpy(self):
        """Return the call with arrays of NumPy instead of those of other libraries."""
        names = "X", "y", "sample_weight", "classes"
        arrays = to_numpy(**{name: getattr(self, name) for name in names})
        return replace(self, **dict(zip(names, arrays, strict=True)))


def validation_of(**arguments):
    """Return `FitCall.validation` for the arguments X_val, y_val and sample_weight_val of `fit`."""
    check_validation_arguments(**arguments)
    return None if arguments["X_val"] is None else to_numpy(**arguments)


class BaseTorchMLP(
    PredictionMixin,
    ExportMixin,
    ParameterChecks,
    DocumentationLink,
    CallbackSupportMixin,
    BaseEstimator,
    ABC,
):
    """Base class of the multilayer perceptrons. Use the derived classes instead."""

    loss_: float
    best_loss_: float | None
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    t_: int
    coefs_: list[t.Floats]
    intercepts_: list[t.Floats]
    n_features_in_: int
    feature_names_in_: t.Array
    n_iter_: int
    n_layers_: int
    n_outputs_: int
    n_parameters_: int
    out_activation_: str
    device_: str

    def _suggestion(self):
        return suggestion(self)

    @abstractmethod
    def _encode_targets(self, call):
        """Return the encoder of y, the encoded y, and the `Loss` for it."""

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
        """Fit the model to data matrix X and target(s) y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. Sparse matrices are converted to CSR. On the CPU they are not converted
            to dense arrays, except with ``dtype="bfloat16"``; on other devices they are.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_outputs)
            The target values: class labels, a label indicator matrix, or real numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative sample weights. The loss of a batch is the weighted mean over its samples.
            None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features), \
                default=None
            Validation data for `validation_loss_curve_`. With ``early_stopping=True``, they are
            used instead of a part of X. They must be preprocessed like X: in a Pipeline,
            ``transform_input=["X_val"]`` applies the same steps to them.
        y_val : array-like of shape (n_validation_samples,) or (n_validation_samples, n_outputs), \
                default=None
            Target values of X_val, on the scale of y. A TransformedTargetRegressor does not
            transform them; ``normalize_y=True`` of a regressor scales them like y.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Sample weights of X_val.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the input contains dates or other values that cannot be converted to numbers.
        ValueError
            If the input or a parameter is otherwise invalid, or if training diverges. The estimator
            is then left unchanged.

        Warns
        -----
        UserWarning
            If parameters are ignored, if `batch_size` is clipped, if the fit is interrupted, or if
            X_val or y_val seem to be on a different scale than X or y.
        ConvergenceWarning
            If training stops before convergence, for example because `max_iter` or `time_limit` is
            reached or because it diverges with ``early_stopping=True``. With
            ``learning_rate='cosine'`` or 'one_cycle', `max_iter` causes this warning only if y has
            large values and the training loss is larger than that of predicting its mean.

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

        DataFrames and memory-mapped arrays:

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

        With array API dispatch, predictions for torch tensors are torch tensors:

        >>> import torch
        >>> X, y = torch.tensor(X), torch.tensor(y)
        >>> with config_context(array_api_dispatch=True):
        ...     mlp = TorchMLPClassifier((), solver="lbfgs", alpha=1.0).fit(X, y)
        ...     mlp.predict(X[:2])
        tensor([1, 1])
        """
        validation = validation_of(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
        return self._fit(FitCall(X, y, sample_weight, validation=validation))

    def _fit(self, call):
        X, y, sample_weight = call.X, call.y, call.sample_weight
        processes = active_processes()
        callbacks = [] if call.incremental else sklearn_callbacks_of(self, X, y, sample_weight)
        with failures_reported(processes), _restored_after_errors(self), one_thread():
            call = replace(call.to_numpy(), processes=processes)
            state, result = self._train(call, callbacks)
        for callback in callbacks:
            callback.on_fit_end()
        # Warnings are issued last, so that the estimator is fitted even if they are turned into
        # errors.
        for message, category in state.pending_warnings:
            warnings.warn(message, category, stacklevel=4)
        if result is not None:
            check_lbfgs_result(result, self.max_iter)
        return self

    @torch.inference_mode(False)  # callbacks may need autograd, even if the caller uses it
    def _train(self, call, callbacks):
        """Run all steps of a fit. Return the `FitState` and, for L-BFGS, the result of SciPy."""
        encoder, inputs, state, checkpoint = self._begin(call)
        monitors = monitors_of(self, inputs, state, callbacks, checkpoint)
        result = run(Job(inputs, state, monitors))
        if call.processes is not None:
            synchronize(call.processes, inputs, state)
        self._publish(inputs, state, encoder)
        return state, result

    def _begin(self, call):
        """Prepare a fit. Return the encoder of y, the inputs, the state, and the checkpoint."""
        call = self._validate(call)
        if call.processes is not None:
            check_same_parameters(self, call)
        encoder, loss, data, validation = self._encode(call)
        checkpoint = self._checkpoint(call, data, validation)
        prepared = self._prepare(call, encoder, loss, data, validation, checkpoint)
        return encoder, *prepared, checkpoint

    def _checkpoint(self, call, data, validation):
        """Return the monitor of the `Checkpoint`, or None. Check that the processes agree."""
        if call.processes is None:
            return checkpoint_of(self, data, validation, call.resumed)
        fingerprint = check_same_data(self, call, data, validation)
        return shared_checkpoint_of(call.processes, self, fingerprint, call.resumed)

    def _validate(self, call):
        """Check the parameters, X and y. Return the call with X and y as arrays."""
        if call.incremental and self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True; set it to False, or use fit."
            )
        resumed = hasattr(self, "coefs_") and (self.warm_start or call.incremental)
        check_combinations(
            self,
            n_hidden=len(check_layers(self.hidden_layer_sizes)),
            incremental=call.incremental,
            resumed=resumed,
            validated=call.validation is not None,
        )
        X, y = check_training_input(self, call.X, call.y, reset=not resumed)
        return replace(call, X=X, y=y, resumed=resumed)

    def _encode(self, call):
        """Return the encoder of y, the loss, and the training and validation data."""
        encoder, encoded, loss = self._encode_targets(call)
        check_targets(encoded, loss, self.loss)
        data = Dataset(call.X, encoded, self._sample_weights(call))
        if call.validation is None:
            return encoder, loss, data, None
        return encoder, loss, data, self._validation_data(call, encoder, loss, data)

    def _sample_weights(self, call):
        """Return the weight of each sample in the loss, or None without weights."""
        return check_weights(call.sample_weight, call.X)

    def _scales_targets(self):
        """Return whether the targets are scaled for training."""
        return False

    def _validation_data(self, call, encoder, loss, data):
        """Check and encode the validation data that were passed to `fit`."""
        X, y, sample_weight = call.validation
        X, y = check_training_input(self, X, y, reset=False, names=("X_val", "y_val"))
        with naming("y_val"):
            encoder.check(y, same_classes=False)
            encoded = encoder.encode(y)
            check_targets(encoded, loss, self.loss)
        if self.early_stopping and len(encoded) < 2:
            raise ValueError("The validation set is too small: X_val needs two rows or more.")
        n_outputs = encoder.n_outputs(data.y)
        if encoder.n_outputs(encoded) != n_outputs:
            raise ValueError(
                f"y_val has {encoded.shape[1]} outputs, but y has {n_outputs}. They must match."
            )
        return Dataset(X, encoded, check_weights(sample_weight, X, "sample_weight_val"))

    def _prepare(self, call, encoder, loss, data, validation, checkpoint):
        """Return the `FitInputs` and, before the first epoch, the `FitState` of a fit."""
        hidden, n_outputs = check_layers(self.hidden_layer_sizes), encoder.n_outputs(data.y)
        layer_units = (data.X.shape[1], *hidden, n_outputs)
        if call.resumed:
            check_resumable(self.coefs_, layer_units)
        saved = (call.resumed and getattr(self, "_saved_state", None)) or SavedState()
        if not call.incremental:  # a warm start has a new solver
            saved = SavedState(target_scale=saved.target_scale, last_layer=saved.last_layer)
        continues = saved.seed is not None and saved.seed == self.random_state
        random_state = saved.random_state if continues else check_random_state(self.random_state)
        if checkpoint is not None:
            random_state = checkpoint.begin(random_state)
        if call.processes is not None:
            random_state = same_random_state(call.processes, random_state)
        inputs, state = prepare(
            self._settings(loss, call.incremental),
            data,
            validation,
            layer_units,
            random_state,
            stratify=encoder.stratify(data.y),
            make_score=lambda validation: score_to_monitor(self, encoder, validation),
            fitted=(self.coefs_, self.intercepts_) if call.resumed else None,
            progress=replace(progress_of(self), n_iter=0) if call.resumed else None,
            saved=saved,
            normalize_y=self._scales_targets(),
            make_model=partial(self._as_if_trained, encoder),
            inverse_transform=encoder.inverse_transform,
            incremental=call.incremental,
            resumable=call.incremental or self.warm_start,
            processes=call.processes,
        )
        if ignored := describe_ignored(self):
            state.pending_warnings.append((ignored, UserWarning))
        if validation is not None:
            state.pending_warnings += scale_warnings(data, validation)
        return inputs, state

    def _settings(self, loss, incremental):
        own: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(Settings)}
        own["loss"] = loss
        if self.verbose == "bar":
            own["verbose"] = False
        if incremental:
            own["max_iter"] = 1
        return Settings(**own)

    def _publish(self, inputs, state, encoder):
        """Set the fitted attributes."""
        self.__dict__.update(_attributes_of(inputs, state, encoder))
        if uses_lbfgs(self) and not self.early_stopping:
            for name in UNDEFINED_FOR_LBFGS:
                delattr(self, name)
        self._saved_state = saved = state.save(inputs)
        if inputs.resumable and isinstance(self.random_state, Integral):
            saved.seed, saved.random_state = self.random_state, state.random_state

    def _as_if_trained(self, encoder, inputs, state):
        """Return a copy, fitted as if training ended now. It accepts arrays without names."""
        model = copy.copy(self)
        attributes = _attributes_of(inputs, state, encoder)
        model.__dict__.update({name: copy.copy(value) for name, value in attributes.items()})
        model.__dict__.pop("feature_names_in_", None)
        return model

    @property
    def history_(self) -> Any:
        """Training history: a `skorch.history.History` with one row per epoch.

        Each row has the keys 'epoch', 'train_loss' and 'train_loss_best' (whether the loss is the
        lowest so far). With validation data it also has 'valid_loss' and 'valid_loss_best', and
        with early stopping 'valid_score' and 'valid_score_best'. `callbacks` may add keys. A warm
        start and `partial_fit` append rows.
        """
        check_is_fitted(self)
        from skorch.history import History  # not imported by a fit without callbacks

        return History(self._history)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


def supports_partial_fit(estimator):
    """Return True, or raise an AttributeError if the solver does not support `partial_fit`."""
    if uses_lbfgs(estimator):
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. "
            f"{estimator.solver} is not stochastic. Use solver='adam' or 'sgd'."
        )
    return True


def _attributes_of(inputs, state, encoder):
    """Return the fitted attributes for the current state of a fit."""
    coefs, intercepts = inputs.weights_of(state)
    return fitted_attributes(
        coefs,
        intercepts,
        inputs.settings.loss.out_activation,
        inputs.layout.device,
        encoder,
        state.progress,
    )


@contextlib.contextmanager
def _restored_after_errors(estimator):
    """Restore the state of an estimator if the `with` block raises an exception."""
    saved = getattr(estimator, "_saved_state", None)
    random_state = saved and saved.random_state
    drawn = random_state and random_state.get_state()  # `partial_fit` changes it in place
    try:
        with unchanged_by_errors(estimator):
            yield
    except BaseException:
        if random_state:
            random_state.set_state(drawn)
        raise
