"""`npz:PATH`: a NumPy archive of images and labels."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_runtime.errors import ConfigError


def load(path: Path, split: Split) -> Dataset:
    """One split of an archive.

    It holds `images` uint8 [N, H, W] or [N, H, W, C] and integer `labels` [N];
    if it has them, `test_images`, `test_labels` and `classes` (names). Without
    test images, each fifth image of a class is for testing. Pickled arrays are
    refused.

    Raises:
        ConfigError: the archive is missing, damaged, or holds something else.
    """
    name = f"npz:{path.name}"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"cannot read {path}: {error}; it must be an archive of numpy.savez"
        ) from error
    prefix = "test_" if split == "test" and "test_images" in arrays else ""
    images, labels = (
        _array(arrays, prefix + "images", path),
        _array(arrays, prefix + "labels", path),
    )
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ConfigError(
            f"{path}: {prefix}images is {images.dtype} {list(images.shape)}; "
            "it must be uint8 [N, H, W] or [N, H, W, C]"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"{path}: {prefix}labels is {labels.dtype}; it must hold integers")
    if "classes" in arrays:
        classes = [str(value) for value in arrays["classes"]]
    else:
        largest = int(_array(arrays, "labels", path).max(initial=0))
        classes = [str(index) for index in range(largest + 1)]
    if images.ndim == 3:
        images = images[..., np.newaxis]
    part = eight_bit(name, images, labels, classes)
    if prefix:
        return part
    return (of_training_part if "test_images" in arrays else of_whole)(part, split)


def _array(arrays: dict[str, NDArray[Any]], key: str, path: Path) -> NDArray[Any]:
    if key not in arrays:
        raise ConfigError(f"{path} has no array {key!r}; it holds {', '.join(arrays) or 'nothing'}")
    return arrays[key]
