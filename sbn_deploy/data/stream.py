"""Images that are read on demand, so that a set may be larger than memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import TEST_EVERY, Dataset, evenly_spaced, of_whole
from sbn_deploy.reading.parquet import NO_LABEL
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.raster import Raster
from sbn_runtime.tasks import CLASSIFICATION

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read, with the reason."""

    reason: str


Encoded = Raster | Unreadable
"""What an image file is read as."""


@dataclass(frozen=True)
class Stream:
    """Labelled images in a fixed order.

    Attributes:
        name: of the set, for people.
        labels: int64 [N] as the data says them; they may not be classes at all.
        classes: names of the classes; None where the data does not name them.
        pixel_max: the pixel value that stands for full intensity.
        shape: height, width and channels of all images; None for encoded ones.
        title: what to call the image of an index in a message.
        read: the images of rising indices, uint8 [H, W, C], or encoded ones as they were
            decoded. Raises ConfigError where the data as a whole is damaged.
        fingerprint: another one for other data; it may look at every file.
        notes: what people should know of the data, such as files that are not read.
        divided: how the parts for testing and validation came about.
        groups: rising numbers [N]: images of one are read together, so that it takes as long to
            read one of them as all; None where each image is read by itself.
    """

    name: str
    labels: Indices
    classes: tuple[str, ...] | None
    pixel_max: int
    shape: tuple[int, int, int] | None
    title: Callable[[int], str]
    read: Callable[[Indices], Iterator[Pixels | Encoded]]
    fingerprint: Callable[[], str]
    notes: tuple[str, ...] = ()
    divided: str = "parts of its own"
    groups: Indices | None = None

    @property
    def task(self) -> str:
        """What the labels are."""
        return CLASSIFICATION

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Indices) -> Stream:
        """The images at `indices`, which rise."""
        part = _Taken(self, indices.astype(np.int64))
        return replace(
            self,
            labels=self.labels[part.chosen],
            title=part.title,
            read=part.read,
            fingerprint=part.fingerprint,
            groups=None if self.groups is None else self.groups[part.chosen],
        )

    def joined(self, other: Stream) -> Stream:
        """The images of this one, and then those of another part of the same set."""
        both = _Joined((self, other))
        groups = None
        if self.groups is not None and other.groups is not None:
            groups = np.concatenate([self.groups, other.groups + self.groups.max(initial=-1) + 1])
        return replace(
            self,
            labels=np.concatenate([self.labels, other.labels]),
            title=both.title,
            read=both.read,
            fingerprint=both.fingerprint,
            notes=(*self.notes, *other.notes),
            groups=groups,
        )

    def evenly(self, count: int) -> Stream:
        """`count` evenly spaced images; at most all."""
        return self if count >= len(self) else self.take(evenly_spaced(len(self), count))

    def test_part(self) -> Stream:
        """Each fifth image of every class: what a set without a test part is tested on.

        Raises ConfigError if no class has so many.
        """
        part = of_whole(self, "test")
        if len(self) and not len(part):
            raise ConfigError(
                f"{self.name} has no test part, and no class has the {TEST_EVERY} images of which"
                f" every {TEST_EVERY}th would be used for testing; give test images separately:"
                " PATH/test/CLASS in a folder, test_images and test_labels in an npz"
            )
        return part


@dataclass(frozen=True)
class _Taken:
    """Some images of a stream. Unlike functions within functions, its methods can be pickled."""

    whole: Stream
    chosen: Indices

    def title(self, index: int) -> str:
        return self.whole.title(int(self.chosen[index]))

    def read(self, wanted: Indices) -> Iterator[Pixels | Encoded]:
        return self.whole.read(self.chosen[wanted])

    def fingerprint(self) -> str:
        return digest(self.whole.fingerprint().encode(), self.chosen.tobytes())


@dataclass(frozen=True)
class _Joined:
    """Streams one after the other."""

    parts: Sequence[Stream]

    def title(self, index: int) -> str:
        for part in self.parts:
            if index < len(part):
                break
            index -= len(part)
        return part.title(index)

    def read(self, wanted: Indices) -> Iterator[Pixels | Encoded]:
        first = 0
        for part in self.parts:
            begin, end = np.searchsorted(wanted, (first, first + len(part)))
            if begin < end:
                yield from part.read(wanted[begin:end] - first)
            first += len(part)

    def fingerprint(self) -> str:
        return digest(*(part.fingerprint().encode() for part in self.parts))


def of_memory(dataset: Dataset) -> Stream:
    """The images of a data set in memory. Raises ConfigError where they are not 8-bit images."""
    if not isinstance(dataset.preprocess, Preprocess):
        raise ConfigError(f"{dataset.name} has no images, only inputs of {dataset.input_shape}")
    _, height, width, channels = dataset.images.shape
    return Stream(
        name=dataset.name,
        labels=dataset.labels,
        classes=dataset.classes,
        pixel_max=dataset.preprocess.pixel_max,
        shape=(height, width, channels),
        title=lambda index: f"image {index}",
        read=lambda wanted: (dataset.images[index] for index in wanted),
        fingerprint=lambda: digest(dataset.images.tobytes(), dataset.labels.tobytes()),
    )


def check_labelled(labels: Indices, name: str, title: Callable[[int], str]) -> None:
    """Raises ConfigError where an image of a set called `name` has no label."""
    missing = np.flatnonzero(labels == NO_LABEL)
    if len(missing):
        raise ConfigError(
            f"{name}: {title(int(missing[0]))} has no label; each needs one from 0 up"
        )


def digest(*parts: bytes) -> str:
    """SHA-256 of the parts, each kept apart from the next."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()


def states(files: Sequence[Path], folder: Path) -> bytes:
    """Name, size and time of change of files in `folder`: other ones when a file changed."""
    lines = []
    for file in files:
        try:
            facts = file.stat()
            state = f"{facts.st_size} {facts.st_mtime_ns}"
        except OSError:  # a link to nowhere
            state = "-"
        lines.append(f"{file.relative_to(folder)} {state}")
    return "\n".join(lines).encode(errors="surrogateescape")


def some(stream: Stream) -> Stream:
    """The stream itself. Raises ConfigError if it has no images."""
    if not len(stream):
        raise ConfigError(f"{stream.name} contains no images to test on; choose another data set")
    return stream
