"""What the processes of a fit agree on before it begins: parameters, classes, random numbers."""

from dataclasses import replace
from functools import partial

import numpy as np

from torchmlp.callbacks import checkpoint_file
from torchmlp.callbacks.checkpoint import split_callbacks
from torchmlp.callbacks.checkpoint_monitor import generator_in_state
from torchmlp.callbacks.fingerprint import differences, digest, fingerprint
from torchmlp.training.batches import Dataset
from torchmlp.training.loop import Monitor
from torchmlp.training.processes import active_processes


def check_same_fit(processes, estimator, call, data, validation):
    """Check that all processes make the same call of `fit` or `partial_fit`.

    Parameters
    ----------
    processes : Processes
    estimator : BaseTorchMLP
    call : FitCall
    data : Dataset
        The training data before the validation split.
    validation : Dataset or None

    Returns
    -------
    str
        A name for the data and the parameters of all processes.

    Raises
    ------
    ValueError
        If the parameters or the data differ, or are not supported. The message names the process.
    """
    items = fingerprint(estimator, data, validation, call.resumed)
    checkpoint, others = split_callbacks(estimator.callbacks)
    # Not in the name, because a checkpoint may be continued with a larger `max_iter`.
    more = {"max_iter": str(estimator.max_iter), "Checkpoint": str(checkpoint is not None)}
    if processes.own_rows:
        _check_supports_own_rows(estimator, others)
    method = "partial_fit" if call.incremental else "fit"
    parts = processes.exchange(f"called {type(estimator).__name__}.{method}", [items, more])
    name = digest({str(rank): digest(items) for rank, (items, _) in enumerate(parts)})
    fits = [items | more for items, more in parts]
    if processes.own_rows:
        fits = [_without_rows(fit) for fit in fits]
    for rank, fit in enumerate(fits):
        if found := differences(fit, fits[0]):
            rows = (
                'With data_parallel(rows="own"), the parameters and the columns must be the same.'
                if processes.own_rows
                else "All processes must pass the same data and parameters; if each has rows of "
                'its own, use data_parallel(rows="own").'
            )
            raise ValueError(
                f"Process {rank} passes other data or parameters than process 0: it has "
                f"{'; '.join(found)}. {rows}"
            )
    return name


def _check_supports_own_rows(estimator, callbacks):
    reason = 'which data_parallel(rows="own") does not support, because no process has all'
    if estimator.early_stopping and estimator.scoring not in (None, "loss"):
        raise ValueError(
            f"scoring={estimator.scoring!r} needs the validation data of all processes, {reason} "
            "rows. Use scoring=None or 'loss'."
        )
    if callbacks:
        raise ValueError(
            f"callbacks={callbacks!r} may depend on the data, {reason} rows. Remove them; "
            "Checkpoint is supported."
        )


def _without_rows(items):
    """Return a fingerprint without the numbers and the values of the rows."""
    return {
        name: value.replace("shape (" + value.partition("shape (")[2].partition(",")[0], "shape (n")
        if "array of shape (" in value
        else value
        for name, value in items.items()
        if not name.startswith("values of ")
    }


def all_labels(processes, y):
    """Return labels with all classes of y in all processes: y itself, if all have the same rows.

    Raises
    ------
    ValueError
        If the processes have labels of different types.
    """
    if processes is None or not processes.own_rows or y.ndim > 1:
        return y
    labels = np.unique(y)
    parts = processes.exchange("passed labels", [y.dtype.kind, labels.tolist()])
    kinds = [kind for kind, _ in parts]
    if len(set(kinds)) > 1:
        raise ValueError(
            f"The labels of the processes have the types {kinds} of NumPy. Convert y to the same "
            "type in all processes."
        )
    return np.unique(np.concatenate([np.array(part, labels.dtype.kind) for _, part in parts]))


def balanced_class_weight(processes, y, classes):
    """Return the weights of `class_weight="balanced"` for the samples of all processes.

    Raises
    ------
    ValueError
        If y is multilabel.
    """
    if not processes.own_rows:
        return "balanced"
    if y.ndim > 1:
        raise ValueError(
            "class_weight='balanced' is not supported for multilabel targets by "
            'data_parallel(rows="own"). Pass sample_weight.'
        )
    counts = processes.sum(np.bincount(np.searchsorted(classes, y), minlength=len(classes)))
    weights = counts.sum() / (len(classes) * np.maximum(counts, 1))
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def same_random_state(processes, random_state):
    """Return a generator in the state of that of process 0."""
    state = checkpoint_file.dumps(random_state.get_state(legacy=False))
    state = checkpoint_file.loads(processes.broadcast(state))
    return generator_in_state(random_state, state) if processes.rank else random_state


def agreed_targets(processes, data, validation):
    """Return what a fit needs to know about the targets of all processes.

    Parameters
    ----------
    processes : Processes or None
    data : Dataset
    validation : Dataset or None

    Returns
    -------
    validation : Dataset or None
        If the processes have rows of their own, with the targets of all of them.
    summarized : callable (Dataset) -> Dataset
        Returns training data for the statistics of the targets.
    n_rows : int
        Number of training samples.
    """
    if processes is None or not processes.own_rows:
        return validation, lambda data: data, len(data)
    if validation is not None:
        validation = with_all_targets(processes, validation)
    return validation, partial(targets_of_all, processes), int(processes.sum([len(data)])[0])


def targets_of_all(processes, data):
    """Return a `Dataset` with two rows, whose targets have the mean and the deviation of all rows.

    The mean and the deviation are those over all processes, with the sample weights. They are all
    that the scale of the targets and the losses need. X is not used.
    """
    y, weights = data.targets_and_weights()
    y = y.astype(np.float64)
    weights = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    sums = processes.sum(np.append(weights @ y, weights.sum()))
    mean = sums[:-1] / sums[-1]
    deviation = np.sqrt(processes.sum(weights @ (y - mean) ** 2) / sums[-1])
    return Dataset(data.X[:2], np.stack([mean - deviation, mean + deviation]))


def with_all_targets(processes, validation):
    """Return validation data with the X of this process, and the targets of all processes."""
    y, weights = validation.targets_and_weights()
    return replace(
        validation,
        y=processes.concatenated(y),
        sample_weight=None if weights is None else processes.concatenated(weights),
    )


def synchronize(processes, inputs, state):
    """Overwrite the weights, and the solver if a later fit needs it, with those of process 0."""
    processes.broadcast_(state.weights.flat)
    if inputs.resumable and state.solver is not None:
        data = checkpoint_file.dumps(state.solver.state_dict())
        state.solver.load_state_dict(checkpoint_file.loads(processes.broadcast(data)))


class SharedCheckpoint(Monitor):
    """The checkpoint of a fit on many processes, a file that process 0 reads and writes.

    Parameters
    ----------
    processes : Processes
    checkpoint : CheckpointMonitor or None
        None in the other processes, which need no access to the file.
    """

    def __init__(self, processes, checkpoint):
        self.processes = processes
        self.checkpoint = checkpoint
        self.state = None

    def begin(self, random_state):
        """Read the file in process 0. Return the generator, see `CheckpointMonitor.begin`."""
        saved = None
        if self.checkpoint is not None:
            random_state = self.checkpoint.begin(random_state)
            saved = self.checkpoint.saved
        data = b"" if saved is None else checkpoint_file.dumps(saved["state"])
        data = self.processes.broadcast(data)
        self.state = checkpoint_file.loads(data) if data else None
        return random_state

    def on_train_begin(self, inputs, state):
        if self.checkpoint is not None:
            self.checkpoint.on_train_begin(inputs, state)
        elif self.state is not None:
            state.load_state_dict(self.state)
        self.state = None

    def on_epoch_complete(self, inputs, state):
        if self.checkpoint is not None:
            self.checkpoint.on_epoch_complete(inputs, state)

    def on_train_end(self, inputs, state):
        if self.checkpoint is not None:
            self.checkpoint.on_train_end(inputs, state)


def refuse_processes(estimator):
    """Raise a ValueError inside of `data_parallel`, for an estimator that does not support it."""
    if active_processes() is not None:
        raise ValueError(
            f"{type(estimator).__name__} does not support data_parallel. Fit it outside of the "
            "block, or use BaggingClassifier or BaggingRegressor."
        )
