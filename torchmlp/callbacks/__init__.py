"""Callbacks for the parameter `callbacks` of the estimators.

:class:`Snapshots` keeps the weights while a network is trained. Those of `skorch.callbacks` that
work by epoch can be used beside it.
"""

__all__ = ["Snapshot", "Snapshots", "find_snapshots", "recorded_snapshots"]


def __getattr__(name):
    # Imports skorch, which a fit without its callbacks does not need.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torchmlp.callbacks import snapshots

    return getattr(snapshots, name)
