"""Inputs given as paths: model files, and image files instead of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .decode import decode
from .errors import InputError, ModelError
from .preprocess import Preprocess, Standardize
from .sound import as_audio
from .table import SUFFIX, read_rows

Files = str | PathLike[str] | Sequence[str | PathLike[str]]
"""The path of a file that is read, or several."""
IN_MEMORY = Path("model in memory")


def opened(model: str | PathLike[str] | bytes | BinaryIO) -> tuple[Path, bytes | None]:
    """What to call a model, and its content, where it is not a path.

    Raises InputError for anything else, and ModelError for a file that cannot be read.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        return IN_MEMORY, bytes(model)
    if isinstance(model, str | PathLike):
        return Path(fspath(model)), None
    if not hasattr(model, "read"):
        raise InputError(f"a model is a path, bytes or an open file, not {type(model).__name__}")
    name = getattr(model, "name", None)
    path = Path(name) if isinstance(name, str) else IN_MEMORY
    try:
        content = model.read()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, bytes):
        raise InputError(f"{path}: was opened as text; open it with mode 'rb'")
    return path, content


def as_paths(given: Any) -> list[Path] | None:
    """The paths, if what is given is one or a sequence of them."""
    if isinstance(given, str | PathLike):
        return [Path(fspath(given))]
    several = isinstance(given, list | tuple) and len(given) > 0
    if several and all(isinstance(one, str | PathLike) for one in given):
        return [Path(fspath(one)) for one in given]
    return None


def as_pictures(given: Any, wanted: Preprocess | Standardize) -> NDArray[np.uint8] | None:
    """What a model that takes sounds makes of recordings, uint8 [N, H, W, 1].

    Of one [samples] or a sequence of them at the model's rate; None of anything else.

    Raises InputError for samples that are neither int16 nor floats in [-1, 1].
    """
    sound = wanted.sound if isinstance(wanted, Preprocess) else None
    several = given if isinstance(given, list | tuple) else [given]
    flat = len(several) > 0 and all(getattr(one, "ndim", 0) == 1 for one in several)
    if sound is None or not flat:
        return None
    return np.stack([sound.picture(as_audio(one)) for one in several])


def read_files(paths: Sequence[Path], wanted: Preprocess | Standardize) -> NDArray[Any]:
    """What files hold, not yet normalised.

    Image files, or WAV files for a model that takes sounds, as uint8 images [N, H, W, C]; CSV
    files, for a model that takes rows of numbers, as float32 [N, F] (`read_rows`).

    Raises:
        InputError: a file is missing or not readable; or an image of another size, where the
            model does not say how images are fitted.
        ModelError: the model takes no such files.
        MissingDependencyError: Pillow is missing.
    """
    if isinstance(wanted, Standardize):
        if all(path.suffix.lower() == SUFFIX for path in paths):
            return np.concatenate([read_rows(path, wanted) for path in paths])
        raise ModelError(f"the model takes numbers of shape {wanted.shape}, not images")
    images = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: No such file or directory")
        try:
            images.append(read_picture(path, wanted))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return np.stack(images)


def read_picture(source: Path | bytes, wanted: Preprocess) -> NDArray[np.uint8]:
    """One image file, or its content, as uint8 [H, W, C] in the network's size and range.

    Raises what `read_files` raises; the file is not named.
    """
    if wanted.sound is not None:
        return wanted.sound.picture_of(source)
    raster = decode(source)
    if not wanted.fit and raster.pixels.shape[:2] != (wanted.height, wanted.width):
        raise InputError(
            f"has {raster.pixels.shape[0]}x{raster.pixels.shape[1]} pixels (height x"
            f" width), and the model takes {wanted.height}x{wanted.width} and does not"
            " record how others are fitted; export it again"
        )
    return wanted.fitted(raster)
