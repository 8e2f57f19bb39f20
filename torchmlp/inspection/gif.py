"""Animated GIF files with one palette for all frames."""

import numpy as np
from scipy.spatial import KDTree

_N_COLORS = 256


def save_gif(images, path, durations):
    """Write a GIF. As the frames share a palette, only their differences are stored.

    The palette covers all colors of the frames equally well, since a color of few pixels, such as
    that of a point, has a meaning.

    Parameters
    ----------
    images : list of PIL.Image.Image
        Frames of the same size, of mode "RGB".
    path : str or path-like
    durations : list of float
        Milliseconds for which each frame is shown.
    """
    packed = [np.asarray(image, dtype=np.int32) @ (1 << 16, 1 << 8, 1) for image in images]
    found = [np.unique(frame, return_inverse=True) for frame in packed]
    colors = _rgb(np.unique(np.concatenate([colors for colors, _ in found])))
    palette = _palette(colors, images[0].getpixel((0, 0)))
    tree = KDTree(palette)
    frames = [
        _indexed(tree.query(_rgb(colors))[1][inverse.reshape(frame.shape)], palette)
        for frame, (colors, inverse) in zip(packed, found, strict=True)
    ]
    frames[0].save(path, "gif", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _rgb(packed):
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


def _palette(colors, background):
    """Return the background and the colors that differ most from it and from each other."""
    palette, distance = [np.array(background)], np.full(len(colors), np.inf)
    for _ in range(_N_COLORS - 1):
        distance = np.minimum(distance, np.sum((colors - palette[-1]) ** 2, axis=1))
        palette.append(colors[distance.argmax()])
    return np.array(palette)


def _indexed(indices, palette):
    from PIL import Image

    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image
