"""Learning-rate schedules: name -> the rate for each epoch."""

import math


class Constant:
    """The same rate throughout.

    Parameters
    ----------
    initial : float
        The estimator's `learning_rate_init`.
    power_t : float
    n_epochs : int
        The estimator's `max_iter`.
    rate : float, optional
        The rate to continue with.

    Attributes
    ----------
    planned : bool
        Whether the rates are planned for `n_epochs`, so that a fit follows them to the end. Such
        a schedule serves every stochastic solver, the others only "sgd".
    """

    planned = False

    def __init__(self, initial, power_t=0.5, n_epochs=200, rate=None):
        self.initial, self.power_t, self.n_epochs = initial, power_t, n_epochs
        self.rate = self.rate_of(0) if rate is None else rate

    def rate_of(self, epoch):
        """Rate of an epoch, counted from 0, where it depends on nothing else."""
        return self.initial

    def epoch_ends(self, epoch, samples_seen):
        """Set the rate after this many epochs, counted from 1, and samples."""

    def plateau(self):
        """React to a loss or score that has stopped improving.

        Returns
        -------
        stop : bool
        note : str
            What to add to the message for the user.
        """
        return True, "Stopping."


class InverseScaling(Constant):
    """rate = initial / (samples seen + 1) ** power_t."""

    def epoch_ends(self, epoch, samples_seen):
        self.rate = self.initial / (samples_seen + 1) ** self.power_t


class Adaptive(Constant):
    """A fifth of the rate at every plateau, until it is at most 1e-6."""

    def plateau(self):
        if self.rate <= 1e-6:
            return True, "Learning rate too small. Stopping."
        self.rate /= 5.0
        return False, f"Setting learning rate to {self.rate:f}"


def _cosine(start, stop, share):
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


class Cosine(Constant):
    """From the initial rate to 0 along half a cosine (arXiv:1608.03983, without restarts)."""

    planned = True

    def rate_of(self, epoch):
        return _cosine(self.initial, 0.0, epoch / self.n_epochs)

    def epoch_ends(self, epoch, samples_seen):
        self.rate = self.rate_of(epoch)


class OneCycle(Cosine):
    """From 1/25 of the initial rate up to it in 30 % of the epochs, then down to 1/250000.

    Both along half a cosine, as torch.optim.lr_scheduler.OneCycleLR (arXiv:1708.07120).
    """

    def rate_of(self, epoch):
        low, last = self.initial / 25, max(self.n_epochs - 1, 1)
        top = max(0.3 * self.n_epochs - 1, 0)
        if epoch <= top:
            return _cosine(low, self.initial, epoch / top if top else 1.0)
        return _cosine(self.initial, low / 1e4, min((epoch - top) / (last - top), 1.0))


SCHEDULES: dict[str, type[Constant]] = {
    "constant": Constant,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
    "cosine": Cosine,
    "one_cycle": OneCycle,
}


def schedule_of(solver, learning_rate):
    """Return the class of the schedule in force for the estimator's parameters."""
    schedule = SCHEDULES[learning_rate]
    return schedule if solver == "sgd" or schedule.planned else Constant


def make_schedule(settings, rate=None):
    """Return the schedule for the settings of a fit, which continues at a rate if one is given."""
    schedule = schedule_of(settings.solver, settings.learning_rate)
    return schedule(settings.learning_rate_init, settings.power_t, settings.max_iter, rate)
