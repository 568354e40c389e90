"""Image files of any usual format to one array."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ConfigError, MissingDependencyError

GREY = ("1", "L")


def decode(sources: Iterable[tuple[str, bytes | Path]], name: str) -> NDArray[np.uint8]:
    """Images of one size as uint8 [N, H, W, C]; grey if all of them are, else RGB.

    Args:
        sources: what to call each image in a message, and its file or contents.
        name: the data set, for messages.

    Raises:
        ConfigError: an image cannot be read, or is of another size than the first.
        MissingDependencyError: Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError(
            "image files need Pillow; install it with `pip install sbn-deploy[train]`"
        ) from error

    arrays: list[NDArray[np.uint8]] = []
    size: tuple[int, ...] = ()
    first = ""
    for title, source in sources:
        try:
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                grey = image.mode in GREY
                array = np.asarray(image.convert("L" if grey else "RGB"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}: {title} is no image that can be read: {error}") from error
        if not size:
            size, first = array.shape[:2], title
        elif array.shape[:2] != size:
            raise ConfigError(
                f"{name}: {title} has {array.shape[0]}x{array.shape[1]} pixels, but {first} "
                f"{size[0]}x{size[1]}; bring all images to one size first"
            )
        arrays.append(array)
    if not arrays:
        raise ConfigError(f"{name} holds no images; give a data set with some")
    if all(array.ndim == 2 for array in arrays):
        return np.stack(arrays)[..., np.newaxis]
    colour = [np.stack([a] * 3, axis=2) if a.ndim == 2 else a for a in arrays]
    return np.stack(colour)
