"""Callbacks for the parameter `callbacks` of the estimators.

:class:`Snapshots` records the weights during training. :class:`Checkpoint` saves the state of a fit
to a file, from which an interrupted fit continues. Callbacks of `skorch.callbacks` that work
per epoch can be used as well.
"""

from typing import TYPE_CHECKING

from torchmlp.callbacks.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torchmlp.callbacks.snapshots import (
        Snapshot,
        Snapshots,
        find_snapshots,
        recorded_snapshots,
    )

__all__ = ["Checkpoint", "Snapshot", "Snapshots", "find_snapshots", "recorded_snapshots"]


def __getattr__(name):
    # Imported lazily, because it imports skorch, which a fit without callbacks does not need.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torchmlp.callbacks import snapshots

    return getattr(snapshots, name)
