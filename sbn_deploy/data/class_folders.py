"""Files in folders: one folder for each class, in parts for training, validation and testing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import VALIDATION_PARTS, Dataset, Split, of_parts
from sbn_deploy.data.stream import (
    Encoded,
    Indices,
    Pixels,
    Stream,
    Unreadable,
    digest,
    states,
)
from sbn_deploy.reading.text import readable, readable_names
from sbn_runtime.decode import missing_package
from sbn_runtime.errors import ConfigError, InputError
from sbn_runtime.raster import Raster

TRAIN, TEST = "train", "test"


class Names(Sequence[Path]):
    """Paths of many files, some dozen bytes each, where a list of paths has some hundred.

    Args:
        folders: that hold files.
        names: of the files of each.
    """

    def __init__(self, folders: Sequence[Path], names: Sequence[Sequence[str]]) -> None:
        self._folders = tuple(folders)
        every = [os.fsencode(name) for group in names for name in group]
        self._text = b"".join(every)
        self._ends = np.cumsum([0, *map(len, every)])
        self._firsts = np.cumsum([0, *map(len, names)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...

    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        index = range(len(self))[index]
        name = self._text[self._ends[index] : self._ends[index + 1]]
        folder = self._folders[np.searchsorted(self._firsts, index, side="right") - 1]
        return folder / os.fsdecode(name)


@dataclass(frozen=True)
class Files:
    """The files of a part that are read, class by class, their labels [N], and the others."""

    folder: Path
    classes: list[str]
    files: Names
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
                f"class {readable(empty[0])!r} in {self.folder} has no files that can be read;"
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
class Layout:
    """Where the parts of a data set are: `parts` has the folder of each by its name.

    Attributes:
        kind: of the data set, as in `folder:PATH`.
        suffixes: of the files that are read.
        train: whether training has a folder of its own, and not everything is one part.
    """

    kind: str
    suffixes: frozenset[str]
    folder: Path
    classes: list[str]
    parts: dict[str, Path]
    train: bool

    @property
    def name(self) -> str:
        return readable(f"{self.kind}:{self.folder.name}")

    @classmethod
    def of(cls, folder: Path, split: Split, kind: str, suffixes: Iterable[str]) -> Layout:
        """The layout of a folder. Raises ConfigError where it has no classes."""
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
        elif own and own.keys() == {path.name for path in _folders(folder)}:
            alone = f"; to use {TEST} alone, add --split {TEST}" if TEST in own else ""
            raise ConfigError(f"{folder} has {', '.join(own)} but no folder called {TRAIN}{alone}")
        train = bool(parts)
        parts = parts or {TRAIN: folder}
        classes = [path.name for path in _folders(parts.get(TRAIN, parts.get(TEST, folder)))]
        if not classes:
            raise ConfigError(f"{folder} has no folders; it needs one for each class")
        return cls(kind, frozenset(suffixes), folder, classes, parts, train)

    def files(self, part: str) -> Files:
        """Raises ConfigError where there is a class that training lacks."""
        within = self.parts[part]
        found = [path for path in _folders(within) if path.name not in self.classes]
        if found:
            raise ConfigError(
                f"{found[0]} is a class that the training part does not have; remove it"
            )
        names: list[list[str]] = []
        others: list[Path] = []
        folders = [within / label for label in self.classes]
        for folder in folders:
            names.append([])
            for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
                if os.path.splitext(name)[1].lower() in self.suffixes:
                    names[-1].append(name)
                elif not name.startswith("."):
                    others.append(folder / name)
        labels = np.repeat(np.arange(len(folders)), [len(own) for own in names])
        return Files(within, self.classes, Names(folders, names), labels, others)

    def load(self, split: Split, make: Callable[[Files], Dataset]) -> Dataset:
        """One split; `make` reads the files of a part. Raises ConfigError, and what it raises."""

        return of_parts(split, lambda part: make(self._checked(part)), self.parts)

    def _checked(self, part: str) -> Files:
        found = self.files(part)
        if part == TRAIN or not self.train:
            found.check_classes()
        return found

    def stream(self, read: Callable[[Path], Pixels | Raster], split: Split = "test") -> Stream:
        """One split, each file read when it is its turn; `read` raises InputError.

        Raises ConfigError.
        """
        if split != TEST:
            return of_parts(split, lambda part: self._stream(self._checked(part), read), self.parts)
        part = TEST if TEST in self.parts else TRAIN
        whole = self._stream(self.files(part), read)
        return whole if part == TEST else whole.test_part()

    def _stream(self, found: Files, read: Callable[[Path], Pixels | Raster]) -> Stream:
        files = _Read(found, self.folder, read)
        return Stream(
            name=self.name,
            labels=found.labels,
            classes=readable_names(self.classes),
            pixel_max=255,
            shape=None,
            title=files.title,
            read=files.all,
            fingerprint=files.fingerprint,
            notes=found.notes(),
        )


@dataclass(frozen=True)
class _Read:
    """Files as a stream reads them."""

    found: Files
    folder: Path
    read: Callable[[Path], Pixels | Raster]

    def title(self, index: int) -> str:
        return readable(str(self.found.files[index]))

    def all(self, wanted: Indices) -> Iterator[Pixels | Encoded]:
        for index in wanted:
            try:
                yield self.read(self.found.files[index])
            except InputError as error:
                yield Unreadable(str(error))

    def fingerprint(self) -> str:
        return digest(states(self.found.files, self.folder), self.found.labels.tobytes())


def _folders(folder: Path) -> list[Path]:
    return in_order(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths of one folder in the order of their names; Windows would compare them otherwise."""
    return sorted(paths, key=lambda path: path.name)
