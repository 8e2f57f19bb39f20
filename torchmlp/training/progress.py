"""Losses, scores and counters of a fit."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Losses, scores and counters of a fit, named like the fitted attributes.

    Attributes
    ----------
    loss_curve : list of float
        Training loss of each epoch.
    loss, best_loss : float or None
        Last and lowest training loss. `best_loss` is None with early stopping.
    validation_loss_curve : list of float or None
        Loss of the validation data after each epoch, without the L2 regularization term.
    validation_scores : list of float or None
    best_validation_score : float or None
    n_iter : int
        Number of epochs of this fit.
    t : int
        Number of samples seen, including the previous fits that this one continues.
    no_improvement_count : int
        Number of epochs since the training loss, or the validation score, last improved by `tol`.
    history : list of dict
        One row per epoch, including the previous fits that this one continues, in the format of
        `skorch.history.History`. With skorch callbacks, it is an instance of that class.
    lowest : dict of str to float
        Lowest value of each loss in the history, by name.
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
    history: list = field(default_factory=list)
    lowest: dict = field(default_factory=dict)

    def restore(self, history, **values):
        """Set all attributes. The history is changed in place, because callbacks may hold it."""
        self.history[:] = history
        vars(self).update(values)

    @property
    def row(self):
        """The row of the history for the current epoch."""
        # With skorch callbacks, `history` is a `History`, whose `__getitem__` copies all rows.
        return list.__getitem__(self.history, -1)

    def copy(self):
        """Return a copy to which later epochs are not added."""
        values = {name: copy.copy(value) for name, value in vars(self).items()}
        return Progress(**values)

    def begin_epoch(self):
        """Append a row to the history."""
        self.history.append({"batches": [], "epoch": len(self.history) + 1})

    def discard_unfinished_epoch(self):
        """Remove the last row of the history if its epoch has no training loss."""
        if self.history and "train_loss" not in self.row:
            self.history.pop()

    def record_loss(self, name, loss):
        """Add a loss to the history, and whether it is the lowest so far, as skorch does."""
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

    def record_epoch(self, loss, n_rows):
        """Record the training loss and the number of samples of an epoch."""
        self.record_loss("train_loss", loss)
        self.loss = loss
        self.loss_curve.append(loss)
        self.n_iter += 1
        self.t += n_rows

    def record_validation_loss(self, loss):
        """Record the loss of the validation data after an epoch."""
        self.record_loss("valid_loss", loss)
        self.validation_loss_curve = self.validation_loss_curve or []
        self.validation_loss_curve.append(loss)

    def record_score(self, score):
        """Record the validation score after an epoch."""
        self.row["valid_score"] = score
        self.validation_scores = self.validation_scores or []
        self.validation_scores.append(score)

    def compare_loss(self, tol):
        """Update `best_loss`, and count epochs without an improvement of the loss by `tol`."""
        best = math.inf if self.best_loss is None else self.best_loss
        self.no_improvement_count = self.no_improvement_count + 1 if self.loss > best - tol else 0
        self.best_loss = self.loss if self.loss < best else best

    def compare_score(self, tol):
        """Update the best score, and count epochs without an improvement of the score by `tol`.

        Returns
        -------
        bool
            Whether the last score is the best so far.
        """
        score, best = self.row["valid_score"], self.best_validation_score
        best = -math.inf if best is None else best
        self.no_improvement_count = self.no_improvement_count + 1 if score < best + tol else 0
        self.best_validation_score = score if score > best else best
        self.best_loss = None
        self.row["valid_score_best"] = score > best
        return score > best
