"""`folder:PATH`: image files, one folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import (
    VALIDATION_PARTS,
    Dataset,
    Split,
    eight_bit,
    of_parts,
)
from sbn_deploy.data.decode import decode
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import Encoded, Indices, Stream, Unreadable, digest, states
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.decode import decode as decoded
from sbn_runtime.decode import formats, missing_package
from sbn_runtime.errors import ConfigError, InputError

TRAIN, TEST = "train", "test"


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
    layout = _Layout.of(folder, split)

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
    layout = _Layout.of(folder, "test")
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


def _images(files: list[Path], wanted: Indices) -> Iterator[Encoded]:
    for index in wanted:
        try:
            yield decoded(files[index])
        except InputError as error:
            yield Unreadable(str(error))


@dataclass(frozen=True)
class _Files:
    """The image files of a part, class by class, their labels [N], and the other files."""

    folder: Path
    classes: list[str]
    files: list[Path]
    labels: NDArray[np.int64]
    others: list[Path]

    def check_classes(self) -> None:
        """Raises ConfigError for a single class, and for one without images."""
        if len(self.classes) == 1:
            raise ConfigError(
                f"{self.folder} has only one class, {readable(self.classes[0])!r}; it needs two or"
                " more, each in a folder of its own"
            )
        counts = np.bincount(self.labels, minlength=len(self.classes))
        empty = [name for name, count in zip(self.classes, counts, strict=True) if not count]
        if empty and len(self.labels):
            said = "; ".join(("", *self.notes()))
            raise ConfigError(
                f"class {readable(empty[0])!r} in {self.folder} has no images that can be read;"
                f" add some, or remove its folder{said}"
            )

    def notes(self) -> tuple[str, ...]:
        """What is said of files that are not read."""
        counts = Counter(path.suffix.lower() or path.name for path in self.others)
        if not counts:
            return ()
        kinds = []
        for suffix, count in counts.most_common():
            package = missing_package(suffix)
            remedy = f" (install {package} to read them)" if package else ""
            kinds.append(f"{count} {readable(suffix)}{remedy}")
        files = "file is" if len(self.others) == 1 else "files are"
        more = ", …" if len(kinds) > 4 else ""
        shown = ", ".join(kinds[:4])
        return (f"{self.folder}: {len(self.others)} {files} not read: {shown}{more}",)


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a data set are: `parts` has the folder of each by its name.

    Attributes:
        train: whether training has a folder of its own, and not everything is one part.
    """

    folder: Path
    classes: list[str]
    parts: dict[str, Path]
    train: bool

    @property
    def name(self) -> str:
        return readable(f"folder:{self.folder.name}")

    @classmethod
    def of(cls, folder: Path, split: Split) -> _Layout:
        if not folder.is_dir():
            raise ConfigError(f"no folder {folder}; give one with a folder for each class")
        own = {
            name: folder / name
            for name in (TRAIN, *VALIDATION_PARTS, TEST)
            if (folder / name).is_dir() and _folders(folder / name)
        }
        validation = next((own[name] for name in VALIDATION_PARTS if name in own), None)
        parts: dict[str, Path] = {}
        if TRAIN in own:  # folders of classes hold files, not folders
            parts[TRAIN] = own[TRAIN]
            if validation is not None:
                parts["validation"] = validation
            if TEST in own:
                parts[TEST] = own[TEST]
        elif split == TEST and TEST in own and not (folder / TRAIN).is_dir():
            parts[TEST] = own[TEST]
        train = bool(parts)
        parts = parts or {TRAIN: folder}
        classes = [path.name for path in _folders(parts.get(TRAIN, parts.get(TEST, folder)))]
        if not classes:
            raise ConfigError(f"{folder} has no folders; it needs one for each class")
        return cls(folder, classes, parts, train)

    def files(self, part: str) -> _Files:
        """Raises ConfigError where there is a class that training lacks."""
        within = self.parts[part]
        found = [path for path in _folders(within) if path.name not in self.classes]
        if found:
            raise ConfigError(
                f"{found[0]} is a class that the training part does not have; remove it"
            )
        suffixes = {suffix for known in formats().values() for suffix in known}
        files: list[Path] = []
        labels: list[int] = []
        others: list[Path] = []
        for index, label in enumerate(self.classes):
            inside = (within / label).iterdir() if (within / label).is_dir() else iter(())
            for file in sorted(inside):
                if file.suffix.lower() in suffixes:
                    files.append(file)
                    labels.append(index)
                elif not file.name.startswith("."):
                    others.append(file)
        return _Files(within, self.classes, files, np.array(labels, dtype=np.int64), others)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
