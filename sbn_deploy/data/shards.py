"""Data sets of files that hold many encoded images each, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sbn_deploy.data.dataset import (
    VALIDATION_PARTS,
    Dataset,
    Split,
    eight_bit,
    numbered,
    of_parts,
)
from sbn_deploy.data.decode import decode
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.stream import (
    Encoded,
    Indices,
    Stream,
    Unreadable,
    check_labelled,
    digest,
    states,
)
from sbn_runtime.decode import decode as decoded
from sbn_runtime.decode import formats
from sbn_runtime.errors import ConfigError, InputError


class Shards(Protocol):
    """The images of some files, in their order. It can be pickled.

    Attributes:
        files: that hold them.
        labels: int64 [N], `NO_LABEL` where there is none.
        classes: names of the classes; None where the files do not name them.
        groups: see `Stream.groups`.
    """

    @property
    def files(self) -> list[Path]: ...

    @property
    def labels(self) -> Indices: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def groups(self) -> Indices | None: ...

    def title(self, index: int) -> str:
        """The file, and which of its images it is."""

    def contents(self, wanted: Indices) -> Iterator[bytes]:
        """The encoded images of rising indices. Raises ConfigError where a file is damaged."""


@dataclass(frozen=True)
class Layout:
    """Where the parts of a data set are, and what reads them.

    Attributes:
        name: of the set, for people.
        parts: the files of each part by its name, see `of_parts`; train is there in any case.
        open: reads what files hold beside images. Raises ConfigError.
        missing: what is said where there are no files to train on.
    """

    name: str
    parts: Mapping[str, list[Path]]
    open: Callable[[list[Path]], Shards]
    missing: str

    def load(self, split: Split, form: ImageForm) -> Dataset:
        """One split in memory. Raises ConfigError, also for an image that cannot be read."""
        return of_parts(split, lambda part: self._dataset(part, form), self.parts)

    def stream(self, split: Split) -> Stream:
        """One split, decoded as it is needed; labels that are missing are `NO_LABEL`.

        Raises what `load` raises, but not for images that cannot be read or of any size.
        """
        formats()  # Pillow must be there
        if split != "test":
            return of_parts(split, self._stream, self.parts)
        own = "test" in self.parts
        whole = self._stream("test" if own else "train")
        return whole if own else whole.test_part()

    def _shards(self, part: str) -> Shards:
        if not self.parts[part]:
            raise ConfigError(self.missing)
        return self.open(self.parts[part])

    def _dataset(self, part: str, form: ImageForm) -> Dataset:
        shards = self._shards(part)
        labels = shards.labels
        check_labelled(labels, self.name, shards.title)
        contents = shards.contents(np.arange(len(labels)))
        titled = ((shards.title(index), content) for index, content in enumerate(contents))
        pixels = decode(titled, self.name, form)
        classes = shards.classes or numbered(labels, self.name)
        return eight_bit(self.name, pixels, labels, classes, form.fit)

    def _stream(self, part: str) -> Stream:
        shards = self._shards(part)
        read = _Read(shards)
        return Stream(
            name=self.name,
            labels=shards.labels,
            classes=shards.classes,
            pixel_max=255,
            shape=None,
            title=shards.title,
            read=read.decoded,
            fingerprint=read.fingerprint,
            groups=shards.groups,
        )


@dataclass(frozen=True)
class _Read:
    """Shards as a stream reads them."""

    shards: Shards

    def decoded(self, wanted: Indices) -> Iterator[Encoded]:
        for content in self.shards.contents(wanted):
            try:
                yield decoded(content)
            except InputError as error:
                yield Unreadable(str(error))

    def fingerprint(self) -> str:
        files = self.shards.files
        return digest(states(files, files[0].parent), self.shards.labels.tobytes())


def parts_of(find: Callable[[str], list[Path]]) -> dict[str, list[Path]]:
    """The files of each part by its name, where there are any, and of train in any case.

    find: the files whose names say that they are of a part.
    """
    validation = next((found for part in VALIDATION_PARTS if (found := find(part))), [])
    parts = {"train": find("train"), "validation": validation, "test": find("test")}
    return {part: files for part, files in parts.items() if files or part == "train"}
