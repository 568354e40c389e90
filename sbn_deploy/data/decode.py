"""The images of a data set as one array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading.images import read_image
from sbn_runtime.errors import ConfigError, InputError, MissingDependencyError


def decode(sources: Iterable[tuple[str, bytes | Path]], name: str) -> NDArray[np.uint8]:
    """Images of one size as uint8 [N, H, W, C]; grey if all of them are, else RGB.

    Args:
        sources: what to call each image in a message, and its file or contents.
        name: the data set, for messages.

    Raises:
        ConfigError: an image cannot be read, or is of another size than the first.
        MissingDependencyError: Pillow is missing.
    """
    check_pillow()
    arrays: list[NDArray[np.uint8]] = []
    size: tuple[int, ...] = ()
    first = ""
    for title, source in sources:
        try:
            array = read_image(source)
        except InputError as error:
            raise ConfigError(f"{name}: {title} is {error}") from error
        if not size:
            size, first = array.shape[:2], title
        elif array.shape[:2] != size:
            raise ConfigError(
                f"{name}: {title} has {array.shape[0]}x{array.shape[1]} pixels, but {first} "
                f"{size[0]}x{size[1]}; resize all images to one size first"
            )
        arrays.append(array)
    if not arrays:
        raise ConfigError(f"{name} holds no images; give a data set with some")
    if all(array.ndim == 2 for array in arrays):
        return np.stack(arrays)[..., np.newaxis]
    return np.stack([in_colour(array) for array in arrays])


def in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of `read_image` as RGB [H, W, 3]."""
    return np.stack([image] * 3, axis=2) if image.ndim == 2 else image


def check_pillow() -> None:
    """Raises MissingDependencyError where Pillow is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "image files need Pillow; install it with `pip install sbn-deploy[train]`"
        ) from error
