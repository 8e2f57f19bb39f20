"""Learning-rate schedules: name -> the rate for each epoch."""


class Constant:
    """The same rate throughout."""

    def __init__(self, initial, power_t=None, rate=None):
        self.initial = initial
        self.power_t = power_t
        self.rate = initial if rate is None else rate

    def epoch_ends(self, samples_seen):
        """Set the rate of the next epoch."""

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

    def epoch_ends(self, samples_seen):
        self.rate = self.initial / (samples_seen + 1) ** self.power_t


class Adaptive(Constant):
    """A fifth of the rate at every plateau, until it is at most 1e-6."""

    def plateau(self):
        if self.rate <= 1e-6:
            return True, "Learning rate too small. Stopping."
        self.rate /= 5.0
        return False, f"Setting learning rate to {self.rate:f}"


SCHEDULES = {"constant": Constant, "invscaling": InverseScaling, "adaptive": Adaptive}
