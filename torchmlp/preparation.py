"""Preparation of a fit: initial weights, validation split, device, dtype and batch size."""

from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch

from torchmlp.early_stopping import split
from torchmlp.training.activations import per_layer, resolve_activations
from torchmlp.training.device.placement import resolve_device, resolve_dtype
from torchmlp.training.fit_state import FitInputs, FitState, Progress, SavedState
from torchmlp.training.parameters import Parameters, initial_weights
from torchmlp.training.schedules import Constant, make_schedule
from torchmlp.training.solvers import make_solver
from torchmlp.training.workspace import Layout


def prepare(
    settings,
    data,
    validation,
    layer_units,
    random_state,
    *,
    strata=None,
    make_score=None,
    fitted=None,
    progress=None,
    saved=None,
    **options,
):
    """Return the inputs of a fit and its state before the first epoch.

    Random numbers are drawn in the same order as in scikit-learn: first the initial weights, then
    the validation split. With dropout, the seed of its generator is drawn after them.

    Parameters
    ----------
    settings : Settings
    data : Dataset
    validation : Dataset or None
        Validation data that were passed to `fit`. If None, early stopping splits `data`.
    layer_units : tuple of int
        Number of units in each layer, including the input and output layers.
    random_state : numpy.random.RandomState
    strata : array of shape (n_samples,) or None
        The class labels for a stratified validation split, or None for a random split.
    make_score : callable (Dataset) -> callable, or None
        Creates `FitInputs.score` for the validation data.
    fitted : (coefs, intercepts) or None
        Weights from which training continues, or None for new initial weights.
    progress : Progress or None
        Progress of the fit that is continued.
    saved : SavedState or None
        Saved state of the fit that is continued.
    **options : dict
        Other fields of `FitInputs`.

    Returns
    -------
    inputs : FitInputs
    state : FitState
    """
    if fitted is None:
        fitted = _initial_weights(settings, layer_units, random_state, data.X.dtype)
    if settings.early_stopping and validation is None:
        data, validation = split(data, strata, settings.validation_fraction, random_state)
    batch_size, clipped = _batch_size(settings, len(data))
    layout = _layout(settings, layer_units, batch_size, data.X.dtype)
    inputs = FitInputs(
        settings=settings,
        data=data,
        layout=layout,
        batch_size=batch_size,
        validation=validation,
        score=make_score(validation) if settings.early_stopping else None,
        **options,
    )
    weights = Parameters(layer_units, layout.dtype, layout.device, sp.issparse(data.X))
    state = FitState(
        weights=weights.assign(*fitted),
        gradient=weights.like(),
        progress=progress or Progress(),
        random_state=random_state,
        schedule=Constant(settings.learning_rate_init),
        pending_warnings=clipped,
    )
    if settings.solver != "lbfgs":
        _prepare_steps(inputs, state, saved or SavedState())
    return inputs, state


def _initial_weights(settings, layer_units, random_state, dtype):
    activations = per_layer(settings.activation, max(len(layer_units) - 2, 1))
    return initial_weights(settings.init, layer_units, activations, random_state, dtype)


def _batch_size(settings, n_rows):
    """Return the batch size and a list of warnings."""
    if settings.solver == "lbfgs":
        return n_rows, []
    wanted = 200 if settings.batch_size == "auto" else int(settings.batch_size)
    clipped = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
    warns = settings.batch_size != "auto" and wanted > n_rows
    return min(wanted, n_rows), [(clipped, UserWarning)] if warns else []


def _layout(settings, layer_units, batch_size, X_dtype):
    n_hidden = len(layer_units) - 2
    n_multiply_adds = batch_size * sum(a * b for a, b in pairwise(layer_units))
    device = resolve_device(settings.device)
    dtype, product_dtype = resolve_dtype(settings.dtype, X_dtype, device, n_multiply_adds)
    dropout = 0.0 if settings.solver == "lbfgs" else settings.dropout
    activations = resolve_activations(settings.activation, n_hidden)
    dropouts = [float(share) for share in per_layer(dropout, n_hidden)]
    return Layout(layer_units, dtype, product_dtype, device, activations, dropouts)


def _prepare_steps(inputs, state, saved):
    """Set up the state for a stochastic solver, restored from the saved state if possible."""
    settings = inputs.settings
    state.solver = make_solver(settings, state.weights, state.gradient)
    # The state of a different solver cannot be restored.
    continues = saved.solver_name == state.solver.name
    state.schedule = make_schedule(settings, saved.rate if continues else None)
    if continues:
        state.solver.load_state_dict(saved.solver)
    if any(inputs.layout.dropout):
        state.dropout_generator = _dropout_generator(inputs.layout.device, state, saved)
    if settings.shuffle:
        fits = saved.order is not None and len(saved.order) == len(inputs.data)
        state.order = saved.order if fits else np.arange(len(inputs.data))


def _dropout_generator(device, state, saved):
    generator = torch.Generator(device)
    if saved.dropout_generator is not None:
        saved_state = torch.from_numpy(np.array(saved.dropout_generator))
        if len(saved_state) == len(generator.get_state()):  # else it was saved on another device
            return generator.set_state(saved_state)
    return generator.manual_seed(state.random_state.randint(np.iinfo(np.int32).max))
