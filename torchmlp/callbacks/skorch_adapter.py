"""skorch's callbacks as a monitor, and the net that they see."""

import functools

import scipy.sparse as sp
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.callbacks import ProgressBar as SkorchProgressBar
from skorch.dataset import Dataset as SkorchDataset
from skorch.history import History
from torch import nn
from torch.utils.data import Subset

from torchmlp.training.loop import Monitor
from torchmlp.training.solvers import with_tensors, without_tensors


class SolverHandle(torch.optim.Optimizer):
    """A solver in the form of a torch optimizer, for schedulers and checkpoints.

    The rate in its group is that of the next epoch, its state that of the solver. Its `step`
    does nothing: the training loop steps the solver.

    Parameters
    ----------
    solver : SGD, Adam or TorchSolver
    flat : tensor of shape (n_parameters,)
    rate : float
    """

    def __init__(self, solver, flat, rate):
        super().__init__([flat], {"lr": rate})
        self.solver = solver

    @property
    def rate(self):
        return self.param_groups[0]["lr"]

    @rate.setter
    def rate(self, rate):
        self.param_groups[0]["lr"] = rate

    def step(self, closure=None):
        """Do nothing; torch's schedulers expect a call before their own step."""

    def state_dict(self):
        """Return the rate and the state of the solver, in torch's layout."""
        state = {"name": self.solver.name, **with_tensors(self.solver.state())}
        return {"state": state, "param_groups": [{"lr": self.rate}]}

    def load_state_dict(self, state_dict):
        """Take the rate and the state of the solver from a checkpoint.

        Raises
        ------
        ValueError
            If it is that of another solver.
        """
        state = without_tensors(state_dict["state"])
        if state.get("name") != self.solver.name:
            raise ValueError(
                f"The checkpoint is of solver {state.get('name')!r}, and this is "
                f"{self.solver.name!r}. Use the same, or save and load without f_optimizer."
            )
        self.solver.restore(state)
        self.rate = state_dict["param_groups"][0]["lr"]

    def release(self):
        """Release the weights and the solver: a callback may be kept, and pickled."""
        del self.solver
        for group in self.param_groups:
            group["params"] = []


class CallbackNet(NeuralNet):
    """The net that skorch's callbacks see: a module, an optimizer, the history, predictions.

    Module and optimizer are made at the first access: for the first optimizer torch imports its
    compiler, which takes more than a second.

    Parameters
    ----------
    callbacks : list
        As skorch takes them.
    inputs : FitInputs
    state : FitState
    """

    def __init__(self, callbacks, inputs, state):
        validation = inputs.validation
        super().__init__(
            module=None,
            criterion=None,
            max_epochs=inputs.settings.max_iter,
            lr=inputs.settings.learning_rate_init,
            batch_size=inputs.batch_size,
            # skorch's ProgressBar computes the number of batches from these two.
            iterator_valid__batch_size=1 if validation is None else len(validation),
            train_split=None,
            callbacks=list(callbacks),
            use_caching=False,  # predictions of batches are not kept
            device=str(inputs.layout.device),
        )
        self.inputs, self.state = inputs, state
        state.progress.history = History(state.progress.history)
        self.initialize_callbacks()
        self.initialized_ = True

    def get_default_callbacks(self):
        return []

    @property
    def history(self):
        return self.state.progress.history

    @history.setter
    def history(self, rows):  # from a checkpoint
        self.state.progress.history[:] = rows

    def on_epoch_begin(self, net, **kwargs):
        """Prepare the row of the history: checkpoints name files after the last batch."""
        self.state.progress.row["batches"].append({})

    def notify(self, method_name, **kwargs):
        """Call the callbacks, and apply what they changed of weights, gradient and rate."""
        if self._has_optimizer:
            self.optimizer_.rate = self.state.schedule.rate
        super().notify(method_name, **kwargs)
        self._copy_back_weights()
        if self._has_optimizer:
            self.state.schedule.rate = self.optimizer_.rate

    @functools.cached_property
    def datasets(self):
        """The keyword arguments `dataset_train` and `dataset_valid` of skorch's hooks."""
        validation = self.inputs.validation
        return {
            "dataset_train": self._dataset(self.inputs.data),
            "dataset_valid": None if validation is None else self._dataset(validation),
        }

    def _dataset(self, data):
        y = self.inputs.inverse_transform(data.y)
        dataset = SkorchDataset(data.X, y.toarray() if sp.issparse(y) else y)
        return dataset if data.rows is None else Subset(dataset, data.rows)

    @functools.cached_property
    def module_(self):
        """The network as a torch module that shares its memory with the weights."""
        module = self._model().to_torch().requires_grad_(False)
        for parameter, weights, gradient in self._shared_memory(module):
            parameter.data, parameter.grad = weights, gradient
        return module

    def _model(self):
        return self.inputs.make_model(self.inputs, self.state)

    def _shared_memory(self, module):
        """Return (parameter, weights, gradient) for each parameter of a module."""
        weights, gradient = self.state.weights.torch_views(), self.state.gradient.torch_views()
        return list(zip(module.parameters(), weights, gradient, strict=True))

    def _copy_back_weights(self):
        """Copy tensors that a callback assigned to the parameters of the module."""
        if "module_" not in vars(self):
            return
        for parameter, weights, _ in self._shared_memory(self.module_):
            if parameter.data_ptr() != weights.data_ptr():
                weights.copy_(parameter.detach())
                parameter.data = weights

    @torch.inference_mode(False)  # what callbacks make may enter autograd later
    def notify_grad_computed(self):
        """Call the callbacks with the gradient, and copy tensors that they assigned to it."""
        named = list(self.module_.named_parameters())
        self.notify("on_grad_computed", named_parameters=named, training=True)
        for parameter, _, gradient in self._shared_memory(self.module_):
            if parameter.grad.data_ptr() != gradient.data_ptr():
                gradient.copy_(parameter.grad)
                parameter.grad = gradient

    @torch.inference_mode(False)
    def notify_batch_end(self, training=True):
        """Call the callbacks that count batches."""
        self.notify("on_batch_end", batch=(None, None), y_pred=None, training=training)

    def get_all_learnable_params(self):
        """Return the named parameters, as `ParamMapper` expects them."""
        return self.module_.named_parameters()

    @functools.cached_property
    def optimizer_(self):
        """The solver as a torch optimizer."""
        return SolverHandle(self.state.solver, self.state.weights.flat, self.state.schedule.rate)

    @property
    def _has_optimizer(self):
        return "optimizer_" in vars(self)

    def step_optimizer(self):
        """Tell torch's schedulers that the optimizer made its steps."""
        if self._has_optimizer:
            self.optimizer_.step()

    def release_optimizer(self):
        """Release the weights and the solver."""
        if self._has_optimizer:
            self.optimizer_.release()

    @property
    def criterion_(self):
        """A module without parameters: checkpoints save one."""
        return nn.Module()

    @property
    def classes_(self):
        return self._model().classes_

    def predict(self, X):
        return self._model().predict(X)

    @property
    def predict_proba(self):  # a property: it exists only where the estimator has it
        return self._model().predict_proba

    @property
    def decision_function(self):
        return self._model().decision_function

    def score(self, X, y):
        return self._model().score(X, y)

    def __sklearn_tags__(self):
        return self._model().__sklearn_tags__()


class SkorchCallbacks(Monitor):
    """The estimator's parameter `callbacks`.

    Parameters
    ----------
    callbacks : list
        As skorch takes them.
    inputs : FitInputs
    state : FitState
    """

    def __init__(self, callbacks, inputs, state):
        self.net = CallbackNet(callbacks, inputs, state)
        for _, callback in self.net.callbacks_:
            if type(callback).on_grad_computed is not Callback.on_grad_computed:
                self.on_gradient = self.net.notify_grad_computed
            if isinstance(callback, SkorchProgressBar):
                self.on_batch_end = self.net.notify_batch_end

    def _data(self, inputs):
        return {"X": inputs.data.X, "y": inputs.inverse_transform(inputs.data.y)}

    def on_train_begin(self, inputs, state):
        self.net.notify("on_train_begin", **self._data(inputs))

    def on_epoch_begin(self, inputs, state):
        self.net.notify("on_epoch_begin", **self.net.datasets)

    def on_epoch_end(self, inputs, state):
        if inputs.validation is not None and self.on_batch_end is not None:
            self.net.notify_batch_end(training=False)
        self.net.step_optimizer()
        try:
            self.net.notify("on_epoch_end", **self.net.datasets)
        except KeyboardInterrupt:  # how skorch's callbacks end a fit
            return True
        return False

    def on_train_end(self, inputs, state):
        self.net.notify("on_train_end", **self._data(inputs))

    def close(self):
        self.net.release_optimizer()
