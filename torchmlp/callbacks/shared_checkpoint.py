"""The checkpoint of a fit on many processes."""

from torchmlp.callbacks import checkpoint_file
from torchmlp.callbacks.checkpoint import split_callbacks
from torchmlp.callbacks.checkpoint_monitor import monitor_for
from torchmlp.training.loop import Monitor


def shared_checkpoint_of(processes, estimator, fingerprint, resumed):
    """Return the `SharedCheckpoint` of a fit, or None without a `Checkpoint`.

    Parameters
    ----------
    processes : Processes
    estimator : BaseTorchMLP
    fingerprint : dict of str to str
    resumed : bool
        Whether training continues from the weights of the estimator.
    """
    checkpoint, _ = split_callbacks(estimator.callbacks)
    if checkpoint is None:
        return None
    if processes.rank:
        return SharedCheckpoint(processes, None)
    return SharedCheckpoint(processes, monitor_for(checkpoint, estimator, fingerprint, resumed))


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
        if self.checkpoint is not None:
            random_state = self.checkpoint.begin(random_state)
            saved = self.checkpoint.saved
            self.processes.broadcast_bytes(
                b"" if saved is None else checkpoint_file.dumps(saved["state"])
            )
        elif data := self.processes.broadcast_bytes():
            self.state = checkpoint_file.loads(data)
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
