"""`folder:PATH`: image files, one folder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sbn_deploy.data.class_folders import TEST, TRAIN, Layout
from sbn_deploy.data.dataset import Dataset, Split, eight_bit, of_parts
from sbn_deploy.data.decode import decode
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Encoded, Indices, Stream, Unreadable, digest, states
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.decode import decode as decoded
from sbn_runtime.decode import formats
from sbn_runtime.errors import InputError

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

    def read(part: str) -> Dataset:
        found = layout.files(part)
        if part == TRAIN or not layout.train:
            found.check_classes()
        sources = ((readable(str(file)), file) for file in found.files)
        images = decode(sources, layout.name, form)
        names = readable_names(layout.classes)
        return eight_bit(layout.name, images, found.labels, names, form.fit, found.notes())

    return of_parts(split, read, layout.parts)


def stream(folder: Path) -> Stream:
    """The test split, each file read when it is its turn.

    Raises what `load` raises, but not for files that are not images or differ in size.
    """
    layout = Layout.of(folder, "test", KIND, _suffixes())
    part = TEST if TEST in layout.parts else TRAIN
    found = layout.files(part)
    whole = Stream(
        name=layout.name,
        labels=found.labels,
        classes=readable_names(layout.classes),
        pixel_max=255,
        shape=None,
        title=lambda index: readable(str(found.files[index])),
        read=lambda wanted: _images(found.files, wanted),
        fingerprint=digest(states(found.files, folder), found.labels.tobytes()),
        notes=found.notes(),
    )
    return whole if part == TEST else whole.test_part()


def _suffixes() -> set[str]:
    """Of image files that this installation reads. Raises MissingDependencyError."""
    return {suffix for known in formats().values() for suffix in known}


def _images(files: list[Path], wanted: Indices) -> Iterator[Encoded]:
    for index in wanted:
        try:
            yield decoded(files[index])
        except InputError as error:
            yield Unreadable(str(error))
