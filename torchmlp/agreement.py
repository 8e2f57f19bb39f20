"""What the processes of a fit agree on before it begins: parameters, classes, random numbers."""

import re
from dataclasses import replace

import numpy as np

from torchmlp.callbacks import checkpoint_file
from torchmlp.callbacks.checkpoint import split_callbacks
from torchmlp.callbacks.checkpoint_monitor import generator_in_state
from torchmlp.callbacks.fingerprint import differences, digest, fingerprint, parameter_items
from torchmlp.encoding import unique_classes
from torchmlp.training.batches import Dataset
from torchmlp.training.processes import active_processes, has_own_rows
from torchmlp.validation import naming


def check_same_parameters(estimator, call):
    """Check that all processes call the same method with the same parameters.

    Must come before other communication, which depends on the parameters.

    Parameters
    ----------
    estimator : BaseTorchMLP
    call : FitCall

    Raises
    ------
    RuntimeError
        If the processes do different things.
    ValueError
        If the parameters differ, or are not supported. The message names the process.
    """
    if call.processes.own_rows:
        _check_supports_own_rows(estimator, call)
    checkpoint, _ = split_callbacks(estimator.callbacks)
    # These are not in a fingerprint: a fit may continue from a checkpoint although they differ.
    more = {
        "max_iter": str(estimator.max_iter),
        "warm_start": str(estimator.warm_start),
        "Checkpoint": str(checkpoint is not None),
        "y.ndim": str(call.y.ndim),
    }
    step = f"called {_name_of_method(estimator, call)}"
    items = parameter_items(estimator) | more
    _check_equal(call.processes, call.processes.all_gather_objects(step, items))


def check_same_data(estimator, call, data, validation):
    """Check that all processes pass the same data, or the same columns of rows of their own.

    Parameters
    ----------
    estimator : BaseTorchMLP
    call : FitCall
    data : Dataset
        The training data before the validation split.
    validation : Dataset or None

    Returns
    -------
    dict of str to str
        The fingerprint of the fit. With own rows, it depends on the data of all processes.

    Raises
    ------
    ValueError
        If the data differ. The message names the process.
    """
    processes = call.processes
    items = fingerprint(estimator, data, validation, call.resumed)
    step = f"compared the data of {_name_of_method(estimator, call)}"
    fits = processes.all_gather_objects(step, items)
    if not processes.own_rows:
        _check_equal(processes, fits)
        return items
    _check_equal(processes, [_without_rows(fit) for fit in fits])
    return items | {"parts": digest({str(rank): digest(fit) for rank, fit in enumerate(fits)})}


def _check_supports_own_rows(estimator, call):
    _, callbacks = split_callbacks(estimator.callbacks)
    reason = 'which data_parallel(rows="own") does not support, because no process has all of them'
    if estimator.early_stopping and estimator.scoring not in (None, "loss"):
        raise ValueError(
            f"scoring={estimator.scoring!r} needs the validation rows of all processes, {reason}. "
            "Use scoring=None or 'loss'."
        )
    if callbacks:
        raise ValueError(
            f"callbacks={callbacks!r} may need the training rows of all processes, {reason}. "
            "Remove them; only Checkpoint is supported."
        )
    if call.y.ndim > 1 and getattr(estimator, "class_weight", None) == "balanced":
        raise ValueError(
            "class_weight='balanced' is not supported for multilabel targets by "
            'data_parallel(rows="own"). Pass sample_weight.'
        )


def _name_of_method(estimator, call):
    return f"{type(estimator).__name__}.{'partial_fit' if call.incremental else 'fit'}"


def _check_equal(processes, fits):
    """Raise a ValueError if the descriptions of a fit by the processes differ."""
    for rank, fit in enumerate(fits):
        if found := differences(fit, fits[0], max_iter_rule=""):
            rule = (
                'With data_parallel(rows="own"), the parameters and the columns must be the same.'
                if processes.own_rows
                else "All processes must pass the same data and parameters; if each has rows of "
                'its own, use data_parallel(rows="own").'
            )
            raise ValueError(
                f"Process {rank} passes data or parameters that differ from those of process 0: it "
                f"has {'; '.join(found)}. {rule}"
            )


def _without_rows(items):
    """Return a fingerprint without the number of rows and their values."""
    return {
        name: re.sub(r" array of shape \(\d+", " array of shape (n", value)
        for name, value in items.items()
        if not name.startswith("values of ")
    }


def all_labels(processes, y):
    """Return the classes in y over all processes, or y itself if all processes have the same rows.

    The labels of a multilabel target are its columns, so that y itself is returned, too.

    Raises
    ------
    ValueError
        If y does not contain labels, or if the processes have labels of different types.
    """
    if not has_own_rows(processes) or y.ndim > 1:
        return y
    with naming("y"):
        labels = unique_classes(y)
    parts = processes.all_gather_objects("passed labels", [labels.dtype.str, labels.tolist()])
    kinds = [np.dtype(dtype).kind for dtype, _ in parts]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"The labels of the processes have the types {kinds} of NumPy. Convert y to the same "
            "type in all processes."
        )
    return np.unique(np.concatenate([np.array(part, dtype) for dtype, part in parts]))


def balanced_class_weight(processes, y, classes):
    """Return the weights of `class_weight="balanced"` for the samples of all processes."""
    if not has_own_rows(processes):
        return "balanced"
    counts = processes.sum(np.bincount(np.searchsorted(classes, y), minlength=len(classes)))
    weights = counts.sum() / (len(classes) * np.maximum(counts, 1))
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def same_random_state(processes, random_state):
    """Return a generator in the state of that of process 0."""
    state = checkpoint_file.dumps(random_state.get_state(legacy=False))
    state = checkpoint_file.loads(processes.broadcast_bytes(state))
    return generator_in_state(random_state, state) if processes.rank else random_state


def total_rows(processes, data):
    """Return the number of training samples over all processes."""
    if not has_own_rows(processes):
        return len(data)
    return int(processes.sum([len(data)])[0])


def summary_of_targets(processes, data):
    """Return a `Dataset` for the statistics of the targets over all processes.

    With own rows, it has two rows, whose targets have the mean and the standard deviation of those
    of all processes, with the sample weights. They are all that the scale of the targets and the
    losses need. X is not used.
    """
    if not has_own_rows(processes):
        return data
    y, weights = data.targets_and_weights()
    y = y.astype(np.float64)
    weights = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    sums = processes.sum(np.append(weights @ y, weights.sum()))
    mean = sums[:-1] / sums[-1]
    deviation = np.sqrt(processes.sum(weights @ (y - mean) ** 2) / sums[-1])
    return Dataset(data.X[:2], np.stack([mean - deviation, mean + deviation]))


def gather_validation_targets(processes, validation):
    """Return validation data with the X of this process and the targets of all processes.

    Parameters
    ----------
    processes : Processes or None
    validation : Dataset or None
    """
    if validation is None or not has_own_rows(processes):
        return validation
    y, weights = validation.targets_and_weights()
    return replace(
        validation,
        y=processes.all_gather_rows(y),
        sample_weight=None if weights is None else processes.all_gather_rows(weights),
    )


def synchronize(processes, inputs, state):
    """Overwrite the weights, and the solver if a later fit needs it, with those of process 0."""
    processes.broadcast_(state.weights.flat)
    if inputs.resumable and state.solver is not None:
        data = checkpoint_file.dumps(state.solver.state_dict())
        state.solver.load_state_dict(checkpoint_file.loads(processes.broadcast_bytes(data)))


def refuse_processes(estimator):
    """Raise a ValueError inside of `data_parallel`, for an estimator that does not support it."""
    if active_processes() is not None:
        raise ValueError(
            f"{type(estimator).__name__} does not support data_parallel. Fit it outside of the "
            "block, or use BaggingClassifier or BaggingRegressor."
        )
