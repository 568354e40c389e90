"""`npz:PATH`: a NumPy archive of images and labels, or of other inputs and targets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sbn_deploy.data import arrays as other
from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_deploy.data.stream import Indices, Pixels, Stream, digest, states
from sbn_runtime.errors import ConfigError

Shape = tuple[int, ...]


def load(path: Path, split: Split) -> Dataset:
    """One split of an archive.

    It holds `images` uint8 [N, H, W] or [N, H, W, C] and integer `labels` [N];
    if it has them, `test_images`, `test_labels` and `classes` (names). Without
    test images, each fifth image of a class is for testing. An archive with `y` is read
    by `sbn_deploy.data.arrays`. Pickled arrays are refused.

    Raises:
        ConfigError: the archive is missing, damaged, or holds something else.
    """
    with _opened(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if is_other(arrays):
        return other.load(arrays, path, _name(path), split)
    prefix = "test_" if split == "test" and "test_images" in arrays else ""
    images, labels = (
        _array(arrays, prefix + "images", path),
        _array(arrays, prefix + "labels", path),
    )
    _check(path, prefix, images.dtype, images.shape, labels)
    if "classes" in arrays:
        classes = [str(value) for value in arrays["classes"]]
    else:
        largest = int(_array(arrays, "labels", path).max(initial=0))
        classes = [str(index) for index in range(largest + 1)]
    if images.ndim == 3:
        images = images[..., np.newaxis]
    part = eight_bit(_name(path), images, labels, classes)
    if prefix:
        return part
    return (of_training_part if "test_images" in arrays else of_whole)(part, split)


def is_other(keys: Container[str]) -> bool:
    """Whether an archive with these arrays holds something else than images and their classes."""
    return "x" in keys or "y" in keys


def streams(path: Path) -> bool:
    """Whether `stream` reads the archive: not where it holds other inputs or targets.

    Raises ConfigError if it cannot be opened.
    """
    with _opened(path) as archive:
        return not is_other(archive.files)


def stream(path: Path) -> Stream:
    """The test split, its images read from the archive as they are needed.

    Only an array in Fortran's order is read whole. Raises what `load` raises, but not for
    labels that are not classes.
    """
    with _opened(path) as archive:
        keys = archive.files
        prefix = "test_" if "test_images" in keys else ""
        member = f"{prefix}images"
        for key in (member, f"{prefix}labels"):
            if key not in keys:
                raise _missing(path, key, keys)
        labels = archive[f"{prefix}labels"]
        classes = tuple(map(str, archive["classes"])) if "classes" in keys else None
        with archive.zip.open(f"{member}.npy") as file:
            shape, in_fortran, dtype = _header(file)
        _check(path, prefix, dtype, shape, labels)
        whole = archive[member] if in_fortran else None
    if labels.shape != (shape[0],):
        raise ConfigError(
            f"{path} has {shape[0]} images but labels of shape {labels.shape};"
            " it needs one label for each image"
        )
    height, width, channels = (*shape[1:], 1)[:3]

    def read(wanted: Indices) -> Iterator[Pixels]:
        rows = _rows(path, member, shape, wanted) if whole is None else (whole[i] for i in wanted)
        return (row.reshape(height, width, channels) for row in rows)

    labels = labels.astype(np.int64)
    result = Stream(
        name=_name(path),
        labels=labels,
        classes=classes,
        pixel_max=255,
        shape=(height, width, channels),
        title=lambda index: f"image {index}",
        read=read,
        fingerprint=digest(states([path], path.parent), labels.tobytes()),
    )
    return result if prefix else result.test_part()


def _rows(path: Path, member: str, shape: Shape, wanted: Indices) -> Iterator[Pixels]:
    """Rows of an array, read from front to back."""
    size = int(np.prod(shape[1:]))
    with _opened(path) as archive, archive.zip.open(f"{member}.npy") as file:
        _header(file)
        start = file.tell()
        for index in wanted:
            file.seek(start + int(index) * size)
            data = file.read(size)
            if len(data) < size:
                raise ValueError(f"{member} ends before image {index}")
            yield np.frombuffer(data, np.uint8)


def _header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type of an array in the .npy format."""
    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, in_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    return shape, in_fortran, dtype


def _check(
    path: Path, prefix: str, dtype: np.dtype[Any], shape: Shape, labels: NDArray[Any]
) -> None:
    if dtype != np.uint8 or len(shape) not in (3, 4):
        raise ConfigError(
            f"{path}: {prefix}images is {dtype} {list(shape)}; "
            "it must be uint8 [N, H, W] or [N, H, W, C]"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"{path}: {prefix}labels is {labels.dtype}; it must hold integers")


def _name(path: Path) -> str:
    return f"npz:{path.name}"


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The archive at `path`. What is found wrong with it inside becomes a ConfigError."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array")
            with archive:
                yield archive
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"cannot read {path}: {error}; it must be an archive of numpy.savez"
        ) from error


def _array(arrays: dict[str, NDArray[Any]], key: str, path: Path) -> NDArray[Any]:
    if key not in arrays:
        raise _missing(path, key, list(arrays))
    return arrays[key]


def _missing(path: Path, key: str, found: list[str]) -> ConfigError:
    return ConfigError(f"{path} has no array {key!r}; it holds {', '.join(found) or 'nothing'}")
