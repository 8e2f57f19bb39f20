"""Monitors for every solver: callbacks of scikit-learn, progress bar and time limit."""

import sys
import time
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from torchmlp._sklearn_compat import begin_callbacks
from torchmlp.callbacks.checkpoint import split_callbacks
from torchmlp.training.loop import Monitor


class SklearnCallbacks(Monitor):
    """Calls the callbacks that were set with `set_callbacks` during one fit.

    It must be created before `unchanged_by_errors` saves the attributes of the estimator:
    scikit-learn needs the attributes that it sets to tear down the callbacks after a failed fit.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Context of the fit.
    estimator : BaseTorchMLP
    X, y, sample_weight : array-like
        The arguments of `fit`.
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
        if self.epoch is not None:  # the epoch began, but did not end
            self.epoch.call_on_fit_task_end(estimator=self.seen["estimator"])

    def on_fit_end(self):
        """Notify the callbacks of the end of the fit. Call it when the estimator is fitted."""
        self.fit.call_on_fit_task_end(**self.seen, reconstruction_attributes={})


class ProgressBar(Monitor):
    """A tqdm progress bar over the epochs, with loss, score and remaining time.

    It is a widget in a notebook and a line in a terminal. Otherwise it is disabled.

    Parameters
    ----------
    description : str
    """

    def __init__(self, description):
        self.description = description
        self.bar: Any = None

    def on_epoch_begin(self, inputs, state):
        if self.bar is None:
            # Imported here, because it issues a warning in a notebook without ipywidgets.
            from tqdm.auto import tqdm

            self.bar = tqdm(
                desc=self.description,
                total=inputs.settings.max_iter,
                initial=state.progress.n_iter,  # not 0 if a checkpoint was loaded
                unit="epoch",
                disable=False if _in_notebook() else None,  # None: only in a terminal
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
                self.bar.total = self.bar.n  # do not show an early stop as an error
            self.bar.close()


def _in_notebook():
    """Return whether the code runs in the kernel of a notebook."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


class TimeLimit(Monitor):
    """Stops training when the time limit is reached.

    Parameters
    ----------
    limit : float
        Time limit in seconds, from the creation of this object.
    """

    def __init__(self, limit):
        self.limit = float(limit)
        self.is_over = False
        self.end = time.monotonic() + self.limit

    def on_block_end(self, inputs, state):
        return self._check(inputs, state, state.progress.n_iter + 1)

    def on_epoch_end(self, inputs, state):
        return self.is_over or self._check(inputs, state, state.progress.n_iter)

    def _check(self, inputs, state, epoch):
        """Return whether the time limit is reached, and add a warning if it is."""
        self.is_over = time.monotonic() >= self.end
        if self.is_over:
            state.interrupted = True
            unit = "iteration" if inputs.settings.uses_lbfgs else "epoch"
            reached = (
                f"time_limit={self.limit} seconds reached in {unit} {epoch}, and the "
                "optimization hasn't converged yet."
            )
            if inputs.settings.uses_lbfgs and state.progress.n_iter == 0:
                reached += " No iteration was completed: the initial weights are kept."
            state.pending_warnings.append((reached, ConvergenceWarning))
        return self.is_over


def sklearn_callbacks_of(estimator, X, y, sample_weight):
    """Return a list with one `SklearnCallbacks`, or an empty list without callbacks."""
    context = begin_callbacks(estimator, max_subtasks=estimator.max_iter)
    return [] if context is None else [SklearnCallbacks(context, estimator, X, y, sample_weight)]


def monitors_of(estimator, inputs, state, callbacks, checkpoint=None):
    """Return the monitors of a fit, in the order in which they are called.

    Parameters
    ----------
    estimator : BaseTorchMLP
        Its parameters `callbacks`, `verbose` and `time_limit` define the monitors.
    inputs : FitInputs
    state : FitState
    callbacks : list of SklearnCallbacks
    checkpoint : CheckpointMonitor or None, default=None
    """
    # The checkpoint is the first, because it restores the state when training begins.
    monitors: list[Monitor] = [] if checkpoint is None else [checkpoint]
    _, of_skorch = split_callbacks(estimator.callbacks)
    if of_skorch:
        # Imported here, because it imports skorch, which a fit without callbacks does not need.
        from torchmlp.callbacks.skorch_adapter import skorch_monitors

        # They come before the others, because they may change the weights.
        monitors += skorch_monitors(of_skorch, inputs, state)
    monitors += callbacks
    if inputs.incremental or (inputs.processes is not None and inputs.processes.rank):
        return monitors  # process 0 shows the progress, and its clock decides
    if estimator.verbose == "bar":
        monitors.append(ProgressBar(type(estimator).__name__))
    if estimator.time_limit is not None:
        monitors.append(TimeLimit(estimator.time_limit))
    return monitors
