"""Image files of any usual format to arrays."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ConfigError, InputError, MissingDependencyError

GREY = ("1", "L")
UNREADABLE = "not a readable image"
# 32 bits without a known range.
UNSCALED = ("I", "F")


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
            array = decode_one(source)
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


def decode_one(source: bytes | Path) -> NDArray[np.uint8]:
    """An image as uint8, [H, W] if it is grey, else RGB [H, W, 3].

    Of 16 bits the upper 8 are taken, of an animation the first picture.

    Raises InputError if the file is not a readable image; Pillow must be there.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.mode.startswith("I;16"):
                return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
            if image.mode in UNSCALED:
                raise ValueError("its pixels have 32 bits; convert them to 8")
            return np.asarray(image.convert("L" if image.mode in GREY else "RGB"))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{UNREADABLE}: it is empty or of an unknown format") from error
    except Exception as error:  # Pillow's decoders raise whatever damaged files lead them to
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{UNREADABLE}: {reason}") from error


def in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of `decode_one` as RGB [H, W, 3]."""
    return np.stack([image] * 3, axis=2) if image.ndim == 2 else image


def check_pillow() -> None:
    """Raises MissingDependencyError where Pillow is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "image files need Pillow; install it with `pip install sbn-deploy[train]`"
        ) from error
