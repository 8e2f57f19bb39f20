"""A skorch net whose epoch is the kernel: the loop of the stochastic solvers."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback

from torchmlp.training.epoch import Kernel
from torchmlp.training.rows import Epoch
from torchmlp.training.schedules import SCHEDULES
from torchmlp.training.solvers import SOLVERS


class StopTraining(Exception):
    """Raised by a callback at the end of the last epoch."""


class StoppingRule(Callback):
    """scikit-learn's rules: stop, or lower the rate, when nothing improves any more."""

    def on_epoch_end(self, net, **kwargs):
        task = net.task
        task.judge()
        net.schedule.epoch_ends(task.progress.t)
        if task.diverged():
            net.stop_diverged()
        if task.out_of_patience:
            stop, note = net.schedule.plateau()
            if task.settings.verbose:
                print(task.patience_message(), note)
            if stop:
                raise StopTraining
            task.progress.no_improvement_count = 0


class TrainingNet(NeuralNet):
    """Trains the weights of a task, epoch by epoch.

    skorch drives: `fit_loop`, `notify`, the callbacks and the history are its own. Data
    splitting, iteration and `run_single_epoch` are replaced, since batches come from `Epoch`
    and are trained by `Kernel` without a `DataLoader` and without autograd.

    Parameters
    ----------
    task : Task
    """

    def __init__(self, task):
        settings = task.settings
        super().__init__(
            module=None,
            criterion=None,
            max_epochs=settings.max_iter,
            lr=settings.learning_rate_init,
            train_split=None,
            callbacks=[("stopping_rule", StoppingRule())],
            verbose=0,
        )
        self.task = task

    def get_default_callbacks(self):
        return []

    def initialize(self):
        """Set up the solver, the schedule and the kernel; go on from the task's state if any."""
        task, settings = self.task, self.task.settings
        schedule = settings.learning_rate if settings.solver == "sgd" else "constant"
        resume = task.resume
        self.schedule = SCHEDULES[schedule](
            settings.learning_rate_init, settings.power_t, resume.get("rate")
        )
        self.solver = SOLVERS[settings.solver](settings, task.weights.flat)
        if "solver" in resume:
            self.solver.restore(resume["solver"])
        self.kernel = Kernel(
            task.weights, task.layout, settings.activation, settings.loss, settings.alpha
        )
        n_rows = len(task.data)
        order = resume.get("order")
        self.order = order if order is not None and len(order) == n_rows else np.arange(n_rows)
        self.initialize_callbacks()
        self.initialize_history()
        self.initialized_ = True
        return self

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.task.holdout

    def get_iterator(self, dataset, training=False):
        """Return the batches of an epoch; the holdout is scored as a whole."""
        if not training:
            return dataset
        task = self.task
        return Epoch(dataset, task.batch_size, task.layout, task.settings.shuffle)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train for one epoch; the holdout is scored by the stopping rule."""
        if not training:
            return
        task, progress = self.task, self.task.progress
        if task.settings.shuffle:
            # A permutation of the last order, as scikit-learn draws it.
            permutation = np.arange(len(self.order))
            task.random_state.shuffle(permutation)
            self.order = self.order[permutation]
        loss = self.kernel.run(iterator, self.order, self.solver, self.schedule.rate)
        self.history.record("train_loss", loss)
        progress.record_loss(loss)
        progress.n_iter += 1
        progress.t += len(self.order)
        if task.settings.verbose:
            print(f"Iteration {progress.n_iter}, loss = {loss:.8f}")

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run the epochs until a rule or the user stops them."""
        settings = self.task.settings
        try:
            super().fit_loop(X, y, epochs, **fit_params)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        else:
            if not self.task.incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )
        return self

    def stop_diverged(self):
        """End a fit whose weights are no numbers, with the best ones if a holdout chose some."""
        if self.task.best_weights is not None:
            warnings.warn(
                f"Training diverged in epoch {self.task.progress.n_iter}; the weights with the "
                "best validation score are kept.",
                ConvergenceWarning,
                stacklevel=2,
            )
        raise StopTraining

    def state(self):
        """Return what a later step of `partial_fit` needs to go on from here."""
        return {"solver": self.solver.state(), "rate": self.schedule.rate, "order": self.order}


def run_epochs(task):
    """Train the weights of a task with a stochastic solver.

    Raises
    ------
    ValueError
        If training diverges.
    """
    net = TrainingNet(task)
    net.partial_fit(task.data)
    task.finish()
    task.resume = net.state()
