"""A skorch net whose epoch is the kernel: the loop of the stochastic solvers."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback

from torchmlp.training.epoch import Kernel
from torchmlp.training.rows import Epoch
from torchmlp.training.schedules import PLANNED, SCHEDULES
from torchmlp.training.solvers import make_solver


class StopTraining(Exception):
    """Raised by a callback at the end of the last epoch."""


class StoppingRule(Callback):
    """scikit-learn's rules: stop, or lower the rate, when nothing improves any more."""

    def on_epoch_end(self, net, **kwargs):
        task, progress = net.task, net.task.progress
        task.judge(net.history[-1].get("valid_score"))
        net.schedule.epoch_ends(progress.n_iter, progress.t)
        if task.diverged():
            if task.watches_score:
                kept = "the weights with the best validation score are kept."
                task.notes.append(
                    (f"Training diverged in epoch {progress.n_iter}; {kept}", ConvergenceWarning)
                )
            raise StopTraining
        if task.out_of_patience:
            stop, consequence = net.schedule.plateau()
            task.tell_out_of_patience(consequence)
            if stop:
                raise StopTraining
            progress.no_improvement_count = 0


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
            # Last, so that stopping keeps no other callback from the end of the last epoch.
            callbacks=[("stopping_rule", StoppingRule())],
            verbose=0,
        )
        self.task = task

    def get_default_callbacks(self):
        return []

    def initialize(self):
        """Set up the solver, the schedule and the kernel; go on from the task's state if any."""
        task, settings = self.task, self.task.settings
        applies = settings.solver == "sgd" or settings.learning_rate in PLANNED
        schedule = settings.learning_rate if applies else "constant"
        self.solver = make_solver(settings, task.weights)
        # What another solver left behind is of no use to this one.
        resume = task.resume if task.resume.get("solver_name") == self.solver.name else {}
        self.schedule = SCHEDULES[schedule](
            settings.learning_rate_init, settings.power_t, settings.max_iter, resume.get("rate")
        )
        if resume:
            self.solver.restore(resume["solver"])
        self.kernel = Kernel(
            task.weights,
            task.layout,
            settings.loss,
            0.0 if self.solver.decouples_penalty else settings.alpha,
            self._dropout_generator(),
            settings.max_grad_norm,
        )
        n_rows = len(task.data)
        order = task.resume.get("order")
        self.order = order if order is not None and len(order) == n_rows else np.arange(n_rows)
        self.initialize_callbacks()
        self.initialize_history()
        self.initialized_ = True
        return self

    def _dropout_generator(self):
        """Return a generator seeded by the task's random state, if any layer needs one."""
        task = self.task
        if not any(task.layout.dropout):
            return None
        generator = torch.Generator(task.layout.device)
        if "generator" in task.resume:
            return generator.set_state(torch.from_numpy(np.array(task.resume["generator"])))
        return generator.manual_seed(task.random_state.randint(np.iinfo(np.int32).max))

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return the task's data: they are split already."""
        return self.task.data, self.task.holdout

    def get_iterator(self, dataset, training=False):
        """Return the batches of an epoch; the holdout is scored as a whole."""
        if not training:
            return dataset
        task = self.task
        return Epoch(dataset, task.batch_size, task.layout, task.settings.shuffle)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train for one epoch, or score the holdout if there is one."""
        if training:
            self._shuffle()
            loss = self.kernel.run(iterator, self.order, self.solver, self.schedule.rate)
            self.task.epoch_ends(loss, len(self.order))
            self.history.record("train_loss", loss)
        elif iterator is not None:
            score = self.task.validate()
            self.history.record("valid_loss", self.task.progress.validation_loss_curve[-1])
            self.history.record("valid_score", score)

    def _shuffle(self):
        if self.task.settings.shuffle:
            # A permutation of the last order, as scikit-learn draws it.
            permutation = np.arange(len(self.order))
            self.task.random_state.shuffle(permutation)
            self.order = self.order[permutation]

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run the epochs until a rule or the user stops them."""
        settings = self.task.settings
        try:
            super().fit_loop(X, y, epochs, **fit_params)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            self.task.notes.append(("Training interrupted by user.", UserWarning))
        else:
            if not (self.task.incremental or settings.learning_rate in PLANNED):
                reached = (
                    f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) "
                    "reached and the optimization hasn't converged yet."
                )
                self.task.notes.append((reached, ConvergenceWarning))
        return self

    def state(self):
        """Return what a later step of `partial_fit` needs to go on from here."""
        state = {
            "solver_name": self.solver.name,
            "solver": self.solver.state(),
            "rate": self.schedule.rate,
        }
        if self.task.settings.shuffle:
            state["order"] = self.order
        if self.kernel.generator is not None:
            state["generator"] = self.kernel.generator.get_state().numpy()
        return state


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
