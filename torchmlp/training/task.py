"""A fit, as the engine sees it: data, settings and what changes on the way."""

import contextlib
import math
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from skorch.history import History

from torchmlp.training.buffers import Layout
from torchmlp.training.divergence import remedy
from torchmlp.training.forward import raw_outputs
from torchmlp.training.losses import Loss, row_losses
from torchmlp.training.parameters import Parameters
from torchmlp.training.rows import Data

# Type of a field of `Settings` -> what converts a number to it.
_NUMBERS: dict[Any, Any] = {bool: bool, int: int, float: float, float | None: float}


@dataclass(frozen=True)
class Settings:
    """The estimator's parameters that training reads, under the same names.

    But `loss` is resolved, `max_iter` is 1 for a step of `partial_fit`, and `verbose` is false
    where a bar shows what would be printed.
    """

    loss: Loss
    solver: Any
    alpha: float
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
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    max_grad_norm: float | None

    def __post_init__(self):
        """Convert NumPy scalars, whose arithmetic overflows or rounds, to Python numbers."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            convert = _NUMBERS.get(setting.type)
            if convert is not None and value is not None:
                object.__setattr__(self, setting.name, convert(value))


class StopTraining(Exception):
    """Raised to end training."""


@dataclass
class Progress:
    """How a fit goes, under the names of the fitted attributes.

    Attributes
    ----------
    loss_curve : list of float
        Training loss of each epoch.
    loss, best_loss : float or None
        The last, and the smallest; the latter is None under early stopping.
    validation_loss_curve : list of float or None
        Loss of the validation data after each epoch, without the penalty.
    validation_scores : list of float or None
    best_validation_score : float or None
    n_iter : int
        Epochs of this fit.
    t : int
        Rows seen, over all fits.
    no_improvement_count : int
        Epochs since the loss, or the score, last improved by `tol`.
    history : skorch.history.History
        One row per epoch, of all fits.
    lowest : dict of str to float
        The lowest of each loss that is in the history.
    """

    loss_curve: list = field(default_factory=list)
    loss: Any = None
    best_loss: Any = None
    validation_loss_curve: list | None = None
    validation_scores: list | None = None
    best_validation_score: Any = None
    n_iter: int = 0
    t: int = 0
    no_improvement_count: int = 0
    history: History = field(default_factory=History)
    lowest: dict = field(default_factory=dict)

    def begin_epoch(self):
        """Begin a row of the history."""
        self.history.append({"batches": [], "epoch": len(self.history) + 1})

    @property
    def row(self):
        """The last row of the history: skorch's own access copies all rows to find it."""
        return list.__getitem__(self.history, -1)

    def record_loss(self, name, loss):
        """Write a loss into the history, and whether it is the lowest so far, as skorch does."""
        if name not in self.lowest:
            self.lowest[name] = self._lowest_of_earlier_fits(name)
        self.row[name] = loss
        self.row[name + "_best"] = loss < self.lowest[name]
        self.lowest[name] = min(loss, self.lowest[name])

    def _lowest_of_earlier_fits(self, name):
        for row in reversed(self.history):
            if row.get(name + "_best"):
                return row[name]
        return math.inf

    def judge_loss(self, tol):
        """Count the epochs in which the loss does not fall by `tol`."""
        best = math.inf if self.best_loss is None else self.best_loss
        self.no_improvement_count = self.no_improvement_count + 1 if self.loss > best - tol else 0
        self.best_loss = self.loss if self.loss < best else best

    def judge_score(self, score, tol):
        """Count the epochs in which the score does not rise by `tol`; true if it is the best."""
        best = -math.inf if self.best_validation_score is None else self.best_validation_score
        self.validation_scores = self.validation_scores or []
        self.validation_scores.append(score)
        self.no_improvement_count = self.no_improvement_count + 1 if score < best + tol else 0
        self.best_validation_score = score if score > best else best
        self.best_loss = None
        return score > best


@dataclass
class Task:
    """One fit.

    Attributes
    ----------
    settings : Settings
    data : Data
    holdout : Data or None
        Validation data.
    score : callable (raw_outputs, loss, model) -> float, or None
        What early stopping watches, for the raw outputs of the validation data, their loss and
        what `model` below makes; larger is better. None watches the training loss.
    batch_size : int
        Rows of a step.
    layout : Layout
    weights : Parameters
        Trained in place.
    progress : Progress
    random_state : numpy.random.RandomState
        Draws the order of the rows.
    incremental : bool
        Whether this is one step of `partial_fit`.
    may_go_on : bool
        Whether a later step may go on from here, and wants `resume` filled in.
    callbacks : list
        skorch's, for the stochastic solvers.
    observers : list
        Each with `on_epoch_begin(task)`, `on_epoch_end(task)`, which may return true to end
        training, and `on_train_end(task)`; where `watches_blocks` is true, also with
        `on_block_end(task)`, which may return true as well. For every solver.
    as_estimator : callable (task) -> estimator
        See `model`.
    targets : callable
        Makes y as the user knows it from encoded y.
    resume : dict
        State of the solver and the schedule, read when training begins so that it goes on where
        it was.
    notes : list of (str, type of Warning)
        What to warn the user of when the model is there.
    """

    settings: Settings
    data: Data
    holdout: Any
    score: Any
    batch_size: int
    layout: Layout
    weights: Parameters
    progress: Progress
    random_state: np.random.RandomState
    incremental: bool = False
    may_go_on: bool = False
    callbacks: Any = ()
    observers: Any = ()
    as_estimator: Any = None
    targets: Any = None
    resume: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    _is_best: bool = False

    def __post_init__(self):
        if not self.monitors_score:
            return
        self.best_weights = self.weights.flat.clone()
        if self.progress.best_validation_score is not None:
            # A warm start has other rows to be judged by, and new patience.
            _, score = self._evaluate()
            self.progress.best_validation_score = score if math.isfinite(score) else -math.inf
            self.progress.no_improvement_count = 0

    @property
    def work(self):
        """Multiply-adds of the largest product of a step."""
        first, *rest = (a * b for a, b in pairwise(self.layout.layer_units))
        X = self.data.X
        if not isinstance(X, np.ndarray):
            first = first * X.nnz // (X.shape[0] * X.shape[1])
        return self.batch_size * max(first, *rest) if rest else self.batch_size * first

    @contextlib.contextmanager
    def observed(self):
        """Tell the observers when the body, which trains, has ended or failed."""
        try:
            yield
        finally:
            for observer in self.observers:
                observer.on_train_end(self)

    def epoch_begins(self):
        """Begin a row of the history, and tell the observers."""
        self.progress.begin_epoch()
        for observer in self.observers:
            observer.on_epoch_begin(self)

    def epoch_ends(self, loss, n_rows):
        """Record the loss of an epoch over this many rows, and tell the user."""
        progress = self.progress
        progress.record_loss("train_loss", loss)
        progress.loss = loss
        progress.loss_curve.append(loss)
        progress.n_iter += 1
        progress.t += n_rows
        if self.settings.verbose:
            print(f"Iteration {progress.n_iter}, loss = {loss:.8f}")

    @property
    def monitors_score(self):
        """Whether a validation score says when to stop and which weights are best."""
        return self.holdout is not None and self.score is not None

    def model(self):
        """Return the estimator as it would be if training ended now, for rows in an array."""
        return self.as_estimator(self)

    @property
    def block_observers(self):
        """The observers that may end training within an epoch."""
        return [observer for observer in self.observers if observer.watches_blocks]

    def notify_block_end(self):
        """Tell them that a block is over; return whether one of them ends training."""
        ends = [observer.on_block_end(self) for observer in self.block_observers]
        return any(ends)

    def notify_epoch_end(self):
        """Tell the observers that an epoch is over; return whether one of them ends training."""
        ends = [observer.on_epoch_end(self) for observer in self.observers]
        return any(ends)

    def _evaluate(self):
        holdout = self.holdout
        raw = raw_outputs(holdout.X, self.weights.layers, self.layout.activations)
        losses = row_losses(self.settings.loss, raw, holdout.y)
        loss = float(np.average(losses, weights=holdout.sample_weight))
        return loss, self.score(raw, loss, self.model) if self.monitors_score else None

    def judge(self):
        """Evaluate the validation data, if any, and compare the epoch with the best so far.

        By its score, if that is watched, else by its loss.
        """
        settings, progress = self.settings, self.progress
        score = None
        if self.holdout is not None:
            loss, score = self._evaluate()
            progress.record_loss("valid_loss", loss)
            progress.validation_loss_curve = progress.validation_loss_curve or []
            progress.validation_loss_curve.append(loss)
        if score is None:
            progress.judge_loss(settings.tol)
            return
        progress.row["valid_score"] = score
        if settings.verbose:
            print(f"Validation score: {score:f}")
        self._is_best = progress.judge_score(score, settings.tol)
        progress.row["valid_score_best"] = self._is_best

    def keep_best(self):
        """Keep a copy of the weights, if the last score is the best."""
        if self._is_best:
            self.best_weights = self.weights.flat.clone()

    def restore_best(self):
        """Put the best weights back, if a score chose them."""
        if self.monitors_score:
            self.weights.flat.copy_(self.best_weights)

    @property
    def out_of_patience(self):
        """Whether the loss, or the score, has not improved for too many epochs."""
        return self.progress.no_improvement_count > self.settings.n_iter_no_change

    def tell_out_of_patience(self, consequence):
        """Tell the user that nothing improves any more, and what follows."""
        settings = self.settings
        if settings.verbose:
            watched = "Validation score" if self.monitors_score else "Training loss"
            print(
                f"{watched} did not improve more than tol={settings.tol:f} for "
                f"{settings.n_iter_no_change:.0f} consecutive epochs. {consequence}"
            )

    def diverged(self):
        """Whether the last loss and the weights are beyond numbers."""
        return not (math.isfinite(self.progress.loss) or self._finite())

    def finish(self):
        """Check what was learned.

        Raises
        ------
        ValueError
            If the weights are not finite.
        """
        history = self.progress.history
        if history and "train_loss" not in self.progress.row:
            history.pop()  # an epoch that was begun only
        if self.monitors_score and self.progress.best_validation_score == -math.inf:
            self.notes.append(
                (
                    "No validation score was a number; the initial weights are kept. "
                    f"{remedy(self.data, self.settings)}",
                    ConvergenceWarning,
                )
            )
        if not self._finite():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed. Training diverged in epoch "
                f"{len(self.progress.loss_curve)} (loss {self.progress.loss}). "
                f"{remedy(self.data, self.settings)}"
            )

    def _finite(self):
        return bool(self.weights.flat.isfinite().all())
