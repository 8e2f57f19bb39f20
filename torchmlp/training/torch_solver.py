"""Optimizers of torch as solvers."""

import inspect

import numpy as np
import torch

from torchmlp.training.solvers import Solver


class TorchSolver(Solver):
    """Optimizers of torch. Their parameters are views of the weights.

    Parameters
    ----------
    settings : Settings
        `settings.solver` is a callable (params, lr) that returns a torch.optim.Optimizer or a list
        of them. `params` has the shapes and the order of ``module.parameters()``: for each layer
        the weights, of shape (fan_out, fan_in), and the intercepts, of shape (fan_out,).
    weights, gradient : Parameters
    """

    capturable = False  # some optimizers read their state on the host

    def __init__(self, settings, weights, gradient):
        super().__init__(settings, weights, gradient)
        rate = settings.learning_rate_init
        self.params = [torch.nn.Parameter(view) for view in weights.torch_views()]
        self.optimizers = _make_optimizers(settings.solver, self.params, rate)
        self.name = " and ".join(map(_describe, self.optimizers))
        self._rate_ratios = [group["lr"] / rate for group in self._groups()]
        self._gradients = gradient.torch_views()

    def _groups(self):
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @torch.inference_mode(False)
    def update(self, rate):
        for group, factor in zip(self._groups(), self._rate_ratios, strict=True):
            group["lr"] = rate * factor
        for parameter, view in zip(self.params, self._gradients, strict=True):
            parameter.grad = view
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self):
        return {
            "optimizers": [tensors_to_numpy(o.state_dict()) for o in self.optimizers],
            "dtype": str(self.weights.flat.dtype),
        }

    def load_state_dict(self, state_dict):
        dtype = state_dict["dtype"]
        for optimizer, arrays in zip(self.optimizers, state_dict["optimizers"], strict=True):
            loaded = numpy_to_tensors(arrays)
            optimizer.load_state_dict(loaded)
            params = [p for group in optimizer.param_groups for p in group["params"]]
            for i, parameter in enumerate(params):
                own = optimizer.state[parameter]
                for key, value in loaded["state"].get(i, {}).items():
                    if isinstance(value, torch.Tensor):
                        own[key] = _like_new_state(value, parameter, dtype).to(own[key].device)


def _like_new_state(value, parameter, stored_dtype):
    """Return a tensor of a saved state with the dtype and memory order of a new state.

    `Optimizer.load_state_dict` casts it to the dtype of the parameter, even if the optimizer uses
    another dtype, and does not preserve the memory order of the parameter.
    """
    follows = value.ndim > 0 and str(value.dtype) == stored_dtype
    dtype = parameter.dtype if follows else value.dtype
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=dtype, requires_grad=False).copy_(value)
    return value.to(dtype)


def _describe(optimizer):
    """Return the class and the options of an optimizer, without the rate, which training sets."""
    options = [
        {key: value for key, value in group.items() if key not in ("lr", "initial_lr", "params")}
        for group in optimizer.param_groups
    ]
    return f"{type(optimizer).__name__} {options}"


def _make_optimizers(factory, params, rate):
    """Return the optimizers that ``factory(params, lr=rate)`` makes, as a list.

    Raises
    ------
    ValueError
        If the call fails, or if an optimizer is not supported.
    """
    try:
        made = factory(params, lr=rate)
    except Exception as error:
        raise ValueError(
            f"solver={factory!r} could not be created: {error}. It is called as solver(params, "
            "lr=...), where params are the weights, of shape (fan_out, fan_in), and the "
            "intercepts, of shape (fan_out,), of each layer. If an optimizer accepts only some of "
            "them, pass a function that splits params and returns a list of optimizers."
        ) from error
    optimizers = list(made) if isinstance(made, (list, tuple)) else [made]
    for optimizer in optimizers:
        _check_optimizer(optimizer, factory)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(parameter) for group in groups for parameter in group["params"]}
    if held.isdisjoint(map(id, params)):
        raise ValueError(
            f"solver={factory!r} must return an optimizer of the params that it is called with. "
            f"Got {optimizers}, with other parameters. Pass params to the optimizer."
        )
    return optimizers


def _check_optimizer(optimizer, factory):
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(
            f"solver={factory!r} must return a torch.optim.Optimizer or a list of them, got "
            f"{type(optimizer).__name__}."
        )
    if isinstance(optimizer, torch.optim.SparseAdam):
        raise ValueError(
            f"solver={factory!r} supports sparse gradients only, but the gradients are dense. "
            "Use solver='adam'."
        )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ValueError(
            f"solver={factory!r} requires a closure that evaluates the loss several times per "
            "step, which is not supported. Use solver='lbfgs'."
        )


def tensors_to_numpy(state):
    """Return the state of a solver with NumPy arrays instead of tensors."""
    return _converted(state, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy().copy())


def numpy_to_tensors(state):
    """Return the state of a solver with tensors instead of NumPy arrays."""
    return _converted(state, np.ndarray, lambda array: torch.from_numpy(np.array(array)))


def _converted(state, kind, convert):
    if isinstance(state, dict):
        return {key: _converted(value, kind, convert) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_converted(value, kind, convert) for value in state)
    return convert(state) if isinstance(state, kind) else state
