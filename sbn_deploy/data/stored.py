"""8-bit images that stay in their files, and are read and fitted when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from sbn_deploy.data.dataset import Dataset, check_labels, evenly_spaced, numbered, of_pixels
from sbn_deploy.data.decode import differ
from sbn_deploy.data.form import ImageForm, size_text
from sbn_deploy.data.stream import Indices, Pixels, Stream, Unreadable, check_labelled
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.raster import Raster

LOOKED_AT = 32
"""Images, evenly spaced, from which size and colours follow where they are not asked for."""
PART = 1 << 20
"""Bytes of images in a part, about; see `StoredImages.parts`."""
BATCH = 64
"""A part is a multiple of it, so that networks see the batches that they see of a whole set."""


@dataclass(frozen=True)
class StoredImages:
    """uint8 [N, H, W, C], as `Dataset.images`. It can be pickled.

    Attributes:
        stream: the images as their files have them.
        preprocess: what they become.
        any_size: whether images of other sizes are fitted, and not an error.
        any_colour: whether images of other colours are converted, and not an error.
        workers: processes that read them where many are needed; None for as many as fit.

    Raises ConfigError, which names the image, wherever it turns out that one cannot be read, or is
    of another size or colour where these were found out and not asked for.
    """

    stream: Stream
    preprocess: Preprocess
    any_size: bool
    any_colour: bool
    workers: int | None = None
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, H, W, C."""
        wanted = self.preprocess
        return len(self), wanted.height, wanted.width, wanted.channels

    @property
    def nbytes(self) -> int:
        """What they would take in memory."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, wanted: slice | Indices) -> Pixels:
        """Images that are read and fitted now, [M, H, W, C]."""
        indices = np.arange(len(self))[wanted]
        result = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for place, image in self.read(indices):
            result[place] = self.preprocess.sized(image)
        return result

    def take(self, indices: Indices, axis: int = 0) -> StoredImages:
        """Those at `indices`, not read yet; the axis is that of arrays and must be 0."""
        assert axis == 0
        return replace(self, stream=self.stream.take(indices))

    def parts(self) -> Iterator[Indices]:
        """The indices of parts of about `PART` bytes."""
        size = max(1, PART * len(self) // self.nbytes // BATCH) * BATCH
        for first in range(0, len(self), size):
            yield np.arange(first, min(first + size, len(self)))

    def read(self, indices: Indices) -> Iterator[tuple[int, Pixels]]:
        """The images at indices in any order, in an order that is fast to read.

        Each with its place in `indices`, upright, grey [H, W] or RGB [H, W, 3] and of any size.
        """
        order = np.argsort(indices, kind="stable")
        rising = indices[order]
        for place, index, image in zip(order, rising, self.stream.read(rising), strict=True):
            yield int(place), self._checked(int(index), image)

    def _checked(self, index: int, image: Pixels | Raster | Unreadable) -> Pixels:
        problem = ""
        if isinstance(image, Unreadable):
            problem = f"{image.reason}; replace or remove it"
        else:
            found = image.upright() if isinstance(image, Raster) else image
            wanted = self.preprocess
            size = (wanted.height, wanted.width)
            if found.shape[:2] != size and not self.any_size:
                problem = f"of {size_text(*found.shape[:2])}, not {size_text(*size)}; give --size"
            elif found.ndim == 3 and wanted.channels == 1 and not self.any_colour:
                problem = "in colour, and others are grey; give --set colour=rgb, or grey"
        if problem:
            name = self.stream.name
            raise ConfigError(f"{name}: {self.stream.title(index)} is {problem}")
        return found


def of_stream(stream: Stream, form: ImageForm, workers: int | None = None) -> Dataset:
    """A data set of the images of a stream, which stay where they are.

    Size and colours that the form leaves open are those of some evenly spaced images.

    Args:
        workers: see `StoredImages`.

    Raises:
        ConfigError: no images, a label that is missing or no class, images of several sizes while
            the form has none, or one of those that were looked at cannot be read.
    """
    labels = stream.labels
    if not len(stream):
        raise ConfigError(f"{stream.name} contains no images; choose another data set")
    check_labelled(labels, stream.name, stream.title)
    classes = stream.classes or numbered(labels, stream.name)
    check_labels(labels, classes, stream.name)
    images = replace(_images(stream, form), workers=workers)
    return Dataset(
        name=stream.name,
        images=cast(Any, images),
        labels=labels,
        classes=classes,
        preprocess=images.preprocess,
        notes=stream.notes,
        divided=stream.divided,
    )


def _images(stream: Stream, form: ImageForm) -> StoredImages:
    colour = "rgb" if form.colour == "auto" else form.colour
    if form.size is not None and form.colour != "auto":
        shape = form.size
    else:
        anything = StoredImages(stream, of_pixels(3, 1, 1), any_size=True, any_colour=True)
        looked_at = evenly_spaced(len(stream), LOOKED_AT)
        seen = [*anything.read(looked_at)]
        sizes: dict[tuple[int, ...], str] = {}
        for place, image in seen:
            sizes.setdefault(image.shape[:2], stream.title(int(looked_at[place])))
        if form.size is None and len(sizes) > 1:
            raise ConfigError(f"{stream.name}: {differ(sizes, form)}")
        height, width = next(iter(sizes))
        shape = form.size or (height, width)
        if form.colour == "auto" and all(image.ndim == 2 for _, image in seen):
            colour = "grey"
    preprocess = of_pixels(1 if colour == "grey" else 3, *shape, form.fit)
    return StoredImages(
        stream, preprocess, any_size=form.size is not None, any_colour=form.colour != "auto"
    )


def stored_images(dataset: Dataset) -> StoredImages | None:
    """The images of a data set that stay in files; None where they are in memory."""
    images: Any = dataset.images
    return images if isinstance(images, StoredImages) else None
