"""Progress messages: printed as in scikit-learn, or sent to the loggers of the package."""

import logging

logger = logging.getLogger(__name__)


def line_writer(verbose):
    """Return the function that receives each line of progress, or None if no one reads them.

    The level of the logger is checked once per fit. If no one reads the lines, they are not
    formatted.

    Parameters
    ----------
    verbose : bool or int
        If true, lines are printed, as in scikit-learn. Otherwise they are logged at level DEBUG.
    """
    if verbose:
        return print
    return logger.debug if logger.isEnabledFor(logging.DEBUG) else None


def log_start(inputs):
    """Log the size of the data and of the network at level INFO. `partial_fit` is not logged."""
    if inputs.incremental or not logger.isEnabledFor(logging.INFO):
        return
    layout = inputs.layout
    logger.info(
        "Fit started: n_samples=%d, layer_units=%s, solver=%s, batch_size=%d, device=%s, dtype=%s",
        len(inputs.data),
        list(layout.layer_units),
        inputs.settings.solver,
        inputs.batch_size,
        layout.device,
        str(layout.dtype).removeprefix("torch."),
    )


def log_end(inputs, state, reason):
    """Log the number of epochs, the loss and the reason for stopping at level INFO."""
    if inputs.incremental or not logger.isEnabledFor(logging.INFO):
        return
    progress = state.progress
    loss = "None" if progress.loss is None else f"{progress.loss:.8f}"
    score = progress.best_validation_score
    logger.info(
        "Fit ended: n_iter=%d, loss=%s%s. %s",
        progress.n_iter,
        loss,
        "" if score is None else f", best_validation_score={score:f}",
        reason,
    )
