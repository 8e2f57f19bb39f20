"""A fit, as the engine sees it: data, settings and what changes on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from torchmlp.training.activations import ACTIVATIONS
from torchmlp.training.buffers import Layout
from torchmlp.training.forward import raw_outputs
from torchmlp.training.losses import LOSSES, activate_outputs
from torchmlp.training.parameters import Parameters
from torchmlp.training.rows import Data


@dataclass(frozen=True)
class Settings:
    """The estimator's parameters that training reads, under the same names.

    `loss` is a key of `LOSSES`, and `max_iter` may be 1 for a single step of `partial_fit`.
    """

    loss: str
    activation: str
    solver: str
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


@dataclass
class Progress:
    """How a fit goes, under the names of the fitted attributes.

    Attributes
    ----------
    loss_curve : list of float
        Training loss of each epoch.
    loss, best_loss : float or None
        The last, and the smallest; the latter is None under early stopping.
    validation_scores : list of float or None
    best_validation_score : float or None
    n_iter : int
        Epochs of this fit.
    t : int
        Rows seen, over all fits.
    no_improvement_count : int
        Epochs since the loss, or the score, last improved by `tol`.
    """

    loss_curve: list = field(default_factory=list)
    loss: Any = None
    best_loss: Any = None
    validation_scores: list | None = None
    best_validation_score: Any = None
    n_iter: int = 0
    t: int = 0
    no_improvement_count: int = 0

    def record_loss(self, loss):
        self.loss = loss
        self.loss_curve.append(loss)

    def judge_loss(self, tol):
        """Count the epochs in which the loss does not fall by `tol`."""
        best = math.inf if self.best_loss is None else self.best_loss
        self.no_improvement_count = self.no_improvement_count + 1 if self.loss > best - tol else 0
        self.best_loss = self.loss if self.loss < best else best

    def judge_score(self, score, tol):
        """Count the epochs in which the score does not rise by `tol`; true if it is the best."""
        best = -math.inf if self.best_validation_score is None else self.best_validation_score
        self.validation_scores = [*(self.validation_scores or []), score]
        self.no_improvement_count = self.no_improvement_count + 1 if score < best + tol else 0
        self.best_validation_score = score if score > best else best
        self.best_loss = None
        return score > best


@dataclass(frozen=True)
class Holdout:
    """Rows kept from training, and the score that watches them.

    Attributes
    ----------
    X : ndarray or csr matrix of shape (n_rows, n_features)
    y : ndarray of shape (n_rows, n_outputs)
    sample_weight : ndarray of shape (n_rows,) or None
    score : callable (y, outputs, sample_weight) -> float
        Larger is better.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    score: Callable


@dataclass
class Task:
    """One fit.

    Attributes
    ----------
    settings : Settings
    data : Data
    holdout : Holdout or None
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
    resume : dict
        State of the solver and the schedule; filled in when training ends, and read when it
        begins, so that it goes on where it was.
    """

    settings: Settings
    data: Data
    holdout: Any
    batch_size: int
    layout: Layout
    weights: Parameters
    progress: Progress
    random_state: np.random.RandomState
    incremental: bool = False
    resume: dict = field(default_factory=dict)

    def __post_init__(self):
        self.best_weights = None
        if self.holdout is not None and self.progress.best_validation_score is not None:
            self.best_weights = self.weights.flat.clone()  # a warm start has them to beat

    @property
    def work(self):
        """Multiply-adds of the largest product of a step."""
        return self.batch_size * max(a * b for a, b in pairwise(self.layout.layer_units))

    def validation_score(self):
        """Score the current weights on the holdout."""
        holdout = self.holdout
        raw = raw_outputs(holdout.X, self.weights.layers, ACTIVATIONS[self.settings.activation])
        outputs = activate_outputs(raw, LOSSES[self.settings.loss].out_activation)
        return holdout.score(holdout.y, outputs, holdout.sample_weight)

    def judge(self):
        """Compare the last epoch with the best, by the score if there is a holdout.

        Keeps a copy of the weights with the best score.
        """
        settings, progress = self.settings, self.progress
        if self.holdout is None:
            progress.judge_loss(settings.tol)
            return
        score = self.validation_score()
        if settings.verbose:
            print(f"Validation score: {score:f}")
        if progress.judge_score(score, settings.tol):
            self.best_weights = self.weights.flat.clone()

    @property
    def out_of_patience(self):
        """Whether the loss, or the score, has not improved for too many epochs."""
        return self.progress.no_improvement_count > self.settings.n_iter_no_change

    def patience_message(self):
        settings = self.settings
        watched = "Training loss" if self.holdout is None else "Validation score"
        return (
            f"{watched} did not improve more than tol={settings.tol:f} for "
            f"{settings.n_iter_no_change:.0f} consecutive epochs."
        )

    def diverged(self):
        """Whether the last loss and the weights are beyond numbers."""
        return not (math.isfinite(self.progress.loss) or self._finite())

    def finish(self):
        """Put the best weights back, if a holdout chose them, and check what was learned.

        Raises
        ------
        ValueError
            If the weights are not finite.
        """
        if self.best_weights is not None:
            self.weights.flat.copy_(self.best_weights)
        if not self._finite():
            raise self.divergence_error()

    def _finite(self):
        return bool(self.weights.flat.isfinite().all())

    def divergence_error(self):
        """scikit-learn's error, with the epoch and what to do about it."""
        settings = self.settings
        remedy = "Scale it, for example with StandardScaler in a Pipeline"
        if settings.solver != "lbfgs":
            remedy += f", or lower learning_rate_init={settings.learning_rate_init}"
        return ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large "
            f"values and need to be preprocessed. Training diverged in epoch "
            f"{len(self.progress.loss_curve)} (loss {self.progress.loss}). {remedy}."
        )
