"""Learning rate schedules, which set the learning rate of each epoch."""

import math


class Schedule:
    """Base class of the learning rate schedules. The learning rate is constant within an epoch.

    The trainer reads `rate` before each epoch and calls `epoch_ends` once after it, in which a
    schedule sets the rate of the next epoch. `plateau` is only called for schedules that are not
    `planned`. A subclass is created with the arguments below and must not require others.

    Only `rate` is saved for a later `partial_fit`, which passes it to the constructor. Other
    attributes are lost, and must therefore follow from the arguments. The callback `LRScheduler` of
    skorch writes `rate`, which is supported with a constant learning rate only.

    Parameters
    ----------
    initial : float
        The estimator's `learning_rate_init`.
    power_t : float
        The estimator's `power_t`.
    n_epochs : int
        The estimator's `max_iter`.
    rate : float, optional
        The saved learning rate, if training continues. The default is the rate of the first epoch.

    Attributes
    ----------
    rate : float
        Learning rate of the next epoch.
    planned : bool
        Whether the schedule spans `n_epochs` and is followed to the end, even if the loss no longer
        improves. Planned schedules are used with every stochastic solver and are refused by
        `partial_fit`, in which `max_iter` has no meaning. The others are used with "sgd" only, as
        in scikit-learn.
    """

    planned = False

    def __init__(self, initial, power_t=0.5, n_epochs=200, rate=None):
        self.initial = initial
        self.power_t = power_t
        self.n_epochs = n_epochs
        self.rate = self.rate_of(0) if rate is None else rate

    def rate_of(self, epoch):
        """Return the learning rate of an epoch, counted from 0, if it depends on the epoch only."""
        return self.initial

    def epoch_ends(self, epoch, samples_seen):
        """Set `rate` for the next epoch.

        Parameters
        ----------
        epoch : int
            Number of epochs of this fit that have ended.
        samples_seen : int
            Number of samples seen, including the previous fits that this one continues.
        """

    def plateau(self):
        """Decide whether to stop when the loss or the score has not improved for many epochs.

        Returns
        -------
        stop : bool
        note : str
            Text to append to the message for the user.
        """
        return True, "Stopping."


class Constant(Schedule):
    """Constant learning rate."""


class InverseScaling(Schedule):
    """rate = initial / (samples seen + 1) ** power_t."""

    def epoch_ends(self, epoch, samples_seen):
        self.rate = self.initial / (samples_seen + 1) ** self.power_t


class Adaptive(Schedule):
    """Divides the rate by 5 at every plateau. Stops if the rate is at most 1e-6."""

    def plateau(self):
        if self.rate <= 1e-6:
            return True, "Learning rate too small. Stopping."
        self.rate /= 5.0
        return False, f"Setting learning rate to {self.rate:f}"


def _cosine(start, stop, share):
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


class Cosine(Schedule):
    """Cosine annealing from the initial rate to 0, without restarts (arXiv:1608.03983)."""

    planned = True

    def rate_of(self, epoch):
        return _cosine(self.initial, 0.0, epoch / self.n_epochs)

    def epoch_ends(self, epoch, samples_seen):
        self.rate = self.rate_of(epoch)


class OneCycle(Cosine):
    """From initial / 25 up to initial in 30 % of the epochs, then down to initial / 250000.

    Both phases use cosine annealing, as in `torch.optim.lr_scheduler.OneCycleLR`
    (arXiv:1708.07120).
    """

    def rate_of(self, epoch):
        low, last = self.initial / 25, max(self.n_epochs - 1, 1)
        top = max(0.3 * self.n_epochs - 1, 0)
        if epoch <= top:
            return _cosine(low, self.initial, epoch / top if top else 1.0)
        return _cosine(self.initial, low / 1e4, min((epoch - top) / (last - top), 1.0))


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
    "cosine": Cosine,
    "one_cycle": OneCycle,
}


def schedule_of(solver, learning_rate):
    """Return the subclass of `Schedule` for the parameters `solver` and `learning_rate`."""
    schedule = SCHEDULES[learning_rate]
    return schedule if solver == "sgd" or schedule.planned else Constant


def make_schedule(settings, rate=None):
    """Return the schedule of a fit, which starts at `rate` if that is given."""
    schedule = schedule_of(settings.solver, settings.learning_rate)
    return schedule(settings.learning_rate_init, settings.power_t, settings.max_iter, rate)
