"""Inputs and state of a fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from torchmlp.training.batches import Dataset
from torchmlp.training.loss_function import Loss
from torchmlp.training.parameters import Parameters
from torchmlp.training.progress import Progress
from torchmlp.training.schedules import Schedule
from torchmlp.training.solvers import Solver
from torchmlp.training.state_checks import (
    check_generator,
    check_like,
    check_order,
    check_progress,
)
from torchmlp.training.target_scale import TargetScale
from torchmlp.training.workspace import Layout

# Type of a field of `Settings` -> function that converts a number to it.
_NUMBERS: dict[Any, Any] = {bool: bool, int: int, float: float, float | None: float}
# Name -> category of a pending warning.
_WARNINGS: dict[str, type[Warning]] = {
    category.__name__: category for category in (UserWarning, ConvergenceWarning)
}


@dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that are used in training, under the same names.

    Three values differ: `loss` is a `Loss`, `max_iter` is 1 in `partial_fit`, and `verbose` is
    False if a progress bar is shown.
    """

    loss: Loss
    activation: Any
    solver: Any
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool | int
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: Any
    max_fun: int
    dropout: Any
    init: str
    max_grad_norm: float | None
    average: bool
    device: Any
    dtype: str

    @property
    def uses_lbfgs(self):
        """Whether the solver is L-BFGS. The other solvers train on mini-batches."""
        return self.solver == "lbfgs"

    def __post_init__(self):
        """Convert NumPy scalars to Python numbers: int8 or float32 would overflow or round."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            convert = _NUMBERS.get(setting.type)
            if convert is not None and value is not None:
                object.__setattr__(self, setting.name, convert(value))


@dataclass(frozen=True)
class FitInputs:
    """Inputs of a fit.

    Attributes
    ----------
    settings : Settings
    data : Dataset
    layout : Layout
    batch_size : int
        Number of samples in a batch, over all processes. All training samples with L-BFGS.
    patience : float
        Maximum number of epochs without an improvement.
    validation : Dataset or None
        Validation data.
    score : callable (raw_outputs, loss, model) -> float, or None
        What early stopping monitors, given the raw outputs of the validation data, their loss
        and a callable that returns the model; larger is better. None monitors the training loss.
    make_model : callable (FitInputs, FitState) -> estimator
        Returns the estimator as it would be if training ended now, for rows in an array.
    inverse_transform : callable (ndarray) -> ndarray
        Converts an encoded y back to the values that were passed to `fit`.
    incremental : bool
        Whether `partial_fit` was called.
    resumable : bool
        Whether to save the state of the solver, so that a later `partial_fit` can continue.
    target_scale : TargetScale or None
        The scale of the targets with ``normalize_y=True``.
    signs : tensor of shape (n_members, n_features, 1) or None
        For a stack of networks that share weights, see `torchmlp.training.weight_sharing`.
    processes : Processes or None
        The processes that share the fit. With rows of their own, `data` and the X of `validation`
        are those of this process, and the targets and weights of `validation` are those of all.
    """

    settings: Settings
    data: Dataset
    layout: Layout
    batch_size: int
    patience: float
    validation: Dataset | None
    score: Any
    make_model: Callable[[Any, Any], Any]
    inverse_transform: Callable[[np.ndarray], np.ndarray]
    incremental: bool
    resumable: bool
    target_scale: TargetScale | None
    signs: torch.Tensor | None = None
    processes: Any = None

    def weights_of(self, state):
        """Return (coefs, intercepts) of a state, for predictions in the original units."""
        weights = state.model_weights.to_numpy()
        return weights if self.target_scale is None else self.target_scale.fold(*weights)

    @property
    def monitors_score(self):
        """Whether early stopping monitors a validation score."""
        return self.validation is not None and self.score is not None

    @property
    def largest_product(self):
        """Number of multiply-adds of the largest matrix product of a step, in one process."""
        first, *rest = (a * b for a, b in pairwise(self.layout.layer_units))
        X = self.data.X
        if not isinstance(X, np.ndarray):
            first = first * X.nnz // (X.shape[0] * X.shape[1])
        n_processes = 1 if self.processes is None else self.processes.world_size
        n_rows = math.ceil(self.batch_size / n_processes)
        return math.prod(self.layout.stack) * n_rows * max([first, *rest])


@dataclass
class SavedState:
    """State that a later `partial_fit` needs to continue, without tensors.

    The weights and the `Progress` are not included, because they are fitted attributes.

    Attributes
    ----------
    solver_name : str
    solver : dict
        The return value of `Solver.state_dict`.
    rate : float
        Learning rate of the next epoch.
    order : int array of shape (n_rows,) or None
        Order of the samples in the last epoch. None if they are not shuffled.
    dropout_generator : uint8 array or None
        State of the random number generator for dropout.
    random_state : numpy.random.RandomState or None
        The generator that was seeded with the parameter `random_state`, if that is an int.
    seed : int or None
        The value of the parameter `random_state`, if that is an int.
    target_scale : TargetScale or None
        The scale of the targets with ``normalize_y=True``.
    last_layer : (ndarray, ndarray) or None
        With a `target_scale`, the weights and intercepts of the last layer for scaled targets.
    """

    solver_name: str | None = None
    solver: dict = field(default_factory=dict)
    rate: float | None = None
    order: np.ndarray | None = None
    dropout_generator: np.ndarray | None = None
    random_state: np.random.RandomState | None = None
    seed: int | None = None
    target_scale: TargetScale | None = None
    last_layer: tuple[np.ndarray, np.ndarray] | None = None


@dataclass
class FitState:
    """State of a fit, which changes during training.

    Attributes
    ----------
    weights : Parameters
        Weights of the network, updated in place.
    gradient : Parameters
        Gradient of the last batch.
    progress : Progress
    random_state : numpy.random.RandomState
        Random number generator for the order of the samples.
    schedule : Schedule
        Learning rate schedule.
    solver : Solver or None
        None for L-BFGS.
    order : int array of shape (n_rows,) or None
        Order of the samples in the last epoch. None for the order of the data.
    dropout_generator : torch.Generator or None
        Random number generator for dropout.
    best_weights : tensor of shape (n_parameters,) or None
        The weights with the best validation score, as a flat vector.
    pending_warnings : list of (str, type of Warning)
        Warnings that `fit` issues when the estimator is fitted.
    interrupted : bool
        Whether the time limit has stopped training.
    finished : bool
        Whether training with a stochastic solver has been ended by a stopping criterion or a
        callback, not by the time limit.
    model_weights : Parameters
        Weights of the model: `weights`, or during training their average if the solver computes it.
    """

    weights: Parameters
    gradient: Parameters
    progress: Progress
    random_state: np.random.RandomState
    schedule: Schedule
    solver: Solver | None = None
    order: Any = None
    dropout_generator: torch.Generator | None = None
    best_weights: torch.Tensor | None = None
    pending_warnings: list = field(default_factory=list)
    interrupted: bool = False
    finished: bool = False
    model_weights: Parameters = field(init=False)

    def __post_init__(self):
        average = None if self.solver is None else self.solver.average
        self.model_weights = self.weights if average is None else average

    def keep_best(self):
        """Save a copy of the weights of the model as the best weights."""
        self.best_weights = self.model_weights.flat.clone()

    def set_model_weights(self):
        """Set the weights to the best weights, if they were saved, or to their average."""
        if self.best_weights is not None:
            self.weights.flat.copy_(self.best_weights)
        elif self.solver is not None:
            self.solver.use_average()
        self.model_weights = self.weights

    def shuffle(self):
        """Shuffle the order of the samples of the last epoch, as scikit-learn does."""
        self.order = self.order[self.random_state.permutation(len(self.order))]

    def weights_are_finite(self):
        """Return whether all weights are finite."""
        return bool(self.weights.flat.isfinite().all())

    def save(self, inputs):
        """Return the `SavedState` for a later fit, or None if it needs none."""
        scale = inputs.target_scale
        if scale is None and not inputs.resumable:
            return None
        saved = self._saved_solver() if inputs.resumable else SavedState()
        if scale is not None:
            coefs, intercepts = self.weights.to_numpy()
            saved.target_scale, saved.last_layer = scale, (coefs[-1], intercepts[-1])
        return saved

    def state_dict(self):
        """Return the state between two epochs for a checkpoint: plain values and arrays."""
        solver, best, progress = self._saved_solver(), self.best_weights, dict(vars(self.progress))
        n_rows = 0 if self.order is None else len(self.order)
        return {
            "weights": self.weights.to_row_major(self.weights.flat),
            "best_weights": None if best is None else self.weights.to_row_major(best),
            "progress": {**progress, "history": list(self.progress.history)},
            "random_state": self.random_state.get_state(legacy=False),
            "solver_name": solver.solver_name,
            "solver": solver.solver,
            "rate": solver.rate,
            "order": None if not n_rows else self.order.astype(np.min_scalar_type(n_rows)),
            "dropout_generator": solver.dropout_generator,
            "pending_warnings": [(text, kind.__name__) for text, kind in self.pending_warnings],
            "finished": self.finished,
        }

    def load_state_dict(self, state_dict):
        """Restore, in place, a state that `state_dict` returned.

        Raises
        ------
        Exception
            If the state does not have the types and shapes of this one.
        """
        self._check_state_dict(state_dict)
        weights, best = self.weights, state_dict["best_weights"]
        weights.flat.copy_(weights.from_row_major(state_dict["weights"]))
        if best is not None:
            best = weights.from_row_major(best).to(weights.flat.device)
        self.best_weights = best
        self.progress.restore(**state_dict["progress"])
        self.random_state.set_state(state_dict["random_state"])
        if self.solver is not None:
            self.solver.load_state_dict(state_dict["solver"])
        self.schedule.rate = state_dict["rate"]
        if self.order is not None:
            self.order = state_dict["order"].astype(self.order.dtype)
        if self.dropout_generator is not None:
            self.dropout_generator.set_state(torch.from_numpy(state_dict["dropout_generator"]))
        self.pending_warnings[:] = [
            (text, _WARNINGS[kind]) for text, kind in state_dict["pending_warnings"]
        ]
        self.finished = state_dict["finished"]

    def _check_state_dict(self, state_dict):
        own = self.state_dict()
        check_like({**own, "best_weights": None, "progress": {}, "random_state": {}}, state_dict)
        check_progress(vars(Progress()), state_dict["progress"])
        check_generator(own["random_state"], state_dict["random_state"])
        for text, _ in state_dict["pending_warnings"]:
            check_like("", text)
        if state_dict["best_weights"] is not None:
            check_like(own["weights"], state_dict["best_weights"])
        if self.order is not None:
            check_order(self.order, state_dict["order"])

    def _saved_solver(self):
        if self.solver is None:
            return SavedState()
        generator = self.dropout_generator
        return SavedState(
            solver_name=self.solver.name,
            solver=self.solver.state_dict(),
            rate=self.schedule.rate,
            order=self.order,
            dropout_generator=None if generator is None else generator.get_state().numpy(),
        )
