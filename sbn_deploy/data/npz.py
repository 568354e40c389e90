"""`npz:PATH`: a NumPy archive of images and labels, or of other inputs and targets."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import arrays as other
from sbn_deploy.data.arrays import class_names
from sbn_deploy.data.dataset import (
    Dataset,
    Split,
    eight_bit,
    numbered,
    of_training_part,
    of_whole,
)
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Indices, Pixels, Stream, digest, states
from sbn_deploy.reading.npz import Archive
from sbn_deploy.reading.text import readable
from sbn_runtime.errors import ConfigError

Shape = tuple[int, ...]


def load(path: Path, split: Split, _: ImageForm) -> Dataset:
    """One split of an archive.

    It holds `images` uint8 [N, H, W] or [N, H, W, C] and integer `labels` [N];
    if it has them, `test_images`, `test_labels` and `classes` (names). Without
    test images, each fifth image of a class is for testing. An archive with `y` is read
    by `sbn_deploy.data.arrays`. Pickled arrays are refused.

    Raises:
        ConfigError: the archive is missing, damaged, or holds something else.
    """
    with Archive(path) as arrays:
        if is_other(arrays):
            return other.load(arrays, path, _name(path), split)
        own = "test_images" in arrays
        prefix = "test_" if split == "test" and own else ""
        images, labels = _array(arrays, f"{prefix}images", path), _labels(arrays, prefix, path)
        _check(path, f"{prefix}images", images.dtype, images.shape)
        if "classes" in arrays:
            classes = class_names(arrays, path)
        else:
            classes = numbered(_labels(arrays, "", path), _name(path))
    if images.ndim == 3:
        images = images[..., np.newaxis]
    part = eight_bit(_name(path), images, labels, classes)
    if prefix:
        return part
    return (of_training_part if own else of_whole)(part, split)


def is_other(keys: Container[str]) -> bool:
    """Whether an archive with these arrays holds something else than images and their classes."""
    return "x" in keys or "y" in keys


def streams(path: Path) -> bool:
    """Whether `stream` reads the archive: not where it holds other inputs or targets.

    Raises ConfigError if it cannot be opened.
    """
    with Archive(path) as archive:
        return not is_other(archive)


def stream(path: Path) -> Stream:
    """The test split, its images read from the archive as they are needed.

    Only an array in Fortran's order is read whole. Raises what `load` raises, but not for
    labels that are not classes.
    """
    with Archive(path) as archive:
        prefix = "test_" if "test_images" in archive else ""
        member = f"{prefix}images"
        if member not in archive:
            raise _missing(path, member, archive)
        labels = _labels(archive, prefix, path)
        classes = class_names(archive, path) if "classes" in archive else None
        header = archive.header(member)
        shape = header.shape
        _check(path, member, header.dtype, shape)
        whole = archive[member] if header.in_fortran_order else None
    if labels.shape != (shape[0],):
        raise ConfigError(
            f"{path} has {shape[0]} images but labels of shape {labels.shape};"
            " it needs one label for each image"
        )
    height, width, channels = (*shape[1:], 1)[:3]

    def read(wanted: Indices) -> Iterator[Pixels]:
        with Archive(path) as archive:
            rows = archive.rows(member, wanted) if whole is None else (whole[i] for i in wanted)
            for row in rows:
                yield row.reshape(height, width, channels)

    result = Stream(
        name=_name(path),
        labels=labels,
        classes=classes,
        pixel_max=255,
        shape=(height, width, channels),
        title=lambda index: f"image {index}",
        read=read,
        fingerprint=lambda: digest(states([path], path.parent), labels.tobytes()),
    )
    return result if prefix else result.test_part()


def _check(path: Path, name: str, dtype: np.dtype[Any], shape: Shape) -> None:
    if dtype != np.uint8 or len(shape) not in (3, 4):
        raise ConfigError(
            f"{path}: {name} is {dtype} {list(shape)}; it must be uint8 [N, H, W] or [N, H, W, C]"
        )


def _labels(arrays: other.Arrays, prefix: str, path: Path) -> NDArray[np.int64]:
    name = f"{prefix}labels"
    labels = _array(arrays, name, path)
    if labels.dtype.kind not in "iu":
        raise ConfigError(f"{path}: {name} is {labels.dtype}; it must hold integers")
    return other.as_int64(labels, f"{path}: {name}")


def _name(path: Path) -> str:
    return readable(f"npz:{path.name}")


def _array(arrays: other.Arrays, key: str, path: Path) -> NDArray[Any]:
    if key not in arrays:
        raise _missing(path, key, arrays)
    return arrays[key]


def _missing(path: Path, key: str, found: Iterable[str]) -> ConfigError:
    return ConfigError(f"{path} has no array {key!r}; it holds {', '.join(found) or 'nothing'}")
