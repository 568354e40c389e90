"""`folder:PATH`: image files, one folder for each class."""

from __future__ import annotations

from pathlib import Path

from sbn_deploy.data.class_folders import Files, Layout
from sbn_deploy.data.dataset import Dataset, Split, eight_bit
from sbn_deploy.data.decode import decode
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Stream
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.decode import decode as decoded
from sbn_runtime.decode import formats

KIND = "folder"


def load(folder: Path, split: Split, form: ImageForm) -> Dataset:
    """One split of PATH/train/CLASS/*, PATH/val/CLASS/* and PATH/test/CLASS/*, or of PATH/CLASS/*.

    Classes and images are taken in the order of their names. `val` may be called as in
    `VALIDATION_PARTS`, and both it and `test` may be missing, see `of_parts`. To test on, `test`
    alone is enough.

    Raises:
        ConfigError: no such folder, no images, fewer than two classes, a class without images,
            images of several sizes while the form has none, or classes that training lacks.
        MissingDependencyError: Pillow is missing.
    """
    layout = Layout.of(folder, split, KIND, _suffixes())

    def make(found: Files) -> Dataset:
        sources = ((readable(str(file)), file) for file in found.files)
        images = decode(sources, layout.name, form)
        names = readable_names(layout.classes)
        return eight_bit(layout.name, images, found.labels, names, form.fit, found.notes())

    return layout.load(split, make)


def stream(folder: Path, split: Split = "test") -> Stream:
    """One split, each file read when it is its turn.

    Raises what `load` raises, but not for files that are not images or differ in size.
    """
    return Layout.of(folder, split, KIND, _suffixes()).stream(decoded, split)


def _suffixes() -> set[str]:
    """Of image files that this installation reads. Raises MissingDependencyError."""
    return {suffix for known in formats().values() for suffix in known}
