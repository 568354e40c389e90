"""Reads the files that `sbn predict` classifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.reading import npy
from sbn_runtime import InputError, ModelError, Preprocess, Session
from sbn_runtime.decode import decode
from sbn_runtime.table import SUFFIX

PIXEL_MODES = {1: "L", 3: "RGB"}


def read_input(file: Path, session: Session) -> NDArray[Any]:
    """What `session` computes on, such as float32 [N, C, H, W], from an image, CSV or .npy file.

    Numbers in a .npy file that are not uint8 are returned as they are, unless the model says
    how numbers are normalised.

    Raises:
        InputError: the file is missing, damaged, or does not fit the model.
        ModelError: an image is given to a model that does not say how to normalise it.
    """
    if file.suffix.lower() == SUFFIX:
        return session.preprocess(file)
    array = npy.read(file) if file.suffix == ".npy" else _read_image(file, session)
    try:
        if array.dtype == np.uint8:
            return session.preprocess(_as_batch(array))
        return _normalised(array, session)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _normalised(array: NDArray[Any], session: Session) -> NDArray[Any]:
    """Numbers as the data has them, for a model that was trained on numbers."""
    fields = session.metadata.get("preprocess")
    if not isinstance(fields, dict) or "shape" not in fields:
        return array
    numbers = array.astype(np.float32) if array.dtype.kind == "f" else array
    one = numbers.ndim == len(fields["shape"])
    return session.preprocess(numbers[np.newaxis] if one else numbers)


def _as_batch(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if images.ndim == 2:
        images = images[:, :, np.newaxis]
    return images[np.newaxis] if images.ndim == 3 else images


def _read_image(file: Path, session: Session) -> NDArray[np.uint8]:
    fields = session.metadata.get("preprocess")
    if not isinstance(fields, dict):
        raise ModelError(
            "the model does not record how images are normalised; give it a .npy file, or export it"
            " with --preprocess"
        )
    if "shape" in fields:
        kinds = "a .csv or .npy file" if len(fields["shape"]) == 1 else "a .npy file"
        raise InputError(f"{file}: the model takes numbers of {fields['shape']}; give it {kinds}")
    wanted = Preprocess.from_json(fields)
    if wanted.channels not in PIXEL_MODES:
        raise InputError(f"{file}: the model takes {wanted.channels} channels; give it a .npy file")
    if not file.exists():
        raise InputError(f"{file}: No such file or directory")
    if file.is_dir():
        raise InputError(f"{file}: is a folder; name the files in it, as {file}/*")
    try:
        if wanted.sound is not None:
            return wanted.sound.picture_of(file)
        raster = decode(file)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return wanted.fitted(raster) if wanted.fit else _stretched(raster.plain(), wanted)


def _stretched(pixels: NDArray[np.uint8], wanted: Preprocess) -> NDArray[np.uint8]:
    """As this verb did before files said how images get their size: by Pillow's box filter."""
    from PIL import Image

    image = Image.fromarray(pixels).convert(PIXEL_MODES[wanted.channels])
    if image.size != (wanted.width, wanted.height):
        image = image.resize((wanted.width, wanted.height), Image.Resampling.BOX)
    found = np.asarray(image, np.uint8).reshape(wanted.height, wanted.width, wanted.channels)
    scaled: NDArray[np.uint8] = np.rint(found * (wanted.pixel_max / 255)).astype(np.uint8)
    return scaled
