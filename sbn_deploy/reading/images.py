"""Image files of any usual format to arrays. Pillow is imported when it is needed."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading.parsing import reason
from sbn_runtime.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Others run programs (EPS) or load plugins that nobody needs here."""
MOST_PIXELS = 89_478_485
"""Pillow's own limit, 256 MiB of RGB: a small file can claim any size."""
LARGE, DENSE = 4_000_000, 300
"""More pixels than LARGE are refused where each byte of the file would hold more than DENSE.

Decoding and conversion take up to 16 bytes a pixel.
"""
UNREADABLE = "not a readable image"
GREY = ("1", "L")
# 32 bits without a known range.
UNSCALED = ("I", "F")


def read_image(source: bytes | Path) -> NDArray[np.uint8]:
    """An image as uint8, [H, W] if it is grey, else RGB [H, W, 3].

    Of 16 bits the upper 8 are taken, of an animation the first picture.

    Raises:
        InputError: not a readable image of one of `FORMATS`, more than `MOST_PIXELS`, or more
            than its bytes can hold (`DENSE`); the file is not named. Pillow must be there.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of what it repairs, and of sizes that are refused below.
            warnings.simplefilter("ignore")
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            with Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
            ) as image:
                return _pixels(image, size)
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise InputError(
            f"{UNREADABLE}: it is empty or of an unknown format; use one of {known}"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{UNREADABLE}: {_too_many('too many')}") from error
    except Exception as error:
        raise InputError(f"{UNREADABLE}: {reason(error)}") from error


def _pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    count = image.width * image.height
    if count > MOST_PIXELS:
        raise ValueError(_too_many(f"{image.width} x {image.height}"))
    if count > max(LARGE, DENSE * size):
        raise ValueError(
            f"it claims {image.width} x {image.height} pixels in {size:,} bytes; make it smaller"
        )
    if image.mode.startswith("I;16"):
        return (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
    if image.mode in UNSCALED:
        raise ValueError("its pixels have 32 bits; convert them to 8")
    return np.asarray(image.convert("L" if image.mode in GREY else "RGB"))


def _too_many(pixels: str) -> str:
    return f"it has {pixels} pixels, more than {MOST_PIXELS:,}; make it smaller"
