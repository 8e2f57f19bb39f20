"""Per-epoch monitors for every solver: scikit-learn's callbacks, progress bar, time limit."""

import sys
import time
from typing import Any, cast

from sklearn.exceptions import ConvergenceWarning

from torchmlp._sklearn_compat import begin_callbacks
from torchmlp.training.loop import Monitor


class SklearnCallbacks(Monitor):
    """The callbacks of `set_callbacks`, for one fit.

    Create it outside of what is undone when a fit fails: it sets attributes of the estimator in
    which scikit-learn finds what it has to tear down.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the fit.
    estimator : BaseTorchMLP
    X, y, sample_weight : array-like
        As `fit` got them.
    """

    def __init__(self, context, estimator, X, y, sample_weight):
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.seen = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.fit = context
        self.fit.call_on_fit_task_begin(**self.seen)
        self.epoch: Any = None

    def on_epoch_begin(self, inputs, state):
        if state.progress.n_iter < self.fit.max_subtasks:
            self.epoch = self.fit.subcontext(task_name="epoch")
            self.epoch.call_on_fit_task_begin(**self.seen)

    def on_epoch_end(self, inputs, state):
        epoch, self.epoch = self.epoch, None
        return epoch.call_on_fit_task_end(
            **self.seen, reconstruction_attributes=lambda: vars(inputs.make_model(inputs, state))
        )

    def close(self):
        if self.epoch is not None:  # begun, but not trained
            self.epoch.call_on_fit_task_end(estimator=self.seen["estimator"])

    def on_fit_end(self):
        """End the task of the fit, when the estimator is fitted."""
        self.fit.call_on_fit_task_end(**self.seen, reconstruction_attributes={})


class ProgressBar(Monitor):
    """A tqdm bar over the epochs, with loss, score and the remaining time.

    A widget in a notebook, a line in a terminal, nothing in a pipe.

    Parameters
    ----------
    description : str
    """

    def __init__(self, description):
        self.description, self.bar = description, cast(Any, None)

    def on_epoch_begin(self, inputs, state):
        if self.bar is None:
            from tqdm.auto import tqdm

            self.bar = tqdm(
                desc=self.description,
                total=inputs.settings.max_iter,
                unit="epoch",
                disable=False if _in_notebook() else None,  # None: where there is no terminal
            )

    def on_epoch_end(self, inputs, state):
        row = state.progress.row
        shown = {"loss": row["train_loss"]}
        if "valid_score" in row:
            shown["score"] = row["valid_score"]
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update()

    def close(self):
        if self.bar is not None:
            if sys.exc_info()[0] is None:
                self.bar.total = self.bar.n  # stopping early is no failure
            self.bar.close()


def _in_notebook():
    """Return whether this process is the kernel of a notebook, whose output is no terminal."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


class TimeLimit(Monitor):
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

    def on_block_end(self, inputs, state):
        return self._check(inputs, state, state.progress.n_iter + 1)

    def on_epoch_end(self, inputs, state):
        return self.is_over or self._check(inputs, state, state.progress.n_iter)

    def _check(self, inputs, state, epoch):
        """Return whether the time is over, and warn the user of the epoch."""
        self.is_over = time.monotonic() >= self.end
        if self.is_over:
            unit = "iteration" if inputs.settings.solver == "lbfgs" else "epoch"
            reached = (
                f"time_limit={self.limit} seconds reached in {unit} {epoch}, and the "
                "optimization hasn't converged yet."
            )
            if inputs.settings.solver == "lbfgs" and state.progress.n_iter == 0:
                reached += " No iteration was completed: the initial weights are kept."
            state.pending_warnings.append((reached, ConvergenceWarning))
        return self.is_over


def sklearn_callbacks_of(estimator, X, y, sample_weight):
    """Return the callbacks of `set_callbacks` as a list of monitors: one or none."""
    context = begin_callbacks(estimator, max_subtasks=estimator.max_iter)
    return [] if context is None else [SklearnCallbacks(context, estimator, X, y, sample_weight)]


def monitors_of(estimator, inputs, state, callbacks):
    """Return the monitors of a fit, in the order in which they are called.

    Parameters
    ----------
    estimator : BaseTorchMLP
        With the parameters `callbacks`, `verbose` and `time_limit`.
    inputs : FitInputs
    state : FitState
    callbacks : list of SklearnCallbacks
    """
    monitors: list[Monitor] = []
    if estimator.callbacks:
        from torchmlp.callbacks.skorch_adapter import SkorchCallbacks  # imports skorch

        # First, since they may change the weights.
        monitors.append(SkorchCallbacks(estimator.callbacks, inputs, state))
    monitors += callbacks
    if estimator.verbose == "bar" and not inputs.incremental:
        monitors.append(ProgressBar(type(estimator).__name__))
    if estimator.time_limit is not None and not inputs.incremental:
        monitors.append(TimeLimit(estimator.time_limit))
    return monitors
