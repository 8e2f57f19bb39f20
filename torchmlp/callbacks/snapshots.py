"""The callback `Snapshots`, which records weights and gradients during training."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from torchmlp.meta_estimators import unwrap


@dataclass(frozen=True)
class Snapshot:
    """Weights and gradients of a network after an epoch.

    Attributes
    ----------
    epoch : int
        Number of epochs of training. 0 for the untrained network.
    loss : float or None
        Training loss of the epoch, as in `loss_curve_`. None for the untrained network.
    coefs, intercepts : list of ndarrays
        Weights of each layer, of shape (fan_in, fan_out) and (fan_out,), as `coefs_` and
        `intercepts_`.
    coefs_gradient, intercepts_gradient : list of ndarrays or None
        Gradient of the loss of the last batch of the epoch, including the L2 regularization term
        (except for 'adamw') and after clipping, in the same shapes. None in the first snapshot.
        With ``normalize_y=True``, this is the gradient of the loss of the scaled targets with
        respect to the weights for them, as the solver uses it.

    See Also
    --------
    Snapshots : The callback that records snapshots.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import Snapshots, find_snapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier((5,), tol=0.5, callbacks=[Snapshots()], random_state=0)
    >>> last = find_snapshots(clf.fit(X, y))[-1]
    >>> last.epoch, last.loss == clf.loss_, last.coefs_gradient[0].shape
    (12, True, (4, 5))
    """

    epoch: int
    loss: float | None
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    coefs_gradient: list[np.ndarray] | None = None
    intercepts_gradient: list[np.ndarray] | None = None


class Snapshots(Callback):
    """Records the weights and gradients of a network during training.

    The snapshots are used by :class:`~torchmlp.inspection.TrainingAnimation` and
    :class:`~torchmlp.inspection.WeightsDisplay`. The callback does not change the result of the
    fit.

    The first snapshot is taken before the first step, the last one after the last epoch, and one
    every `every` epochs in between. If there are more than `max_snapshots`, every second one is
    removed and the interval is doubled. The remaining snapshots are evenly spaced, except for the
    last one, which may be closer to the previous one.

    Each call of `fit` starts a new list. With a warm start, the first snapshot contains the weights
    of the previous fit. Calls of `partial_fit` append to the list, so that n calls give the same
    snapshots as ``fit`` with ``max_iter=n``.

    Parameters
    ----------
    every : int, default=1
        Number of epochs between snapshots.

    max_snapshots : int, default=100
        Maximum number of snapshots, at least 2. Each snapshot needs twice the memory of the
        weights, in the estimator and in its pickles.

    Attributes
    ----------
    snapshots_ : list of Snapshot
        The snapshots in the order of the epochs. Each has the attributes `epoch`, `loss`, `coefs`,
        `intercepts`, `coefs_gradient` and `intercepts_gradient`. The last four are lists with one
        NumPy array per layer. The gradients are those of the last step of the epoch.

    See Also
    --------
    find_snapshots : The snapshots of a fitted estimator, also inside a Pipeline, a search or a
        TransformedTargetRegressor.

    Notes
    -----
    - ``solver="lbfgs"`` does not support this callback, because it has no epochs.
    - Weights that early stopping or another callback restores after the last epoch are not
      recorded.
    - If a callback stops training, the callbacks after it in the list are not called for the last
      epoch. Put this callback first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import Snapshots, find_snapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TorchMLPClassifier(
    ...     (5,), max_iter=12, tol=0.5, callbacks=[Snapshots(every=5)], random_state=0
    ... ).fit(X, y)
    >>> snapshots = find_snapshots(clf)
    >>> [snapshot.epoch for snapshot in snapshots]
    [0, 5, 10, 12]
    >>> [coefs.shape for coefs in snapshots[0].coefs]
    [(4, 5), (5, 3)]
    >>> bool((snapshots[-1].coefs[0] == clf.coefs_[0]).all())
    True
    """

    snapshots_: list[Snapshot]

    def __init__(self, every: int = 1, max_snapshots: int = 100) -> None:
        self.every = every
        self.max_snapshots = max_snapshots

    def initialize(self):
        """Check the parameters."""
        for name, least in (("every", 1), ("max_snapshots", 2)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"Snapshots: {name}={value!r} must be an int >= {least}.")
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Take the first snapshot, unless `partial_fit` continues from the last snapshot."""
        first = _snapshot(net, with_gradient=False)
        if net.inputs.incremental and _same_weights(getattr(self, "snapshots_", ()), first):
            return
        self.snapshots_ = [first]
        self._stride_ = self.every

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Take a snapshot. Replace the previous one unless it is due every `every` epochs."""
        kept = self.snapshots_
        if not self._is_due(kept[-1]):
            kept.pop()
        kept.append(_snapshot(net, with_gradient=True))
        if len(kept) > self.max_snapshots:
            self._stride_ *= 2
            kept[:-1] = filter(self._is_due, kept[:-1])

    def _is_due(self, snapshot):
        return (snapshot.epoch - self.snapshots_[0].epoch) % self._stride_ == 0


def _snapshot(net, with_gradient):
    losses = net.state.progress.loss_curve
    return Snapshot(
        len(losses),
        losses[-1] if losses else None,
        *net.inputs.weights_of(net.state),
        *(net.state.gradient.to_numpy() if with_gradient else ()),
    )


def _same_weights(snapshots, other):
    """Return whether the last of the snapshots has the epoch and the weights of `other`."""
    if not snapshots or snapshots[-1].epoch != other.epoch:
        return False
    mine, theirs = ([*s.coefs, *s.intercepts] for s in (snapshots[-1], other))
    return len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))


def recorded_snapshots(mlp: Any) -> list[Snapshot]:
    """Return the snapshots of the `Snapshots` callback of a fitted network, or an empty list.

    Parameters
    ----------
    mlp : TorchMLPClassifier or TorchMLPRegressor
        A fitted network.

    Returns
    -------
    list of Snapshot

    Raises
    ------
    ValueError
        If the snapshots were recorded in another fit.

    See Also
    --------
    find_snapshots : Also searches a Pipeline, a search or a TransformedTargetRegressor, and raises
        an error if there are no snapshots.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import recorded_snapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> recorded_snapshots(TorchMLPClassifier((5,), solver="lbfgs", random_state=0).fit(X, y))
    []
    """
    items = [
        item[1] if isinstance(item, (list, tuple)) else item
        for item in getattr(mlp, "callbacks", None) or ()
    ]
    recorders = [item for item in items if isinstance(item, Snapshots)]
    snapshots = getattr(recorders[0], "snapshots_", []) if recorders else []
    if snapshots and not _losses_agree(snapshots, mlp.loss_curve_):
        raise ValueError(
            "The snapshots were recorded in another fit, which either failed or was that of "
            "another estimator with the same Snapshots object. Fit again, with a separate "
            "Snapshots object for each estimator."
        )
    return snapshots


def _losses_agree(snapshots, loss_curve):
    if snapshots[-1].epoch > len(loss_curve):
        return False
    recorded = np.array([snapshot.loss for snapshot in snapshots], dtype=float)
    expected = np.array([None, *loss_curve], dtype=float)[[s.epoch for s in snapshots]]
    return np.array_equal(recorded, expected, equal_nan=True)


def find_snapshots(estimator: Any) -> list[Snapshot]:
    """Return the snapshots of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A TorchMLPClassifier or TorchMLPRegressor that was fitted with a :class:`Snapshots` in
        `callbacks`, or a Pipeline, a search or a TransformedTargetRegressor that contains one.

    Returns
    -------
    snapshots : list of Snapshot
        In the order of the epochs.

    Raises
    ------
    NotFittedError
        If the Pipeline, the search or the TransformedTargetRegressor is not fitted.
    ValueError
        If there are no snapshots, or if they were recorded in another fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from torchmlp import TorchMLPClassifier
    >>> from torchmlp.callbacks import Snapshots, find_snapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> mlp = TorchMLPClassifier(max_iter=4, tol=10, n_iter_no_change=2, callbacks=[Snapshots()])
    >>> pipeline = make_pipeline(StandardScaler(), mlp).fit(X, y)
    >>> len(find_snapshots(pipeline))
    5
    """
    mlp = unwrap(estimator).estimator
    snapshots = recorded_snapshots(mlp)
    if not snapshots:
        raise ValueError(
            f"estimator={mlp!r} has no snapshots. Set callbacks=[torchmlp.callbacks.Snapshots()] "
            "and fit again."
        )
    return snapshots
