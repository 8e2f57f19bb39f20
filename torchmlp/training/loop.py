"""The training loop: epochs, monitors, stopping criteria and learning rate updates."""

import math
from contextlib import ExitStack
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from torchmlp.training import lbfgs
from torchmlp.training.divergence import (
    divergence_advice,
    large_target_advice,
    unlearned_advice,
)
from torchmlp.training.inference import raw_outputs
from torchmlp.training.losses import row_losses
from torchmlp.training.output_activations import mean_outputs
from torchmlp.training.progress_log import line_writer, log_end, log_start
from torchmlp.training.stochastic import EpochTrainer
from torchmlp.training.threads import n_threads

DIVERGED_RATIO = 1e3  # a fit has diverged if the last loss is this many times the first


class Monitor:
    """Base class for objects that observe a fit and may stop it, such as a progress bar.

    The hooks are the methods whose names begin with ``on_``. Only those that a subclass overrides
    are called. The first three may be called many times per epoch.
    """

    def on_grad_computed(self, inputs, state):
        """Run after the gradient of each batch is computed. May change ``state.gradient``."""

    def on_batch_end(self, inputs, state):
        """Run after each update of the weights."""

    def on_block_end(self, inputs, state):
        """Run after each block of batches. Return whether to stop training."""

    def on_train_begin(self, inputs, state):
        """Run before the first epoch."""

    def on_epoch_begin(self, inputs, state):
        """Run before each epoch."""

    def on_epoch_end(self, inputs, state):
        """Run after each epoch. Return whether to stop training. May change the weights."""

    def on_epoch_complete(self, inputs, state):
        """Run when the state is the one with which the next epoch begins.

        Called with stochastic solvers, after each epoch unless training stops. It is also called
        after epoch `max_iter`.
        """

    def on_train_end(self, inputs, state):
        """Run after training, unless it failed. May change the weights."""

    def close(self):
        """Release resources, even if training failed."""


HOOKS = [name for name in vars(Monitor) if name.startswith("on_")]


def _hooks(monitors, inputs, state):
    """Return the hooks that the monitors override, by name, as callables without arguments."""
    return {
        name: [
            partial(getattr(monitor, name), inputs, state)
            for monitor in monitors
            if getattr(type(monitor), name) is not getattr(Monitor, name)
        ]
        for name in HOOKS
    }


def _monitor_name(hook):
    """Return the name of the class of a monitor, given one of its hooks."""
    return type(hook.func.__self__).__name__


def train(inputs, state, monitors=()):
    """Train the weights of a state.

    Parameters
    ----------
    inputs : FitInputs
    state : FitState
        Updated in place.
    monitors : sequence of Monitor
        Called in this order.

    Returns
    -------
    scipy.optimize.OptimizeResult or None
        The result of SciPy for ``solver='lbfgs'``. None for other solvers, or if the user, a
        monitor or early stopping stopped the training.

    Raises
    ------
    ValueError
        If training diverges.
    """
    loop, result = Loop(inputs, state, monitors), None
    with ExitStack() as stack:
        for monitor in reversed(monitors):
            stack.callback(monitor.close)
        loop.begin()
        try:
            if not state.finished:
                run = loop.run_lbfgs if inputs.settings.uses_lbfgs else loop.run_epochs
                result = run()
        except KeyboardInterrupt:
            if inputs.processes is not None:
                raise  # the other processes have to know
            loop.stop_reason = "Training interrupted by user."
            state.pending_warnings.append((loop.stop_reason, UserWarning))
        loop.end()
    return result


class Loop:
    """The training loop of one fit."""

    def __init__(self, inputs, state, monitors):
        self.inputs = inputs
        self.state = state
        self.hooks = _hooks(monitors, inputs, state)
        self.processes = inputs.processes
        is_first = self.processes is None or self.processes.rank == 0
        self.write_line = line_writer(inputs.settings.verbose) if is_first else None
        self.stop_reason = ""

    def block_end_hook(self):
        """Return the function to call after each block, or None if no monitor needs it.

        With None, the device is not synchronized after each block. All processes take part.
        """
        # Not an attribute: the reference cycle would keep the data after the fit.
        n_hooks = len(self.hooks["on_block_end"])
        if self.processes is not None:  # they all decide if one of them has a hook
            n_hooks = self.processes.sum([n_hooks])[0]
        return partial(self._decide, "on_block_end") if n_hooks else None

    def _call_hooks(self, name):
        """Call a hook of all monitors. Return whether one of them stops training."""
        stopping = [hook for hook in self.hooks[name] if hook()]
        if stopping:
            self.stop_reason = f"Stopped by {', '.join(map(_monitor_name, stopping))}."
        return bool(stopping)

    def _decide(self, name):
        """Call a hook that may stop training. Return whether it stops in any of the processes."""
        stop, state = self._call_hooks(name), self.state
        if self.processes is None:
            return stop
        rate = 0.0 if self.processes.rank else state.schedule.rate
        n_stop, n_interrupted, rate = self.processes.sum([float(stop), state.interrupted, rate])
        state.interrupted, state.schedule.rate = bool(n_interrupted), float(rate)
        if n_stop and not stop:
            self.stop_reason = "Stopped by another process."
        return bool(n_stop)

    def begin(self):
        """Score the weights of a warm start, and call the monitors."""
        state = self.state
        if self.inputs.monitors_score:
            self.keep_best()
            if state.progress.best_validation_score is not None:
                # The validation data of a warm start may be different: score the weights again, and
                # reset the count.
                _, score = evaluate(self.inputs, state)
                state.progress.best_validation_score = score if math.isfinite(score) else -math.inf
                state.progress.no_improvement_count = 0
        self._call_hooks("on_train_begin")
        log_start(self.inputs)

    def run_epochs(self):
        """Train epoch by epoch with a stochastic solver."""
        inputs, state = self.inputs, self.state
        with EpochTrainer(inputs, state, self.hooks, self.block_end_hook()) as trainer:
            for _ in range(state.progress.n_iter, inputs.settings.max_iter):
                self.before_epoch()
                if self.after_epoch(*trainer.run_epoch()):
                    state.finished = not state.interrupted
                    return
                self._call_hooks("on_epoch_complete")
        self.reach_max_iter()

    def reach_max_iter(self):
        """Warn that training ends before convergence."""
        settings = self.inputs.settings
        self.stop_reason = f"Maximum iterations ({settings.max_iter}) reached."
        if self.inputs.incremental:
            return
        message = unlearned_advice(self.state.progress.loss, self.inputs)
        if not self.state.schedule.planned:
            message = (
                f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) "
                "reached and the optimization hasn't converged yet. "
                f"{message or large_target_advice(self.inputs)}"
            )
        if message:
            self.state.pending_warnings.append((message.rstrip(), ConvergenceWarning))

    def run_lbfgs(self):
        """Train with L-BFGS. Each iteration is recorded as an epoch."""
        self.before_epoch()

        def iteration_ends(loss):
            stop = self.after_epoch(loss, 0)
            if not stop:
                self.before_epoch()
            return stop

        result = lbfgs.minimize(self.inputs, self.state, iteration_ends, self.block_end_hook())
        if result is not None:
            self.stop_reason = str(result.message)
        return result

    def before_epoch(self):
        """Begin an epoch, and call the monitors."""
        self.state.progress.begin_epoch()
        self._call_hooks("on_epoch_begin")

    def after_epoch(self, loss, n_rows):
        """Record and validate an epoch, and call the monitors. Return whether to stop training."""
        state, progress = self.state, self.state.progress
        if self.processes is not None:  # rounding errors may depend on the processor
            self.processes.broadcast_(state.weights.flat)
            if state.model_weights is not state.weights:
                self.processes.broadcast_(state.model_weights.flat)
        progress.record_epoch(loss, n_rows)
        if self.write_line is not None:
            self.write_line(f"Iteration {progress.n_iter}, loss = {loss:.8f}")
        is_best = self._compare_with_best()
        stop = self._decide("on_epoch_end")
        if is_best:
            self.keep_best()  # after the monitors, which may change the weights
        state.schedule.epoch_ends(progress.n_iter, progress.t)
        return self._check_stopping_criteria() or stop

    def evaluate(self):
        """Return the validation loss and the validation score or None. See `evaluate`."""
        return evaluate(self.inputs, self.state)

    def keep_best(self):
        """Save the weights as the best weights."""
        self.state.keep_best()

    def weights_are_finite(self):
        """Return whether all weights are finite."""
        return self.state.weights_are_finite()

    def _compare_with_best(self):
        """Evaluate the validation data. Return whether their score is the best so far."""
        inputs, progress, settings = self.inputs, self.state.progress, self.inputs.settings
        if inputs.validation is not None:
            loss, score = self.evaluate()
            progress.record_validation_loss(loss)
            if score is not None:
                progress.record_score(score)
                if self.write_line is not None:
                    self.write_line(f"Validation score: {score:f}")
                return progress.compare_score(settings.tol)
        if not settings.uses_lbfgs:  # L-BFGS has its own stopping criterion
            progress.compare_loss(settings.tol)
        return False

    def _check_stopping_criteria(self):
        """Return whether training diverged, or a stopping criterion of scikit-learn is met."""
        state, progress, schedule = self.state, self.state.progress, self.state.schedule
        if not (math.isfinite(progress.loss) or self.weights_are_finite()):
            self.stop_reason = f"Training diverged in epoch {progress.n_iter}."
            if self.inputs.monitors_score:
                kept = "the weights with the best validation score are kept."
                diverged = f"Training diverged in epoch {progress.n_iter}; {kept}"
                state.pending_warnings.append((diverged, ConvergenceWarning))
            return True
        # A planned schedule is followed to its end, because its learning rate is high for most
        # epochs.
        patience = self.inputs.patience
        if schedule.planned or progress.no_improvement_count <= patience:
            return False
        stop, consequence = schedule.plateau()
        what = "Validation score" if self.inputs.monitors_score else "Training loss"
        line = (
            f"{what} did not improve more than tol={self.inputs.settings.tol:f} for "
            f"{patience:.0f} consecutive epochs. {consequence}"
        )
        if self.write_line is not None:
            self.write_line(line)
        if stop:
            self.stop_reason = line
        else:
            progress.no_improvement_count = 0
        return stop

    def end(self):
        """Set the weights of the model, call the monitors, check the weights, and log the end."""
        state, progress = self.state, self.state.progress
        state.set_model_weights()
        progress.discard_unfinished_epoch()
        self._call_hooks("on_train_end")
        if message := self._divergence_message():
            advice = divergence_advice(self.inputs)
            state.pending_warnings.append((f"{message} {advice}", ConvergenceWarning))
        if not state.weights_are_finite():
            advice = divergence_advice(self.inputs)
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed. Training diverged in epoch "
                f"{len(progress.loss_curve)} (loss {progress.loss}). {advice}"
            )
        log_end(self.inputs, state, self.stop_reason)

    def _divergence_message(self):
        """Return a warning for a fit that diverged but has finite weights, or an empty string."""
        progress = self.state.progress
        if not progress.n_iter and progress.loss is not None and not math.isfinite(progress.loss):
            return f"The loss of the initial weights is {progress.loss}."
        if self.inputs.monitors_score:
            if progress.best_validation_score == -math.inf:
                return "No validation score was finite; the initial weights are kept."
        elif self._loss_exploded():
            first = progress.loss_curve[-progress.n_iter]
            return (
                f"Training diverged: the loss was {first:.3g} in the first epoch and is "
                f"{progress.loss:.3g} in the last."
            )
        return ""

    def _loss_exploded(self):
        """Return whether the last loss is not finite, or much larger than the first."""
        progress = self.state.progress
        if not progress.n_iter:
            return False
        first = max(progress.loss_curve[-progress.n_iter], self.inputs.settings.tol)
        return not math.isfinite(progress.loss) or progress.loss > DIVERGED_RATIO * first


def evaluate(inputs, state):
    """Return the validation loss and the validation score, which is None without early stopping.

    Those of networks that share weights are the loss and the score of their mean prediction.
    """
    validation, processes = inputs.validation, inputs.processes
    X = validation.X
    if processes is not None and not processes.own_rows:
        X = X[processes.share(X.shape[0])]
    with n_threads(1):  # `raw_outputs` uses Python threads instead
        raw = [
            raw_outputs(X, layers, inputs.layout.activations)
            for layers in state.model_weights.networks
        ]
        raw = mean_outputs(raw, inputs.settings.loss.out_activation)
    if processes is None:
        return _evaluate_outputs(inputs, state, raw)
    raw, result = processes.all_gather_rows(raw), (0.0, 0.0)
    if processes.rank == 0:
        result = _evaluate_outputs(inputs, state, raw)
    numbers = [math.nan if value is None else value for value in result]
    loss, score = processes.broadcast_numbers(numbers)
    return float(loss), float(score) if inputs.monitors_score else None


def _evaluate_outputs(inputs, state, raw):
    """Return the validation loss and the validation score for the raw outputs."""
    validation = inputs.validation
    losses = row_losses(inputs.settings.loss, raw, validation.y)
    loss = float(np.average(losses, weights=validation.sample_weight))
    if not inputs.monitors_score:
        return loss, None
    return loss, inputs.score(raw, loss, lambda: inputs.make_model(inputs, state))
