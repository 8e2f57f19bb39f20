"""PlayerMixin: animations, HTML players and video files."""

import contextlib
import copy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchmlp import _typing as t

FIGSIZE, WIDTHS = (9, 3.8), (3, 2)  # size of the figure, width ratios of its two axes
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation


class PlayerMixin:
    """Mixin for displays with `epochs`, ``plot(ax, epoch=...)`` and ``_show(frame)``."""

    def animation(
        self, ax: t.AxesLike = None, *, fps: float = 10, **kwargs: Any
    ) -> "FuncAnimation":
        """Return an animation with one frame per snapshot.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two Axes, default=None
            Axes to plot on, as in :meth:`plot`.
        fps : float, default=10
            Frames per second.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        animation : matplotlib.animation.FuncAnimation
            The animation. Keep a reference to it until it is shown by ``plt.show()``.
        """
        from matplotlib.animation import FuncAnimation

        # A copy, since a later call of plot() replaces the artists of self.
        display = copy.copy(self).plot(ax, epoch=self.epochs[0], **kwargs)
        n_frames = len(self.epochs)
        return FuncAnimation(display.figure_, display._show, n_frames, interval=1000 / fps)

    def to_jshtml(self, *, fps: float = 10, **kwargs: Any) -> str:
        """Return an HTML player, for ``IPython.display.HTML`` or a file.

        Parameters
        ----------
        fps : float, default=10
            Frames per second.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        html : str
            The player, with all frames embedded.
        """
        from matplotlib import rc_context

        with (
            rc_context({"animation.embed_limit": np.inf}),
            self._animate(fps, kwargs) as animation,
        ):
            return animation.to_jshtml(fps)

    def save(
        self, path: str | PathLike[str], *, fps: float = 10, dpi: float | None = None, **kwargs: Any
    ) -> None:
        """Write the animation to a file.

        Parameters
        ----------
        path : str or path-like
            Path that ends in ".gif" or ".mp4". The latter requires ffmpeg.
        fps : float, default=10
            Frames per second.
        dpi : float, default=None
            Resolution in dots per inch. If `None`, ``rcParams["savefig.dpi"]``.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Raises
        ------
        ValueError
            If the file name extension is not supported.
        RuntimeError
            If ffmpeg is required but not found.
        """
        from matplotlib.animation import writers

        suffix = Path(path).suffix.lower()
        if suffix not in _WRITERS:
            raise ValueError(f"path={str(path)!r} must end in {' or '.join(_WRITERS)}.")
        if not writers.is_available(_WRITERS[suffix]):
            raise RuntimeError(
                f"path={str(path)!r} needs ffmpeg, which was not found on the PATH. Install it, or "
                "save a .gif, or write the result of to_jshtml() to an .html file."
            )
        with self._animate(fps, kwargs) as animation:
            animation.save(path, writer=_WRITERS[suffix], fps=fps, dpi=dpi)

    @contextlib.contextmanager
    def _animate(self, fps, options):
        """Yield an animation in a new figure, which is closed afterwards."""
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=FIGSIZE, layout="constrained")
        try:
            axes = figure.subplots(1, 2, width_ratios=WIDTHS)
            animation = self.animation(axes, fps=fps, **options)
            # The layout is the same for all frames, so it is computed once.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            yield animation
        finally:
            plt.close(figure)
