"""Adapter for skorch callbacks: a monitor, and the `NeuralNet` that is passed to them."""

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
from torchmlp.training.torch_solver import numpy_to_tensors, tensors_to_numpy


class SolverAsOptimizer(torch.optim.Optimizer):
    """Presents a solver as a torch optimizer, for schedulers and checkpoints.

    The ``lr`` of its parameter group is the learning rate of the next epoch. Its state is that of
    the solver. `step` does nothing, because the training loop updates the weights.

    Parameters
    ----------
    solver : Solver
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
        """Do nothing. Schedulers of torch expect this call before `scheduler.step()`."""

    def state_dict(self):
        """Return the learning rate and the state of the solver, in the format of torch."""
        state = {"name": self.solver.name, **numpy_to_tensors(self.solver.state_dict())}
        return {"state": state, "param_groups": [{"lr": self.rate}]}

    def load_state_dict(self, state_dict):
        """Restore the learning rate and the state of the solver from a checkpoint.

        Raises
        ------
        ValueError
            If the checkpoint was saved with another solver.
        """
        state = tensors_to_numpy(state_dict["state"])
        if state.get("name") != self.solver.name:
            raise ValueError(
                f"The checkpoint was saved with solver {state.get('name')!r}, but the solver is "
                f"{self.solver.name!r}. Use the same solver, or save and load without f_optimizer."
            )
        self.solver.load_state_dict(state)
        self.rate = state_dict["param_groups"][0]["lr"]

    def release(self):
        """Remove references to the weights and the solver, since callbacks may be pickled."""
        del self.solver
        for group in self.param_groups:
            group["params"] = []


class ScaledLinear(nn.Linear):
    """The last layer of the network with ``normalize_y=True``.

    Its parameters are those that the solver updates, for scaled targets. Its output, and the
    tensors of its state dict, are in the original units.

    Parameters
    ----------
    weight, bias : tensors of shape (n_outputs, fan_in) and (n_outputs,)
    scale : TargetScale
    """

    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(self, weight, bias, scale):
        super().__init__(weight.shape[1], weight.shape[0], device="meta")
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        for name in ("factor", "offset"):
            value = torch.from_numpy(getattr(scale, name)).to(bias.dtype).to(bias.device)
            self.register_buffer(name, value, persistent=False)

    def _folded(self):
        return self.weight * self.factor[:, None], self.bias * self.factor + self.offset

    def forward(self, input):
        return nn.functional.linear(input, *self._folded())

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in zip(("weight", "bias"), self._folded(), strict=True):
            destination[prefix + name] = value if keep_vars else value.detach()

    def _load_from_state_dict(self, state_dict, prefix, *args):
        weight, bias = prefix + "weight", prefix + "bias"
        if weight in state_dict and bias in state_dict:
            factor, offset = (b.to(state_dict[bias].device) for b in (self.factor, self.offset))
            unfolded = {
                weight: state_dict[weight] / factor[:, None],
                bias: (state_dict[bias] - offset) / factor,
            }
            state_dict = {**state_dict, **unfolded}
        super()._load_from_state_dict(state_dict, prefix, *args)


class CallbackNet(NeuralNet):
    """The `NeuralNet` that is passed to skorch callbacks. It does not train itself.

    It provides a module, an optimizer, the history and predictions. The module and the optimizer
    are created on first access, because torch imports its compiler with the first optimizer, which
    takes more than a second.

    Parameters
    ----------
    callbacks : list
        Callbacks, or tuples (name, callback), as in skorch.
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
            # skorch's ProgressBar computes the number of batches from this and `batch_size`.
            iterator_valid__batch_size=1 if validation is None else len(validation),
            train_split=None,
            callbacks=list(callbacks),
            use_caching=False,  # there are no predictions of batches to cache
            device=str(inputs.layout.device),
        )
        self.inputs = inputs
        self.state = state
        state.progress.history = History(state.progress.history)
        self.initialize_callbacks()
        self.initialized_ = True

    def get_default_callbacks(self):
        return []

    @property
    def history(self):
        return self.state.progress.history

    @history.setter
    def history(self, rows):  # set when a checkpoint is loaded
        self.state.progress.history[:] = rows

    def on_epoch_begin(self, net, **kwargs):
        """Add an empty batch to the history, which `Checkpoint` uses to format file names."""
        self.state.progress.row["batches"].append({})

    def notify(self, method_name, **kwargs):
        """Call the callbacks, and apply their changes to the weights and the learning rate."""
        if self._has_optimizer:
            self.optimizer_.rate = self.state.schedule.rate
        super().notify(method_name, **kwargs)
        self._copy_back_weights()
        if self._has_optimizer:
            self.state.schedule.rate = self.optimizer_.rate

    @functools.cached_property
    def datasets(self):
        """The keyword arguments `dataset_train` and `dataset_valid` of skorch callbacks."""
        validation = self.inputs.validation
        return {
            "dataset_train": self._dataset(self.inputs.data),
            "dataset_valid": None if validation is None else self._dataset(validation),
        }

    def _dataset(self, data):
        y = self.inputs.inverse_transform(data.original_y)
        dataset = SkorchDataset(data.X, y.toarray() if sp.issparse(y) else y)
        return dataset if data.rows is None else Subset(dataset, data.rows)

    @functools.cached_property
    def module_(self):
        """The network as a torch module, whose parameters share memory with the weights."""
        module = self._model().to_torch()
        if self.inputs.target_scale is not None:
            last = max(i for i, layer in enumerate(module) if isinstance(layer, nn.Linear))
            weight, bias = self.state.weights.torch_views()[-2:]
            module[last] = ScaledLinear(weight, bias, self.inputs.target_scale)
        module.requires_grad_(False)
        for parameter, weights, gradient in self._shared_memory(module):
            parameter.data = weights
            parameter.grad = gradient
        return module

    def _model(self):
        return self.inputs.make_model(self.inputs, self.state)

    def _shared_memory(self, module):
        """Return (parameter, weights, gradient) for each parameter of a module."""
        weights, gradient = self.state.weights.torch_views(), self.state.gradient.torch_views()
        return list(zip(module.parameters(), weights, gradient, strict=True))

    def _copy_back_weights(self):
        """Copy tensors that a callback assigned to module parameters to the weights."""
        if "module_" not in vars(self):
            return
        for parameter, weights, _ in self._shared_memory(self.module_):
            if parameter.data_ptr() != weights.data_ptr():
                weights.copy_(parameter.detach())
                parameter.data = weights

    @torch.inference_mode(False)  # callbacks may use the tensors with autograd later
    def notify_grad_computed(self):
        """Call `on_grad_computed` of the callbacks, and copy gradients that they assigned."""
        named = list(self.module_.named_parameters())
        self.notify("on_grad_computed", named_parameters=named, training=True)
        for parameter, _, gradient in self._shared_memory(self.module_):
            if parameter.grad.data_ptr() != gradient.data_ptr():
                gradient.copy_(parameter.grad)
                parameter.grad = gradient

    @torch.inference_mode(False)
    def notify_batch_end(self, training=True):
        """Call `on_batch_end` of the callbacks, for skorch's ProgressBar."""
        self.notify("on_batch_end", batch=(None, None), y_pred=None, training=training)

    def get_all_learnable_params(self):
        """Return the named parameters, as `ParamMapper` expects them."""
        return self.module_.named_parameters()

    @functools.cached_property
    def optimizer_(self):
        """The solver as a torch optimizer."""
        return SolverAsOptimizer(
            self.state.solver, self.state.weights.flat, self.state.schedule.rate
        )

    @property
    def _has_optimizer(self):
        return "optimizer_" in vars(self)

    def step_optimizer(self):
        """Call `step` of the optimizer, as schedulers of torch expect."""
        if self._has_optimizer:
            self.optimizer_.step()

    def release_optimizer(self):
        """Remove the references of the optimizer to the weights and the solver."""
        if self._has_optimizer:
            self.optimizer_.release()

    @property
    def criterion_(self):
        """A module without parameters, because checkpoints save the criterion."""
        return nn.Module()

    @property
    def classes_(self):
        return self._model().classes_

    def predict(self, X):
        return self._model().predict(X)

    @property
    def predict_proba(self):  # a property, so that `hasattr` works
        return self._model().predict_proba

    @property
    def decision_function(self):
        return self._model().decision_function

    def score(self, X, y):
        return self._model().score(X, y)

    def __sklearn_tags__(self):
        return self._model().__sklearn_tags__()


class SkorchGradient(Monitor):
    """Calls `on_grad_computed` of the skorch callbacks.

    Parameters
    ----------
    net : CallbackNet
    """

    def __init__(self, net):
        self.net = net

    def on_grad_computed(self, inputs, state):
        self.net.notify_grad_computed()


class SkorchBatches(Monitor):
    """Calls `on_batch_end` of the skorch callbacks, once per batch and for the validation data.

    Parameters
    ----------
    net : CallbackNet
    """

    def __init__(self, net):
        self.net = net

    def on_batch_end(self, inputs, state):
        self.net.notify_batch_end()

    def on_epoch_end(self, inputs, state):
        if inputs.validation is not None:
            self.net.notify_batch_end(training=False)


class SkorchEpochs(Monitor):
    """Calls the other methods of the skorch callbacks.

    Parameters
    ----------
    net : CallbackNet
    """

    def __init__(self, net):
        self.net = net

    def _data(self, inputs):
        return {"X": inputs.data.X, "y": inputs.inverse_transform(inputs.data.original_y)}

    def on_train_begin(self, inputs, state):
        self.net.notify("on_train_begin", **self._data(inputs))

    def on_epoch_begin(self, inputs, state):
        self.net.notify("on_epoch_begin", **self.net.datasets)

    def on_epoch_end(self, inputs, state):
        self.net.step_optimizer()
        try:
            self.net.notify("on_epoch_end", **self.net.datasets)
        except KeyboardInterrupt:  # raised by skorch callbacks to stop training
            return True
        return False

    def on_train_end(self, inputs, state):
        self.net.notify("on_train_end", **self._data(inputs))

    def close(self):
        self.net.release_optimizer()


def skorch_monitors(callbacks, inputs, state):
    """Return the monitors that call the skorch callbacks, in the order in which they are called.

    The hooks of single batches take time in every step and exclude CUDA graphs. Their monitors are
    only created if a callback needs them.

    Parameters
    ----------
    callbacks : list
        Callbacks, or tuples (name, callback), as in skorch.
    inputs : FitInputs
    state : FitState
    """
    net = CallbackNet(callbacks, inputs, state)
    callbacks = [callback for _, callback in net.callbacks_]
    monitors: list[Monitor] = []
    if any(type(c).on_grad_computed is not Callback.on_grad_computed for c in callbacks):
        monitors.append(SkorchGradient(net))
    if any(isinstance(c, SkorchProgressBar) for c in callbacks):
        monitors.append(SkorchBatches(net))
    return [*monitors, SkorchEpochs(net)]
