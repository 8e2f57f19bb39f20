"""The training loop: epochs, monitors, stopping rules and the learning rate of each epoch."""

import math
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from torchmlp.training import lbfgs
from torchmlp.training.device.placement import n_threads
from torchmlp.training.divergence import remedy
from torchmlp.training.inference import raw_outputs
from torchmlp.training.losses import row_losses
from torchmlp.training.stochastic import EpochTrainer

EXPLOSION = 1e3  # ratio of the last loss to the first one from which a fit has diverged


class Monitor:
    """Follows a fit epoch by epoch, and may end it; callbacks and progress bars are monitors.

    Attributes
    ----------
    watches_blocks : bool
        Whether to call `on_block_end`.
    on_gradient, on_batch_end : callable () -> None, or None
        Called after the gradient of each batch, which `on_gradient` may change in
        ``state.gradient``, and after its update.
    """

    watches_blocks = False
    on_gradient: Callable[[], object] | None = None
    on_batch_end: Callable[[], object] | None = None

    def on_train_begin(self, inputs, state):
        """Prepare for the first epoch."""

    def on_epoch_begin(self, inputs, state):
        """Prepare for an epoch."""

    def on_block_end(self, inputs, state):
        """Return whether to end training after a block of batches."""
        return False

    def on_epoch_end(self, inputs, state):
        """Return whether to end training after an epoch. The weights may be changed."""
        return False

    def on_train_end(self, inputs, state):
        """React to the end of training; not called if it failed. The weights may be changed."""

    def close(self):
        """Release resources, also if training failed."""


def train(inputs, state, monitors=()):
    """Train the weights of a state.

    Parameters
    ----------
    inputs : FitInputs
    state : FitState
        Updated in place.
    monitors : sequence of Monitor
        Called in their order.

    Returns
    -------
    scipy.optimize.OptimizeResult or None
        For ``solver='lbfgs'``, unless the user, a monitor or early stopping ended it.

    Raises
    ------
    ValueError
        If training diverges.
    """
    loop, result = _Loop(inputs, state, monitors), None
    with ExitStack() as stack:
        for monitor in reversed(monitors):
            stack.callback(monitor.close)
        loop.begin()
        try:
            run = loop.run_lbfgs if inputs.settings.solver == "lbfgs" else loop.run_epochs
            result = run()
        except KeyboardInterrupt:
            state.pending_warnings.append(("Training interrupted by user.", UserWarning))
        loop.end()
    return result


class _Loop:
    """The inputs, the state and the monitors of one fit."""

    def __init__(self, inputs, state, monitors):
        self.inputs, self.state, self.monitors = inputs, state, monitors

    def _notify(self, method, monitors=None):
        """Call a method of all monitors; return whether one of them ends training."""
        monitors = self.monitors if monitors is None else monitors
        ends = [getattr(monitor, method)(self.inputs, self.state) for monitor in monitors]
        return any(ends)

    def begin(self):
        state = self.state
        if self.inputs.monitors_score:
            state.keep_best()
            if state.progress.best_validation_score is not None:
                # A warm start is scored on other rows, and its patience starts anew.
                _, score = evaluate(self.inputs, state)
                state.progress.best_validation_score = score if math.isfinite(score) else -math.inf
                state.progress.no_improvement_count = 0
        self._notify("on_train_begin")

    def run_epochs(self):
        """Train epoch by epoch with a stochastic solver."""
        settings = self.inputs.settings
        with EpochTrainer(self.inputs, self.state, self._hooks(), self._on_block_end()) as trainer:
            for _ in range(settings.max_iter):
                self.before_epoch()
                if self.after_epoch(*trainer.run_epoch()):
                    return
        if not (self.inputs.incremental or self.state.schedule.planned):
            reached = (
                f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) "
                "reached and the optimization hasn't converged yet."
            )
            self.state.pending_warnings.append((reached, ConvergenceWarning))

    def run_lbfgs(self):
        """Train with L-BFGS, whose iterations take the place of epochs."""
        self.before_epoch()

        def iteration_ends(loss):
            stop = self.after_epoch(loss, 0)
            if not stop:
                self.before_epoch()
            return stop

        return lbfgs.minimize(self.inputs, self.state, iteration_ends, self._on_block_end())

    def _hooks(self):
        names = "on_gradient", "on_batch_end"
        return {
            name: [hook for m in self.monitors if (hook := getattr(m, name)) is not None]
            for name in names
        }

    def _on_block_end(self):
        watching = [monitor for monitor in self.monitors if monitor.watches_blocks]
        return (lambda: self._notify("on_block_end", watching)) if watching else None

    def before_epoch(self):
        self.state.progress.begin_epoch()
        self._notify("on_epoch_begin")

    def after_epoch(self, loss, n_rows):
        """Record, validate, compare with the best, notify; return whether training ends."""
        state, progress, verbose = self.state, self.state.progress, self.inputs.settings.verbose
        progress.record_epoch(loss, n_rows)
        if verbose:
            print(f"Iteration {progress.n_iter}, loss = {loss:.8f}")
        is_best = self._compare_with_best()
        stop = self._notify("on_epoch_end")
        if is_best:
            state.keep_best()  # with what monitors changed
        return self._rule_stops() or stop  # the rule sets the next rate, whoever stops

    def _compare_with_best(self):
        """Evaluate the validation data; return whether their score is the best so far."""
        inputs, progress, settings = self.inputs, self.state.progress, self.inputs.settings
        if inputs.validation is not None:
            loss, score = evaluate(inputs, self.state)
            progress.record_validation_loss(loss)
            if score is not None:
                progress.record_score(score)
                if settings.verbose:
                    print(f"Validation score: {score:f}")
                return progress.compare_score(settings.tol)
        if settings.solver != "lbfgs":  # which has its own criterion
            progress.compare_loss(settings.tol)
        return False

    def _rule_stops(self):
        """Return whether scikit-learn's rules end training; else they may change the rate."""
        state, progress, schedule = self.state, self.state.progress, self.state.schedule
        schedule.epoch_ends(progress.n_iter, progress.t)
        if state.diverged():
            if self.inputs.monitors_score:
                kept = "the weights with the best validation score are kept."
                diverged = f"Training diverged in epoch {progress.n_iter}; {kept}"
                state.pending_warnings.append((diverged, ConvergenceWarning))
            return True
        # A planned schedule is followed to its end: its rates are large until shortly before.
        patience = self.inputs.settings.n_iter_no_change
        if schedule.planned or progress.no_improvement_count <= patience:
            return False
        stop, consequence = schedule.plateau()
        self._log_no_improvement(consequence)
        if not stop:
            progress.no_improvement_count = 0
        return stop

    def _log_no_improvement(self, consequence):
        settings = self.inputs.settings
        if settings.verbose:
            what = "Validation score" if self.inputs.monitors_score else "Training loss"
            print(
                f"{what} did not improve more than tol={settings.tol:f} for "
                f"{settings.n_iter_no_change:.0f} consecutive epochs. {consequence}"
            )

    def end(self):
        """Restore the best weights, and check them."""
        state, progress = self.state, self.state.progress
        state.restore_best()
        progress.discard_unfinished_epoch()
        self._notify("on_train_end")
        if self.inputs.monitors_score and progress.best_validation_score == -math.inf:
            message = "No validation score was finite; the initial weights are kept."
            state.pending_warnings.append((f"{message} {remedy(self.inputs)}", ConvergenceWarning))
        elif not self.inputs.monitors_score and self._loss_exploded():
            message = (
                f"Training diverged: the loss was {progress.loss_curve[-progress.n_iter]:.3g} in "
                f"the first epoch and is {progress.loss:.3g} in the last."
            )
            state.pending_warnings.append((f"{message} {remedy(self.inputs)}", ConvergenceWarning))
        if not state.weights_are_finite():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed. Training diverged in epoch "
                f"{len(progress.loss_curve)} (loss {progress.loss}). {remedy(self.inputs)}"
            )

    def _loss_exploded(self):
        """Return whether the last loss is not finite, or much larger than the first."""
        progress = self.state.progress
        if not progress.n_iter:
            return False
        first = max(progress.loss_curve[-progress.n_iter], self.inputs.settings.tol)
        return not math.isfinite(progress.loss) or progress.loss > EXPLOSION * first


def evaluate(inputs, state):
    """Return the loss of the validation data, and their score if early stopping monitors it."""
    validation = inputs.validation
    with n_threads(1):  # inside `raw_outputs`, which uses several Python threads if it is worth it
        raw = raw_outputs(validation.X, state.weights.layers, inputs.layout.activations)
    losses = row_losses(inputs.settings.loss, raw, validation.y)
    loss = float(np.average(losses, weights=validation.sample_weight))
    if not inputs.monitors_score:
        return loss, None
    return loss, inputs.score(raw, loss, lambda: inputs.make_model(inputs, state))
