"""`folder:PATH`: image files, one folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_training_part, of_whole
from sbn_deploy.data.decode import decode
from sbn_runtime.errors import ConfigError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".webp"})


def load(folder: Path, split: Split) -> Dataset:
    """One split of PATH/train/CLASS/* and PATH/test/CLASS/*, or of PATH/CLASS/*.

    Classes and images are taken in the order of their names. Without `test`,
    each fifth image of a class is for testing; of the rest, each tenth is for
    validation.

    Raises:
        ConfigError: no such folder, no images, images of several sizes, or
            classes for testing that training does not have.
        MissingDependencyError: Pillow is missing.
    """
    parted = (folder / "train").is_dir() and (folder / "test").is_dir()
    training = folder / "train" if parted else folder
    if not training.is_dir():
        raise ConfigError(f"no folder {training}; give one with a folder for each class")
    classes = [path.name for path in _folders(training)]
    if not classes:
        raise ConfigError(f"{folder} has no folders; it needs one for each class")
    if not parted:
        return of_whole(_read(folder, folder, classes), split)
    if split == "test":
        return _read(folder, folder / "test", classes)
    return of_training_part(_read(folder, training, classes), split)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _read(folder: Path, part: Path, classes: list[str]) -> Dataset:
    name = f"folder:{folder.name}"
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
    images = decode(((str(file), file) for file in files), name)
    return eight_bit(name, images, np.array(labels, dtype=np.int64), classes)
