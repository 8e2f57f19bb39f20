"""Preparation of a fit: initial weights, validation split, device, dtype and batch size."""

import math
import sys
from dataclasses import replace
from itertools import pairwise
from numbers import Integral

import numpy as np
import scipy.sparse as sp
import torch

from torchmlp.agreement import (
    gather_validation_targets,
    same_random_state,
    summary_of_targets,
    total_rows,
)
from torchmlp.early_stopping import split
from torchmlp.training.activations import per_layer, resolve_activations
from torchmlp.training.device.placement import resolve_device, resolve_dtype
from torchmlp.training.fit_state import FitInputs, FitState
from torchmlp.training.parameters import Parameters, initial_weights
from torchmlp.training.processes import has_own_rows
from torchmlp.training.progress import Progress
from torchmlp.training.schedules import Constant, make_schedule
from torchmlp.training.solver_factory import make_solver
from torchmlp.training.target_scale import TargetScale
from torchmlp.training.workspace import Layout

# n_iter_no_change="auto" means at least this many epochs, and at least this many steps.
MIN_EPOCHS = 16
MIN_STEPS = 1000


def prepare(
    settings,
    data,
    validation,
    layer_units,
    random_state,
    *,
    stratify,
    make_score,
    fitted,
    progress,
    saved,
    normalize_y,
    make_model,
    inverse_transform,
    incremental,
    resumable,
    processes=None,
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
    stratify : array of shape (n_samples,) or None
        The class labels for a stratified validation split, or None for a random split.
    make_score : callable (Dataset) -> callable
        Creates `FitInputs.score` for the validation data.
    fitted : (coefs, intercepts) or None
        Weights from which training continues, or None for new initial weights.
    progress : Progress or None
        Progress of the fit that is continued.
    saved : SavedState
        Saved state of the fit that is continued. Empty for a new fit.
    normalize_y : bool
        Whether to scale the targets for training.
    make_model, inverse_transform, incremental, resumable, processes
        Fields of `FitInputs`.

    Returns
    -------
    inputs : FitInputs
    state : FitState
    """
    initial = fitted or _initial_weights(settings, layer_units, random_state, data.X.dtype)
    data, validation, random_state = _training_and_validation_data(
        settings, data, validation, stratify, random_state, inverse_transform, processes
    )
    n_rows = total_rows(processes, data)
    scale = None
    if normalize_y:
        scale = _scale(settings.loss, summary_of_targets(processes, data), saved.target_scale)
        data, validation = _scaled(scale, data), _scaled(scale, validation)
        initial = scale.unfold(*fitted, saved.last_layer) if fitted else initial
    settings = replace(settings, loss=settings.loss.for_data(summary_of_targets(processes, data)))
    batch_size, clipped = _batch_size(settings, n_rows)
    inputs = FitInputs(
        settings=settings,
        data=data,
        layout=_network_layout(settings, layer_units, batch_size, data.X.dtype),
        batch_size=batch_size,
        patience=_patience(settings, batch_size, n_rows),
        validation=validation,
        score=make_score(validation) if settings.early_stopping else None,
        make_model=make_model,
        inverse_transform=inverse_transform,
        incremental=incremental,
        resumable=resumable,
        target_scale=scale,
        processes=processes,
    )
    state = _initial_state(inputs, initial, progress or Progress(), random_state, saved)
    state.pending_warnings += clipped
    return inputs, state


def _initial_weights(settings, layer_units, random_state, dtype):
    activations = per_layer(settings.activation, max(len(layer_units) - 2, 1))
    return initial_weights(settings.init, layer_units, activations, random_state, dtype)


def _training_and_validation_data(
    settings, data, validation, stratify, random_state, inverse_transform, processes
):
    """Split the data if early stopping needs it. Return both parts, and the generator to use.

    The validation data have the targets of all processes.
    """
    if settings.early_stopping and validation is None:
        data, validation = split(
            data, stratify, settings.validation_fraction, random_state, inverse_transform
        )
        if has_own_rows(processes):  # the split draws different numbers for different rows
            random_state = same_random_state(processes, random_state)
    return data, gather_validation_targets(processes, validation), random_state


def _scale(loss, data, known):
    """Return the scale of the fit that is continued, or that of the data if there is none."""
    reusable = known is not None and known.raw_outputs == loss.raw_outputs
    return known if reusable else TargetScale.of(data, loss.raw_outputs)


def _scaled(scale, data):
    return None if data is None else scale.scaled(data)


def _batch_size(settings, n_rows):
    """Return the batch size and a list of warnings."""
    if settings.uses_lbfgs:
        return n_rows, []
    wanted = 200 if settings.batch_size == "auto" else int(settings.batch_size)
    clipped = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
    warns = settings.batch_size != "auto" and wanted > n_rows
    return min(wanted, n_rows), [(clipped, UserWarning)] if warns else []


def _patience(settings, batch_size, n_rows):
    """Return `FitInputs.patience`, the maximum number of epochs without an improvement."""
    patience = settings.n_iter_no_change
    if patience != "auto":
        if isinstance(patience, Integral):  # may be larger than any float
            patience = min(int(patience), sys.maxsize)
        return float(patience)
    if settings.uses_lbfgs:
        return MIN_EPOCHS
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(n_rows / batch_size)))


def _network_layout(settings, layer_units, batch_size, X_dtype):
    n_hidden = len(layer_units) - 2
    forward_multiply_adds = batch_size * sum(a * b for a, b in pairwise(layer_units))
    device = resolve_device(settings.device)
    dtype, product_dtype = resolve_dtype(settings.dtype, X_dtype, device, forward_multiply_adds)
    dropout = 0.0 if settings.uses_lbfgs else settings.dropout
    activations = resolve_activations(settings.activation, n_hidden)
    dropouts = [float(share) for share in per_layer(dropout, n_hidden)]
    return Layout(layer_units, dtype, product_dtype, device, activations, dropouts)


def _initial_state(inputs, initial, progress, random_state, saved):
    """Return the state before the first epoch, restored from the saved state if possible."""
    settings, layout = inputs.settings, inputs.layout
    sparse = sp.issparse(inputs.data.X)
    weights = Parameters(layout.layer_units, layout.dtype, layout.device, sparse).assign(*initial)
    gradient = weights.like()
    if settings.uses_lbfgs:
        schedule = Constant(settings.learning_rate_init)
        return FitState(weights, gradient, progress, random_state, schedule)
    solver = make_solver(settings, weights, gradient)
    # The state of a different solver, or for targets of another scale, cannot be restored.
    same_scale = inputs.target_scale is saved.target_scale
    continues = saved.solver_name == solver.name and same_scale
    if continues:
        solver.load_state_dict(saved.solver)
        solver.resume()
    schedule = make_schedule(settings, saved.rate if continues else None)
    state = FitState(weights, gradient, progress, random_state, schedule, solver)
    if any(layout.dropout):
        state.dropout_generator = _dropout_generator(layout.device, random_state, saved)
    if settings.shuffle and not has_own_rows(inputs.processes):  # see `EpochTrainer`
        fits = saved.order is not None and len(saved.order) == len(inputs.data)
        state.order = saved.order if fits else np.arange(len(inputs.data))
    return state


def _dropout_generator(device, random_state, saved):
    generator = torch.Generator(device)
    if saved.dropout_generator is not None:
        saved_state = torch.from_numpy(np.array(saved.dropout_generator))
        if len(saved_state) == len(generator.get_state()):  # else it was saved on another device
            return generator.set_state(saved_state)
    return generator.manual_seed(random_state.randint(np.iinfo(np.int32).max))
