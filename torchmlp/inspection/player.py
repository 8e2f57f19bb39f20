"""From single frames to an animation, a player and a file."""

import contextlib
import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

FIGSIZE, WIDTHS = (9, 3.8), (3, 2)  # of the figure, and of its two axes
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}


class PlayerMixin:
    """For a display with `epochs`, a `plot` that takes one of them, and `_show(frame)`."""

    if TYPE_CHECKING:  # the display's own attributes

        def __getattr__(self, name: str) -> Any: ...

    def animation(self, ax=None, *, fps=10, **kwargs):
        """Return an animation with one frame for each snapshot.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw, as in :meth:`plot`.
        fps : float, default=10
            Frames per second.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        animation : matplotlib.animation.FuncAnimation
            To be kept in a variable while it is shown, for example by ``plt.show()``.
        """
        from matplotlib.animation import FuncAnimation

        # a later plot() shall leave the animation its own lines
        drawn = copy.copy(self).plot(ax, epoch=self.epochs[0], **kwargs)
        n_frames = len(self.epochs)
        return FuncAnimation(drawn.figure_, drawn._show, n_frames, interval=1000 / fps)

    def to_jshtml(self, *, fps=10, **kwargs):
        """Return a web page with a player, for ``IPython.display.HTML`` or a file.

        Parameters
        ----------
        fps : float, default=10
            Frames per second.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        html : str
            The player, with every frame in it.
        """
        from matplotlib import rc_context

        with rc_context({"animation.embed_limit": np.inf}), self._drawn(fps, kwargs) as animation:
            return animation.to_jshtml(fps)

    def save(self, path, *, fps=10, dpi=None, **kwargs):
        """Write the animation to a file.

        Parameters
        ----------
        path : str or path-like
            Ends in ".gif", or in ".mp4", which needs ffmpeg.
        fps : float, default=10
            Frames per second.
        dpi : float, default=None
            Pixels per inch; None is matplotlib's ``savefig.dpi``.
        **kwargs : dict
            Passed to :meth:`plot`.

        Raises
        ------
        ValueError
            If the path ends in something else.
        RuntimeError
            If ffmpeg is needed and not there.
        """
        from matplotlib.animation import writers

        suffix = Path(path).suffix.lower()
        if suffix not in _WRITERS:
            raise ValueError(f"path={str(path)!r} must end in {' or '.join(_WRITERS)}.")
        if not writers.is_available(_WRITERS[suffix]):
            raise RuntimeError(
                f"path={str(path)!r} needs ffmpeg, which is not on the PATH. Install it, or save "
                "a .gif, or write what to_jshtml() returns to an .html file."
            )
        with self._drawn(fps, kwargs) as animation:
            animation.save(path, writer=_WRITERS[suffix], fps=fps, dpi=dpi)

    @contextlib.contextmanager
    def _drawn(self, fps, options):
        """Lend an animation in a figure of its own."""
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=FIGSIZE, layout="constrained")
        try:
            axes = figure.subplots(1, 2, width_ratios=WIDTHS)
            animation = self.animation(axes, fps=fps, **options)
            # The layout is the same for all frames, and found once.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            yield animation
        finally:
            plt.close(figure)
