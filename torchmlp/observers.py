"""What looks on while any solver trains, and may end it: scikit-learn's callbacks, a bar, a clock.

Each is an observer of `torchmlp.training.task.Task`.
"""

import sys
import time
from typing import Any, cast

from sklearn.exceptions import ConvergenceWarning


class Observer:
    """Looks on; each method is told of the task but the last, when the estimator is fitted.

    Attributes
    ----------
    watches_blocks : bool
        Whether `on_block_end` is to be called.
    """

    watches_blocks = False

    def on_epoch_begin(self, task):
        pass

    def on_block_end(self, task):
        """Return whether training shall end; called while there is more to do in an epoch.

        After each block of batches, or between two evaluations of the loss by L-BFGS.
        """

    def on_epoch_end(self, task):
        """Return whether training shall end."""

    def on_train_end(self, task):
        """Clean up; training has ended or failed."""

    def on_fit_end(self):
        pass


class SklearnCallbacks(Observer):
    """The callbacks of `set_callbacks`, for one fit.

    To be made outside of what is undone when a fit fails: scikit-learn finds what it has to tear
    down in attributes that this sets.

    Parameters
    ----------
    estimator : BaseTorchMLP
    X, y, sample_weight : array-like
        As `fit` got them.
    """

    def __init__(self, estimator, X, y, sample_weight):
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.seen = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.fit.call_on_fit_task_begin(**self.seen)
        self.epoch: Any = None

    def on_epoch_begin(self, task):
        if task.progress.n_iter < self.fit.max_subtasks:
            self.epoch = self.fit.subcontext(task_name="epoch")
            self.epoch.call_on_fit_task_begin(**self.seen)

    def on_epoch_end(self, task):
        epoch, self.epoch = self.epoch, None
        return epoch.call_on_fit_task_end(
            **self.seen, reconstruction_attributes=lambda: vars(task.model())
        )

    def on_train_end(self, task):
        if self.epoch is not None:  # begun, but never trained
            self.epoch.call_on_fit_task_end(estimator=self.seen["estimator"])

    def on_fit_end(self):
        self.fit.call_on_fit_task_end(**self.seen, reconstruction_attributes={})


class Bar(Observer):
    """A tqdm bar over the epochs, with loss, score and the time that is left.

    A widget in a notebook, a line in a terminal, nothing in a pipe.

    Parameters
    ----------
    description : str
    """

    def __init__(self, description):
        self.description, self.bar = description, cast(Any, None)

    def on_epoch_begin(self, task):
        if self.bar is None:
            from tqdm.auto import tqdm

            self.bar = tqdm(
                desc=self.description,
                total=task.settings.max_iter,
                unit="epoch",
                disable=False if _in_notebook() else None,  # None: where nobody looks
            )

    def on_epoch_end(self, task):
        row = task.progress.history[-1]
        shown = {"loss": row["train_loss"]}
        if "valid_score" in row:
            shown["score"] = row["valid_score"]
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def on_train_end(self, task):
        if self.bar is not None:
            if sys.exc_info()[0] is None:
                self.bar.total = self.bar.n  # an early end is no failure
            self.bar.close()


def _in_notebook():
    """Whether this is the kernel of a notebook, whose output is no terminal but is looked at."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


class Clock(Observer):
    """Ends training when the time is over.

    Parameters
    ----------
    limit : float
        Seconds from now.
    """

    watches_blocks = True

    def __init__(self, limit):
        self.limit, self.is_over = float(limit), False
        self.end = time.monotonic() + self.limit

    def on_block_end(self, task):
        return self._look(task, task.progress.n_iter + 1)

    def on_epoch_end(self, task):
        return self.is_over or self._look(task, task.progress.n_iter)

    def _look(self, task, epoch):
        """Return whether the time is over, and let the user know in which epoch."""
        self.is_over = time.monotonic() >= self.end
        if self.is_over:
            unit = "iteration" if task.settings.solver == "lbfgs" else "epoch"
            reached = (
                f"time_limit={self.limit} seconds reached in {unit} {epoch}, and the "
                "optimization hasn't converged yet."
            )
            task.notes.append((reached, ConvergenceWarning))
        return self.is_over


def observers_of(estimator, X, y, sample_weight):
    """Return what watches a fit, by the estimator's parameters and callbacks."""
    observers: list[Observer] = []
    if hasattr(estimator, "_skl_callbacks"):
        observers.append(SklearnCallbacks(estimator, X, y, sample_weight))
    if estimator.verbose == "bar":
        observers.append(Bar(type(estimator).__name__))
    if estimator.time_limit is not None:
        observers.append(Clock(estimator.time_limit))
    return observers
