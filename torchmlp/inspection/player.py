"""PlayerMixin: animations, HTML players and video files."""

import copy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from torchmlp import _typing as t
from torchmlp.inspection.gif import save_gif
from torchmlp.inspection.html_player import FORMATS, html_player
from torchmlp.inspection.style import check_choice

FIGSIZE, WIDTHS = (9, 3.8), (3, 2)  # size of the figure, width ratios of its two axes
_WRITERS = {".gif": "pillow", ".mp4": "ffmpeg"}
_END_PAUSE = 1500  # milliseconds for which players and GIFs show the last frame, at least
_MAX_NOTEBOOK_FRAMES = 50

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

        display = self._drawn(ax, kwargs)
        n_frames = len(self.epochs)
        return FuncAnimation(display.figure_, display._show, n_frames, interval=1000 / fps)

    def to_jshtml(
        self,
        *,
        fps: float = 10,
        dpi: float = 80,
        epochs: t.Epochs | None = None,
        image_format: Literal["webp", "jpeg", "png"] = "webp",
        **kwargs: Any,
    ) -> str:
        """Return an HTML player, for ``IPython.display.HTML`` or a file.

        The player needs no network. If JavaScript is not available, it shows the last frame.

        Parameters
        ----------
        fps : float, default=10
            Frames per second.
        dpi : float, default=80
            Resolution in dots per inch.
        epochs : sequence of int, default=None
            Epochs to show, which must be among those of the attribute `epochs`. If `None`, all of
            them.
        image_format : {"webp", "jpeg", "png"}, default="webp"
            Format of the frames. "png" is lossless, and several times larger than the others.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Returns
        -------
        html : str
            The player, with all frames embedded.

        Raises
        ------
        ValueError
            If `image_format` is invalid, or there is no snapshot of one of `epochs`.
        """
        check_choice("image_format", image_format, tuple(FORMATS))
        frames = self._frames_of(epochs)
        return html_player(
            self._images(frames, dpi, kwargs),
            interval=1000 / fps,
            end_pause=max(_END_PAUSE, 1000 / fps),
            image_format=image_format,
            description=f"Predictions and loss from epoch {self.epochs[frames[0]]} to "
            f"{self.epochs[frames[-1]]}",
        )

    def save(
        self,
        path: str | PathLike[str],
        *,
        fps: float = 10,
        dpi: float | None = None,
        epochs: t.Epochs | None = None,
        **kwargs: Any,
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
        epochs : sequence of int, default=None
            Epochs to show, which must be among those of the attribute `epochs`. If `None`, all of
            them.
        **kwargs : dict
            Additional arguments passed to :meth:`plot`.

        Raises
        ------
        ValueError
            If the file name extension is not supported, or there is no snapshot of one of
            `epochs`.
        RuntimeError
            If ffmpeg is required but not found.
        """
        from matplotlib.animation import FuncAnimation, writers

        suffix = Path(path).suffix.lower()
        if suffix not in _WRITERS:
            raise ValueError(f"path={str(path)!r} must end in {' or '.join(_WRITERS)}.")
        if not writers.is_available(_WRITERS[suffix]):
            raise RuntimeError(
                f"path={str(path)!r} needs ffmpeg, which was not found on the PATH. Install it, or "
                "save a .gif, or write the result of to_jshtml() to an .html file."
            )
        frames = self._frames_of(epochs)
        if suffix == ".gif":
            durations = [1000 / fps] * (len(frames) - 1) + [max(_END_PAUSE, 1000 / fps)]
            save_gif(self._images(frames, dpi, kwargs), path, durations)
        else:
            display = self._drawn(_axes_to_save(dpi), kwargs)
            animation = FuncAnimation(display.figure_, display._show, frames)
            options: dict[str, Any] = {"fps": fps}  # a float, which writers accept
            animation.save(str(path), writer=_WRITERS[suffix], **options)

    def _repr_html_(self):
        """Return the player that a notebook shows, with at most 50 frames.

        It replaces the figure drawn before, unless that figure contains other axes.
        """
        import matplotlib.pyplot as plt

        if len(getattr(self, "axes_", ())) and set(self.figure_.axes) <= self._own_axes():
            plt.close(self.figure_)
        n_frames = len(self.epochs)
        shown = np.linspace(0, n_frames - 1, min(n_frames, _MAX_NOTEBOOK_FRAMES)).round()
        return self.to_jshtml(epochs=np.asarray(self.epochs)[shown.astype(int)])

    def _frame_of(self, epoch):
        (frames,) = np.nonzero(np.asarray(self.epochs) == epoch)
        if not len(frames):
            raise ValueError(
                f"epoch={epoch!r} has no snapshot. Use one of the epochs "
                f"{', '.join(map(str, self.epochs))}."
            )
        return int(frames[0])

    def _frames_of(self, epochs):
        if epochs is None:
            return list(range(len(self.epochs)))
        if not len(epochs):
            raise ValueError("epochs=[] is empty. Pass at least one epoch, or None for all.")
        return [self._frame_of(epoch) for epoch in epochs]

    def _drawn(self, ax, options):
        """Return a copy of the display, drawn at its first frame.

        A later call of plot() on the display does not replace the artists of the copy.
        """
        return copy.copy(self).plot(ax, epoch=self.epochs[0], **options)

    def _images(self, frames, dpi, options):
        """Return an image of each frame."""
        from PIL import Image

        display = self._drawn(_axes_to_save(dpi), options)
        figure = display.figure_
        # The layout is the same for all frames, so it is computed once.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        images = []
        for frame in frames:
            display._show(frame)
            figure.canvas.draw()
            images.append(Image.fromarray(np.array(figure.canvas.buffer_rgba())).convert("RGB"))
        return images


def _axes_to_save(dpi):
    """Return two axes of a new figure that is not known to pyplot."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = rcParams["savefig.dpi"] if dpi is None else dpi
    dpi = rcParams["figure.dpi"] if dpi == "figure" else dpi
    figure = Figure(figsize=FIGSIZE, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots(1, 2, width_ratios=WIDTHS)
