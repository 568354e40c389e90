"""A folder of photos as people have them: sizes, kinds of pixels and orientations differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sbn_runtime.decode import ORIENTATION

CLASSES = ("apple", "pear", "plum")


def write_photos(
    folder: Path, each: int, *, seed: int = 0, suffix: str = ".png", classes: Any = CLASSES
) -> Path:
    """Images `folder`/CLASS/NN: a bright stripe whose place tells the class, and noise.

    Sizes 12 to 40; every fourth is grey, every fifth has a palette, every sixth alpha, every
    seventh is CMYK (in TIFF) or of 16 bits; orientations go round.
    """
    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            rows, columns = rng.integers(12, 41, 2)
            pixels = rng.integers(0, 100, (rows, columns, 3))
            pixels[label * rows // len(classes) : (label + 1) * rows // len(classes)] += 150
            image = Image.fromarray(pixels.astype(np.uint8))
            kind = suffix
            if index % 4 == 3:
                image = image.convert("L")
            elif index % 5 == 4:
                image = image.quantize(40)
            elif index % 6 == 5:
                image.putalpha(200)
            elif index % 7 == 6:
                image, kind = image.convert("CMYK"), ".tiff"
            elif index % 11 == 10:
                deep = np.asarray(image.convert("L")).astype(np.uint16) * 200
                image = Image.fromarray(deep)
            # As a camera stores it that was turned: the picture is upright again with EXIF.
            orientation = 1 + index % 8
            stored = _turned_back(image, orientation)
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            if kind == ".jpg":
                stored = stored.convert("RGB")
            stored.save(folder / name / f"{index:03}{kind}", exif=exif)
    return folder


def _turned_back(image: Image.Image, orientation: int) -> Image.Image:
    """What has to be stored so that `orientation` shows the image."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image if orientation == 1 else image.transpose(turns[orientation])
