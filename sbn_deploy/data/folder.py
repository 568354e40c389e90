"""`folder:PATH`: image files, one folder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_deploy.data.decode import check_pillow, decode
from sbn_deploy.data.stream import Indices, Pixels, Stream, Unreadable, digest, states
from sbn_deploy.reading.images import read_image
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.errors import ConfigError, InputError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".webp"})


def load(folder: Path, split: Split) -> Dataset:
    """One split of PATH/train/CLASS/* and PATH/test/CLASS/*, or of PATH/CLASS/*.

    Classes and images are taken in the order of their names. Without `test`,
    each fifth image of a class is for testing; of the rest, each tenth is for
    validation. To test on, `test` alone is enough.

    Raises:
        ConfigError: no such folder, no images, images of several sizes, or
            classes for testing that training does not have.
        MissingDependencyError: Pillow is missing.
    """
    classes, parted = _classes(folder, split)
    if not parted:
        return of_whole(_read(folder, folder, classes), split)
    if split == "test":
        return _read(folder, folder / "test", classes)
    return of_training_part(_read(folder, folder / "train", classes), split)


def stream(folder: Path) -> Stream:
    """The test split, each file read when it is its turn.

    Raises what `load` raises, but not for files that are not images or differ in size.
    """
    check_pillow()
    classes, parted = _classes(folder, "test")
    files, labels = _files(folder / "test" if parted else folder, classes)
    whole = Stream(
        name=_name(folder),
        labels=labels,
        classes=readable_names(classes),
        pixel_max=255,
        shape=None,
        title=lambda index: readable(str(files[index])),
        read=lambda wanted: _images(files, wanted),
        fingerprint=digest(states(files, folder), labels.tobytes()),
    )
    return whole if parted else whole.test_part()


def _images(files: list[Path], wanted: Indices) -> Iterator[Pixels | Unreadable]:
    for index in wanted:
        try:
            yield read_image(files[index])
        except InputError as error:
            yield Unreadable(str(error))


def _name(folder: Path) -> str:
    return readable(f"folder:{folder.name}")


def _classes(folder: Path, split: Split) -> tuple[list[str], bool]:
    """Names of the classes, and whether there are parts for training and testing."""
    train, test = folder / "train", folder / "test"
    if not folder.is_dir():
        raise ConfigError(f"no folder {folder}; give one with a folder for each class")
    if train.is_dir() and test.is_dir():
        parted, named = True, train
    elif split == "test" and not train.is_dir() and test.is_dir() and _folders(test):
        parted, named = True, test
    else:
        parted, named = False, folder
    classes = [path.name for path in _folders(named)]
    if not classes:
        raise ConfigError(f"{folder} has no folders; it needs one for each class")
    return classes, parted


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _files(part: Path, classes: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    """The image files of a part, class by class, and their labels [N]."""
    found = [path for path in _folders(part) if path.name not in classes]
    if found:
        raise ConfigError(f"{found[0]} is a class that training does not have; remove it")
    files: list[Path] = []
    labels: list[int] = []
    for index, label in enumerate(classes):
        inside = (part / label).iterdir() if (part / label).is_dir() else iter(())
        of_class = sorted(file for file in inside if file.suffix.lower() in SUFFIXES)
        files += of_class
        labels += [index] * len(of_class)
    return files, np.array(labels, dtype=np.int64)


def _read(folder: Path, part: Path, classes: list[str]) -> Dataset:
    files, labels = _files(part, classes)
    images = decode(((readable(str(file)), file) for file in files), _name(folder))
    return eight_bit(_name(folder), images, labels, readable_names(classes))
