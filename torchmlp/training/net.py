"""A skorch net whose epoch is the kernel: the loop of the stochastic solvers."""

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback, ProgressBar
from skorch.dataset import Dataset
from torch.utils.data import Subset

from torchmlp.training.callback_view import CallbackView
from torchmlp.training.epoch import Kernel
from torchmlp.training.replay import replay_on
from torchmlp.training.rows import Epoch
from torchmlp.training.schedules import PLANNED, SCHEDULES, schedule_of
from torchmlp.training.solvers import make_solver
from torchmlp.training.task import StopTraining
from torchmlp.training.transfer import wait_for


class TrainingNet(CallbackView, NeuralNet):
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
            batch_size=task.batch_size,
            # ProgressBar counts the batches by these two.
            iterator_valid__batch_size=1 if task.holdout is None else len(task.holdout),
            train_split=None,
            callbacks=list(task.callbacks),
            use_caching=False,  # predictions of batches are not kept
            device=str(task.layout.device),
        )
        self.task = task

    def get_default_callbacks(self):
        return []

    def initialize(self):
        """Set up the solver, the schedule and the kernel; go on from the task's state if any."""
        task, settings = self.task, self.task.settings
        schedule = schedule_of(settings.solver, settings.learning_rate)
        self.planned = schedule in PLANNED
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
        self.kernel.replay = replay_on(task.layout.device, self.kernel.generator, task.notes)
        if task.block_observers:
            self.kernel.on_block_end = self._block_ends
        n_rows = len(task.data)
        order = task.resume.get("order")
        self.order = order if order is not None and len(order) == n_rows else np.arange(n_rows)
        self.initialize_callbacks()
        self._connect_callbacks()
        self.initialized_ = True
        return self

    def _dropout_generator(self):
        """Return a generator seeded by the task's random state, if any layer needs one."""
        task = self.task
        if not any(task.layout.dropout):
            return None
        generator = torch.Generator(task.layout.device)
        state = torch.from_numpy(np.array(task.resume.get("generator", ()), dtype=np.uint8))
        if len(state) == len(generator.get_state()):  # else it is that of another device
            return generator.set_state(state)
        return generator.manual_seed(task.random_state.randint(np.iinfo(np.int32).max))

    def _connect_callbacks(self):
        """Let the kernel call on those that want to see gradients, or count batches."""
        for _, callback in self.callbacks_:
            if type(callback).on_grad_computed is not Callback.on_grad_computed:
                self.kernel.on_grad_computed = self._grad_computed
            if isinstance(callback, ProgressBar):
                self.kernel.on_batch_end = self._batch_ends

    @torch.inference_mode(False)  # what callbacks make may enter autograd later
    def _grad_computed(self):
        named = list(self.module_.named_parameters())
        self.notify("on_grad_computed", named_parameters=named, training=True)
        self.take_over_gradient()

    @torch.inference_mode(False)
    def _batch_ends(self, training=True):
        self.notify("on_batch_end", batch=(None, None), y_pred=None, training=training)

    def _block_ends(self):
        # A device works through what is launched later than the host launches it.
        wait_for(self.task.layout.device)
        return self.task.notify_block_end()

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return what callbacks see of the task's data: they are split already."""
        task = self.task
        if not self.callbacks_:
            return task.data, task.holdout
        holdout = None if task.holdout is None else self._dataset(task.holdout)
        return self._dataset(task.data), holdout

    def _dataset(self, data):
        y = self.task.targets(data.y)
        dataset = Dataset(data.X, y.toarray() if sp.issparse(y) else y)
        return dataset if data.rows is None else Subset(dataset, data.rows)

    def get_iterator(self, dataset, training=False):
        """Return the batches of an epoch; the holdout is scored as a whole."""
        task = self.task
        if not training:
            return task.holdout
        return Epoch(task.data, task.batch_size, task.layout, task.settings.shuffle)

    def on_epoch_begin(self, net, **kwargs):
        self.task.epoch_begins()
        self.task.progress.row["batches"].append({})  # checkpoints name files after the last one

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train for one epoch, or score the holdout if there is one."""
        if training:
            self._shuffle()
            loss, n_rows = self.kernel.run(iterator, self.order, self.solver, self.rate)
            self.task.epoch_ends(loss, n_rows)
            return
        self.task.judge()
        if iterator is not None and self.kernel.on_batch_end is not None:
            self._batch_ends(training=False)

    def _shuffle(self):
        if self.task.settings.shuffle:
            # A permutation of the last order, as scikit-learn draws it.
            permutation = np.arange(len(self.order))
            self.task.random_state.shuffle(permutation)
            self.order = self.order[permutation]

    def on_epoch_end(self, net, **kwargs):  # skorch calls it before the callbacks
        self.step_optimizer()

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; at the end of an epoch, see whether it was the last."""
        stop = False
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            if method_name != "on_epoch_end":
                raise
            stop = True  # it is how skorch's callbacks end a fit
        self.take_over_weights()
        if method_name == "on_epoch_end":
            self._end_epoch(stop)

    def _end_epoch(self, stop):
        self.task.keep_best()
        stop |= self.task.notify_epoch_end()
        stop |= self._rule_stops()  # which sets the next rate, whoever stops
        if stop:
            raise StopTraining

    def _rule_stops(self):
        """Return whether scikit-learn's rules end training; else they may change the rate.

        A planned schedule is followed to its end: its rates are large until shortly before, so
        a plateau on the way says little.
        """
        task, progress, rate = self.task, self.task.progress, self.schedule.rate
        self.schedule.epoch_ends(progress.n_iter, progress.t)
        stop = task.diverged()
        if stop and task.monitors_score:
            kept = "the weights with the best validation score are kept."
            task.notes.append(
                (f"Training diverged in epoch {progress.n_iter}; {kept}", ConvergenceWarning)
            )
        elif not stop and not self.planned and task.out_of_patience:
            stop, consequence = self.schedule.plateau()
            task.tell_out_of_patience(consequence)
            if not stop:
                progress.no_improvement_count = 0
        if self.schedule.rate != rate:
            self.set_rate(self.schedule.rate)
        return stop

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run the epochs until a rule, a callback or the user stops them."""
        settings = self.task.settings
        try:
            super().fit_loop(X, y, epochs, **fit_params)
        except StopTraining:
            pass
        except KeyboardInterrupt:
            self.task.notes.append(("Training interrupted by user.", UserWarning))
        else:
            if not (self.task.incremental or self.planned):
                reached = (
                    f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) "
                    "reached and the optimization hasn't converged yet."
                )
                self.task.notes.append((reached, ConvergenceWarning))
        finally:
            if self.kernel.replay is not None:
                self.kernel.replay.close()
        self.task.restore_best()
        return self

    def state(self):
        """Return what a later step of `partial_fit` needs to go on from here."""
        state = {
            "solver_name": self.solver.name,
            "solver": self.solver.state(),
            "rate": self.rate,
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
    data = task.data
    net.partial_fit(data.X, task.targets(data.y) if task.callbacks else data.y)
    if task.may_go_on:
        task.resume = net.state()
    net.release_optimizer()
    task.finish()
