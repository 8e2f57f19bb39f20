"""scipy's L-BFGS-B over the same forward and backward as the stochastic solvers."""

import numpy as np
import scipy.optimize
import torch

from torchmlp.training.compute import one_blas_thread
from torchmlp.training.epoch import Kernel
from torchmlp.training.rows import Epoch
from torchmlp.training.task import StopTraining


class Objective:
    """Loss of all rows at once, and its gradient, as functions of one flat vector.

    Parameters
    ----------
    task : Task
        Its observers are told between two evaluations, and may end training by `StopTraining`.
    """

    def __init__(self, task):
        self.task, self.evaluated = task, False
        settings, data, layout = task.settings, task.data, task.layout
        self.kernel = Kernel(task.weights, layout, settings.loss, settings.alpha)
        self.n_rows = len(data)
        (self.block,) = Epoch(data, self.n_rows, layout, shuffle=False).blocks()
        (self.batch,) = self.block.batches
        if self.kernel.loss.averages_outputs:
            # The stochastic solvers take the gradient of the sum over the outputs, as
            # scikit-learn does; a line search needs that of the loss itself.
            scale = self.batch.space.scale / layout.layer_units[-1]
            self.batch.space = layout.space(self.n_rows, scale)

    @torch.inference_mode()  # as in Kernel.run
    def __call__(self, flat):
        if self.evaluated and self.task.notify_block_end():
            raise StopTraining
        self.evaluated = True
        self.kernel.weights.flat.copy_(torch.from_numpy(flat))
        self.kernel.compute_gradient(self.batch)
        loss = float(self.kernel.loss_of(self.block)) / self.n_rows
        return loss, self.kernel.gradient.flat.cpu().numpy().astype(np.float64)


STOPPED = 99  # scipy's status of a minimisation that a callback ended


def minimise_lbfgs(task):
    """Train the weights of a task with L-BFGS.

    Returns
    -------
    scipy.optimize.OptimizeResult or None
        None if the user, an observer or early stopping ended it.

    Raises
    ------
    ValueError
        If training diverges.
    """
    settings, weights = task.settings, task.weights
    accepted = weights.flat.cpu().numpy().astype(np.float64)

    def iteration_ends(intermediate_result):
        nonlocal accepted
        accepted = intermediate_result.x.copy()
        weights.flat.copy_(torch.from_numpy(accepted))
        task.epoch_ends(float(intermediate_result.fun), 0)
        if task.holdout is not None:
            task.judge()
            task.keep_best()
        if task.notify_epoch_end():
            raise StopIteration
        if task.monitors_score and task.out_of_patience:
            task.tell_out_of_patience("Stopping.")
            raise StopIteration
        task.epoch_begins()

    result = None
    task.epoch_begins()
    options = {"maxfun": settings.max_fun, "maxiter": settings.max_iter, "gtol": settings.tol}
    try:
        with one_blas_thread():
            result = scipy.optimize.minimize(
                Objective(task),
                accepted,
                method="L-BFGS-B",
                jac=True,
                callback=iteration_ends,
                options=options,
            )
        accepted, task.progress.loss = result.x, float(result.fun)
    except StopTraining:
        pass
    except KeyboardInterrupt:
        task.notes.append(("Training interrupted by user.", UserWarning))
    weights.flat.copy_(torch.from_numpy(accepted))
    task.restore_best()
    task.finish()
    return result if result is None or result.status != STOPPED else None
