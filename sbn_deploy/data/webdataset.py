"""`webdataset:PATH`: tar archives of images beside their labels, as WebDataset has them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sbn_deploy.data.dataset import Dataset, Split
from sbn_deploy.data.form import ImageForm
from sbn_deploy.data.shards import Layout, parts_of
from sbn_deploy.data.stream import Indices, Stream
from sbn_deploy.reading import tar
from sbn_deploy.reading.text import readable
from sbn_runtime.decode import formats
from sbn_runtime.errors import ConfigError

LABEL = "cls"
LONGEST_LABEL = 20
"""Characters: what a whole number of 64 bits has."""


def load(folder: Path, split: Split, form: ImageForm) -> Dataset:
    """One split of a folder of uncompressed `train-*.tar`, `test-*.tar` and so on.

    Files whose names differ after the first dot only are one sample: an image, such as
    `0001.jpg`, and its class as a whole number in `0001.cls`; others are left out. A name may
    have something before the part, as `imagenet-train-0001.tar`. A part for validation may be
    called as in `VALIDATION_PARTS`; it and that for testing may be missing, see `of_parts`.

    Raises:
        ConfigError: a missing or broken archive, a sample without image or class, or images of
            several sizes while the form has none.
        MissingDependencyError: Pillow is missing.
    """
    return _layout(folder).load(split, form)


def stream(folder: Path, split: Split = "test") -> Stream:
    """One split, decoded as it is needed.

    The headers of all archives are read at once, to know where each image is.

    Raises what `load` raises, but not for images that cannot be read or of any size.
    """
    return _layout(folder).stream(split)


def _layout(folder: Path) -> Layout:
    missing = f"no train-*.tar in {folder}; give the folder that holds the archives"
    parts = parts_of(lambda part: _files(folder, part))
    return Layout(readable(f"webdataset:{folder.name}"), parts, _archives, missing)


def _files(folder: Path, part: str) -> list[Path]:
    patterns = (f"{part}.tar", f"{part}-*.tar", f"*-{part}-*.tar")
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


@dataclass(frozen=True)
class _Archives:
    """Where images are: the first of each archive, begin and size in bytes, and the labels [N]."""

    files: list[Path]
    firsts: Indices
    begins: Indices
    sizes: Indices
    labels: Indices
    classes = None
    groups = None

    def title(self, index: int) -> str:
        number = self._archive(index)
        return f"image {index - self.firsts[number]} of {readable(str(self.files[number]))}"

    def contents(self, wanted: Indices) -> Iterator[bytes]:
        """The encoded images of rising indices."""
        for number, indices in groupby(wanted, self._archive):
            path = self.files[number]
            with tar.reading(path) as file:
                for index in indices:
                    begin, size = int(self.begins[index]), int(self.sizes[index])
                    yield tar.content(path, tar.Member(self.title(index), 0, begin, size), file)

    def _archive(self, index: int) -> int:
        return int(np.searchsorted(self.firsts, index, side="right")) - 1


def _archives(files: list[Path]) -> _Archives:
    suffixes = {suffix[1:] for known in formats().values() for suffix in known}
    # Numbers in arrays take a tenth of the memory of numbers in lists.
    firsts, begins, sizes, labels = array("q"), array("q"), array("q"), array("q")
    for path in files:
        firsts.append(len(labels))
        for sample in _samples(path, suffixes):
            begins.append(sample.begin)
            sizes.append(sample.size)
            labels.append(sample.label)
    arrays = (np.frombuffer(numbers, np.int64) for numbers in (firsts, begins, sizes, labels))
    return _Archives(files, *arrays)


class _Sample(NamedTuple):
    """Where an image is in its archive, begin and size in bytes, and its class."""

    begin: int
    size: int
    label: int


def _samples(path: Path, suffixes: set[str]) -> Iterator[_Sample]:
    """Raises ConfigError for a sample without exactly one image and one class."""
    for name, members in groupby(_members(path, suffixes), itemgetter(0)):
        image: tar.Member | None = None
        label: int | None = None
        for _, member, own in members:
            if (image if own is None else label) is not None:
                raise ConfigError(f"{path}: {readable(name)} has two images or classes")
            if own is None:
                image = member
            else:
                label = own
        if image is None or label is None:
            lacks = f"class ({readable(name)}.{LABEL})" if label is None else "image"
            raise ConfigError(f"{path}: {readable(name)} has no {lacks}; each sample needs one")
        yield _Sample(image.start, image.size, label)


def _members(path: Path, suffixes: set[str]) -> Iterator[tuple[str, tar.Member, int | None]]:
    """Images and classes: the name of the sample, the member, and its class; None of an image."""
    for member, file in tar.members(path):
        folder, base = os.path.split(member.name)
        stem, _, ending = base.partition(".")
        if not stem:
            continue
        name = os.path.join(folder, stem)
        kind = ending.rpartition(".")[2].lower()
        if kind == LABEL:
            yield name, member, _label(path, member, tar.content(path, member, file))
        elif kind in suffixes:
            yield name, member, None


def _label(path: Path, member: tar.Member, content: bytes) -> int:
    try:
        label = int(content[: LONGEST_LABEL + 1].decode("ascii"))
    except ValueError:
        label = -1
    if not 0 <= label < 1 << 63:
        raise ConfigError(
            f"{path}: {readable(member.name)} holds {content[:LONGEST_LABEL]!r}; it must be a"
            " class, a whole number from 0 up"
        )
    return label
