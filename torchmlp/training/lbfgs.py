"""Training with SciPy's L-BFGS-B, with the forward and backward pass of `Backprop`."""

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
        self.n_rows = len(data)
        self.n_evaluations = 0
        self.backprop = Backprop(
            state.weights, state.gradient, layout, settings.loss, settings.alpha
        )
        (self.block,) = loader_for(data, self.n_rows, layout, shuffle=False).blocks()
        (self.batch,) = self.block.batches
        if settings.loss.averages_outputs:
            # `Loss.gradient` is that of the sum over the outputs, as scikit-learn uses it for the
            # stochastic solvers. The line search of L-BFGS needs the gradient of their mean.
            scale = self.batch.workspace.scale / layout.layer_units[-1]
            self.batch.workspace = TrainingWorkspace(self.n_rows, layout, scale)
        self.backprop.bind(self.batch)

    @torch.inference_mode()  # faster, as in `EpochTrainer`
    def __call__(self, flat):
        if self.n_evaluations and self.on_block_end is not None and self.on_block_end():
            raise _StopMinimization
        self.state.weights.flat.copy_(torch.from_numpy(flat))
        for call in self.batch.calls:
            call()
        loss = float(self.backprop.loss_of(self.block)) / self.n_rows
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
    settings, weights = inputs.settings, state.weights
    accepted = weights.flat.cpu().numpy().astype(np.float64)

    def callback(intermediate_result):
        nonlocal accepted
        accepted = intermediate_result.x.copy()
        weights.flat.copy_(torch.from_numpy(accepted))
        if iteration_ends(float(intermediate_result.fun)):
            raise StopIteration

    options = {"maxfun": settings.max_fun, "maxiter": settings.max_iter, "gtol": settings.tol}
    try:
        with one_blas_thread():
            result = scipy.optimize.minimize(
                Objective(inputs, state, on_block_end),
                accepted,
                method="L-BFGS-B",
                jac=True,
                callback=callback,
                options=options,
            )
    except _StopMinimization:
        return None
    finally:  # undo the last evaluation, if it was rejected
        weights.flat.copy_(torch.from_numpy(accepted))
    return None if result.status == STOPPED_BY_CALLBACK else result
