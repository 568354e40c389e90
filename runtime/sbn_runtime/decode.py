"""Image files of any usual format to rasters. Pillow is imported when it is needed."""

from __future__ import annotations

import io
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError, MissingDependencyError, reason
from .raster import Mode, Raster

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Names of Pillow's formats that are read, with their suffixes. Others run programs (EPS) or load
plugins that are not needed here."""
PLUGINS = {
    "HEIF": ("pillow-heif", "pillow_heif", "register_heif_opener", (".heic", ".heif", ".hif")),
    "AVIF": ("pillow-avif-plugin", "pillow_avif", "", (".avif",)),
    "JXL": ("pillow-jxl-plugin", "pillow_jxl", "", (".jxl",)),
}
"""Formats that a package adds: its name, its module, what registers it, the suffixes."""
MOST_PIXELS = 89_478_485
"""Pillow's own limit, 256 MiB of RGB: a small file can claim any size."""
LARGE, DENSE = 4_000_000, 300
"""More pixels than LARGE are refused where each byte of the file would hold more than DENSE.

Decoding and conversion take up to 16 bytes a pixel.
"""
UNREADABLE = "not a readable image"
# Pillow's names for pixels; what is in none of these is converted to RGB.
MODES: dict[str, Mode] = {
    "L": "grey",
    "LA": "grey+alpha",
    "P": "palette",
    "RGB": "rgb",
    "RGBA": "rgba",
    "CMYK": "cmyk",
}
# 32 bits without a known range.
UNSCALED = ("I", "F")
ORIENTATION = 274
"""The tag of EXIF."""


def decode(source: bytes | Path) -> Raster:
    """An image file as it was stored: of an animation the first picture.

    Raises:
        InputError: not a readable image of one of `formats()`, more than `MOST_PIXELS`, or more
            than its bytes can hold (`DENSE`); the file is not named.
        MissingDependencyError: Pillow is not installed.
    """
    known = formats()
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of what it repairs, and of sizes that are refused below.
            warnings.simplefilter("ignore")
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            with Image.open(
                io.BytesIO(source) if isinstance(source, bytes) else source, formats=[*known]
            ) as image:
                return _raster(image, size)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{UNREADABLE}: it is empty or of an unknown format; use one of {', '.join(known)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{UNREADABLE}: {_too_many('too many')}") from error
    except Exception as error:
        raise InputError(f"{UNREADABLE}: {reason(error)}") from error


@cache
def formats() -> dict[str, tuple[str, ...]]:
    """The formats that this installation reads, with the suffixes of their files.

    Raises MissingDependencyError without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("image files need Pillow: pip install pillow") from error
    found = dict(FORMATS)
    Image.init()
    for name, (_, module, register, suffixes) in PLUGINS.items():
        try:
            plugin: Any = import_module(module)
        except ImportError:
            if name not in Image.OPEN:  # newer versions of Pillow read some of them
                continue
        else:
            if register:
                getattr(plugin, register)()
        found[name] = suffixes
    return found


def missing_package(suffix: str) -> str | None:
    """The package that reads files of this suffix, as ".heic", where it is not installed."""
    known = formats()
    for name, (package, _, _, suffixes) in PLUGINS.items():
        if suffix in suffixes and name not in known:
            return package
    return None


def _raster(image: Image.Image, size: int) -> Raster:
    count = image.width * image.height
    if count > MOST_PIXELS:
        raise ValueError(_too_many(f"{image.width} x {image.height}"))
    if count > max(LARGE, DENSE * size):
        raise ValueError(
            f"it claims {image.width} x {image.height} pixels in {size:,} bytes; make it smaller"
        )
    # Of TIFF files Pillow turns the picture itself, and then has no orientation any more.
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith("I;16"):
        return Raster(np.asarray(image).astype(np.uint16), "grey", orientation=orientation)
    if image.mode in UNSCALED:
        raise ValueError("its pixels have 32 bits; convert them to 8")
    if image.mode == "1":
        image = image.convert("L")
    transparent = image.has_transparency_data
    palette = None
    if image.mode == "P":
        kind = "RGBA" if transparent else "RGB"
        image.apply_transparency()
        palette = np.array(image.getpalette(kind) or (), np.uint8).reshape(-1, len(kind))
    elif transparent and image.mode not in ("LA", "RGBA"):
        image = image.convert("LA" if image.mode in ("L", "La") else "RGBA")
    elif image.mode not in MODES:
        image = image.convert("RGB")
    return Raster(np.asarray(image), MODES[image.mode], palette, orientation)


def _orientation(image: Image.Image) -> int:
    """What EXIF says; 1 where it says nothing, or is damaged: the picture may be whole."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return found if isinstance(found, int) else 1


def _too_many(pixels: str) -> str:
    return f"it has {pixels} pixels, more than {MOST_PIXELS:,}; make it smaller"
