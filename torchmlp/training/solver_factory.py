"""The choice of the solver of a fit."""

from torchmlp.training.averaging import AveragingSolver
from torchmlp.training.solvers import SOLVERS
from torchmlp.training.torch_solver import TorchSolver


def make_solver(settings, weights, gradient):
    """Return the stochastic solver of a fit.

    Parameters
    ----------
    settings : Settings
    weights, gradient : Parameters
    """
    kind = TorchSolver if callable(settings.solver) else SOLVERS[settings.solver]
    solver = kind(settings, weights, gradient)
    return AveragingSolver(solver) if settings.average else solver
