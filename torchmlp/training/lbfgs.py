"""Training with SciPy's L-BFGS-B, with the forward and backward pass of `Backprop`."""

from functools import partial

import numpy as np
import scipy.optimize
import torch

from torchmlp.training.backprop import Backprop
from torchmlp.training.loaders import loader_for
from torchmlp.training.threads import one_blas_thread
from torchmlp.training.workspace import TrainingWorkspace

STOPPED_BY_CALLBACK = 99  # status of `scipy.optimize.minimize`


class _StopMinimization(Exception):
    """Raised between two evaluations of the objective to stop the minimization."""


class Objective:
    """Loss of all samples and its gradient, as a function of the flat weight vector.

    Parameters
    ----------
    inputs : FitInputs
    state : FitState
    on_block_end : callable () -> bool, or None
        Called before each evaluation but the first. If it returns True, the minimization stops.
    """

    def __init__(self, inputs, state, on_block_end=None):
        settings, data, layout = inputs.settings, inputs.data, inputs.layout
        self.state = state
        self.on_block_end = on_block_end
        self.processes = inputs.processes
        self.n_rows = inputs.batch_size
        self.n_evaluations = 0
        self.backprop = Backprop(
            state.weights,
            state.gradient,
            layout,
            settings.loss,
            settings.alpha,
            processes=inputs.processes,
        )
        loader = loader_for(data, self.n_rows, layout, shuffle=False, processes=inputs.processes)
        (self.block,) = loader.blocks()
        (self.batch,) = self.block.batches
        if settings.loss.averages_outputs:
            # `Loss.gradient` is that of the sum over the outputs, as scikit-learn uses it for the
            # stochastic solvers. The line search of L-BFGS needs the gradient of their mean.
            scale = self.batch.workspace.scale / layout.layer_units[-1]
            self.batch.workspace = TrainingWorkspace(len(self.batch), layout, scale)
        self.backprop.bind(self.batch)

    @torch.inference_mode()  # faster, as in `EpochTrainer`
    def __call__(self, flat):
        if self.n_evaluations and self.on_block_end is not None and self.on_block_end():
            raise _StopMinimization
        self.state.weights.flat.copy_(torch.from_numpy(flat))
        for call in self.batch.calls:
            call()
        loss = self.backprop.loss_of(self.block)
        if self.processes is not None:
            self.processes.sum_(loss)
        loss = float(loss) / self.n_rows
        if not self.n_evaluations:  # these weights are kept if no iteration is completed
            self.state.progress.loss = loss
        self.n_evaluations += 1
        return loss, self.state.gradient.flat.cpu().numpy().astype(np.float64)


def minimize(inputs, state, iteration_ends, on_block_end=None):
    """Train the weights of a state with L-BFGS.

    Parameters
    ----------
    inputs : FitInputs
    state : FitState
    iteration_ends : callable (loss) -> bool
        Called after each iteration. If it returns True, the minimization stops.
    on_block_end : callable () -> bool, or None
        See `Objective`.

    Returns
    -------
    scipy.optimize.OptimizeResult or None
        None if `iteration_ends` or `on_block_end` stopped the minimization.
    """
    weights = state.weights
    accepted = weights.flat.cpu().numpy().astype(np.float64)

    def callback(x, loss):
        nonlocal accepted
        accepted = x.copy()
        weights.flat.copy_(torch.from_numpy(accepted))
        return iteration_ends(loss)

    run = _minimize if inputs.processes is None else partial(_minimize_together, inputs.processes)
    try:
        with one_blas_thread():
            objective = Objective(inputs, state, on_block_end)
            result = run(inputs.settings, objective, accepted, callback)
    except _StopMinimization:
        return None
    finally:  # undo the last evaluation, if it was rejected
        weights.flat.copy_(torch.from_numpy(accepted))
    return None if result.status == STOPPED_BY_CALLBACK else result


def _minimize(settings, objective, start, callback):
    """Call SciPy. `callback` takes the weights and the loss, and returns whether to stop."""

    def stop_if_true(intermediate_result):
        if callback(intermediate_result.x, float(intermediate_result.fun)):
            raise StopIteration

    return scipy.optimize.minimize(
        objective,
        start,
        method="L-BFGS-B",
        jac=True,
        callback=stop_if_true,
        options={"maxfun": settings.max_fun, "maxiter": settings.max_iter, "gtol": settings.tol},
    )


_EVALUATION, _ITERATION, _END = range(3)


def _minimize_together(processes, settings, objective, start, callback):
    """Call SciPy in process 0. The other processes follow it.

    SciPy does not run in all of them, because rounding errors that depend on the processor could
    lead to different decisions. Process 0 broadcasts messages of two numbers and a vector:

    - `_EVALUATION`, 0, and the weights for which to compute the loss and its gradient
    - `_ITERATION`, the loss, and the weights, at the end of an iteration
    - `_END`, the status, and a vector of the number of iterations; the text of the status follows
    """
    message = torch.empty(2 + len(start), dtype=torch.float64)

    def send(*values):
        message.copy_(torch.from_numpy(np.concatenate([np.ravel(value) for value in values])))
        processes.broadcast_(message)

    def evaluate(x):
        send(_EVALUATION, 0, x)
        return objective(x)

    def iteration_ends(x, loss):
        send(_ITERATION, loss, x)
        return callback(x, loss)

    if processes.rank == 0:
        result = _minimize(settings, evaluate, start, iteration_ends)
        if result.status != STOPPED_BY_CALLBACK:
            send(_END, result.status, np.full_like(start, result.nit))
            processes.broadcast_bytes(str(result.message).encode())
        return result
    while True:
        processes.broadcast_(message)
        kind, number = message[:2].tolist()
        x = message[2:].numpy()
        if kind == _END:
            text = processes.broadcast_bytes().decode()
            return scipy.optimize.OptimizeResult(status=int(number), nit=int(x[0]), message=text)
        if kind == _EVALUATION:
            objective(x)
        elif callback(x, number):
            return scipy.optimize.OptimizeResult(status=STOPPED_BY_CALLBACK)
