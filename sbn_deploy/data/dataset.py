"""Inputs with their targets and normalisation, and how they are split."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sbn_deploy import tasks
from sbn_deploy.data.form import ImageForm
from sbn_runtime.errors import ConfigError
from sbn_runtime.fit import Fit
from sbn_runtime.preprocess import Preprocess, Standardize
from sbn_runtime.tasks import CLASSIFICATION

Split = Literal["train", "validation", "test", "train+validation"]

VALIDATION_EVERY = 10
TEST_EVERY = 5
VALIDATION_PARTS = ("validation", "valid", "val", "dev")
"""Accepted names of a validation part."""
MOST_CLASSES = 100_000
"""More than any data set has; a larger label is a mistake, and sizes depend on the largest."""


@dataclass(frozen=True)
class Dataset:
    """Inputs and what networks should answer to them.

    Attributes:
        name: for people.
        images: 8-bit images uint8 [N, H, W, C], or other inputs float32 [N, F], [N, C, L]
            or [N, C, H, W]. Of `load_stored`, `StoredImages`: indexing them reads files.
        labels: the targets, [N, ...], by the task: classes int64 [N], labels uint8 [N, K],
            numbers float32 [N] or [N, ...], classes of pixels int64 [N, H, W], images
            float32 [N, C, H, W].
        classes: names of the classes or labels; empty for numbers and images.
        preprocess: what makes the network's input of `images`.
        task: what the targets are, a name of `sbn_deploy.tasks`.
        notes: what people should know of the data, such as files that were not read.
        divided: how the parts for testing and validation came about.
    """

    name: str
    images: NDArray[Any]
    labels: NDArray[Any]
    classes: tuple[str, ...]
    preprocess: Preprocess | Standardize
    task: str = CLASSIFICATION
    notes: tuple[str, ...] = ()
    divided: str = "parts of its own"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> bool:
        """Whether the inputs are 8-bit images."""
        return isinstance(self.preprocess, Preprocess)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input of a network: (C, H, W), (C, L) or (F,)."""
        if isinstance(self.preprocess, Standardize):
            return self.preprocess.shape
        return self.preprocess.channels, self.preprocess.height, self.preprocess.width

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what a network answers to one input; () and (1,) are the same to training."""
        return tasks.find(self.task).outputs(self.labels, len(self.classes))

    def inputs(self) -> NDArray[np.float32]:
        """Normalised inputs, float32 [N, C, H, W], [N, C, L] or [N, F]."""
        return self.preprocess.apply(self.images[:])

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """The images and labels at `indices`."""
        return replace(self, images=self.images.take(indices, axis=0), labels=self.labels[indices])

    def joined(self, other: Dataset) -> Dataset:
        """This and another part of a data set in memory.

        Raises ConfigError where their inputs differ in shape.
        """
        if self.input_shape != other.input_shape:
            raise ConfigError(
                f"{self.name}: inputs for training are {list(self.input_shape)}, those for"
                f" validation {list(other.input_shape)} (channels first); make them the same with"
                " --size and --set colour=rgb"
            )
        return replace(
            self,
            images=np.concatenate([self.images[:], other.images[:]]),
            labels=np.concatenate([self.labels, other.labels]),
            notes=(*self.notes, *other.notes),
        )

    def sample(self, count: int, seed: int) -> Dataset:
        """`count` examples chosen by `seed`; at most all."""
        return self.take(np.random.default_rng(seed).permutation(len(self))[:count])

    def evenly(self, count: int) -> Dataset:
        """`count` evenly spaced examples; at most all."""
        return self if count >= len(self) else self.take(evenly_spaced(len(self), count))

    def for_task(self, task: str) -> Dataset:
        """The same data for another task that its targets allow.

        Any integers or zeros and ones may be numbers, and images numbers too.

        Raises:
            ConfigError: an unknown task, or targets that do not allow it.
        """
        if task == self.task:
            return self
        targets = tasks.find(task).targets(self.labels, (len(self), *self.input_shape), self.name)
        named = task in NAMED
        return replace(self, task=task, labels=targets, classes=self.classes if named else ())


NAMED = ("classification", "multilabel", "segmentation")
"""Tasks whose outputs have names."""


def eight_bit(
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    classes: Sequence[str],
    fit: Fit | Literal[""] = "crop",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """A data set of 8-bit images, normalised to x = (2 pixel - 255) / 255 in [-1, 1].

    Args:
        images: uint8 [N, H, W, C].
        labels: [N], each from 0 to len(classes) - 1.
        fit: how images of other sizes get this one.
        notes: see `Dataset`.

    Raises:
        ConfigError: no images, as many labels as images are missing, or a
            label out of range.
    """
    count, height, width, channels = images.shape
    if count == 0:
        raise ConfigError(f"{name} contains no images; choose another data set")
    if labels.shape != (count,):
        raise ConfigError(
            f"{name} has {count} images but labels of shape {labels.shape}; "
            "it needs one label for each image"
        )
    check_labels(labels, classes, name)
    preprocess = of_pixels(channels, height, width, fit)
    labels = labels.astype(np.int64)
    return Dataset(name, images, labels, tuple(classes), preprocess, notes=notes)


def check_labels(labels: NDArray[Any], classes: Sequence[str], name: str) -> None:
    """Raises ConfigError for a label [N] that is not one of the classes."""
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = int(np.flatnonzero((labels < 0) | (labels >= len(classes)))[0])
        raise ConfigError(
            f"{name}: image {wrong} has label {labels[wrong]}; with {len(classes)} classes "
            f"labels go from 0 to {len(classes) - 1}"
        )


def standardize(x: NDArray[np.float32], features: tuple[str, ...] = ()) -> Standardize:
    """The normalisation to a mean of 0 and a standard deviation of 1 over inputs [N, ...].

    Of each feature or channel, the second axis; one that does not vary is only centred.

    Args:
        features: their names, or none.
    """
    over = (0, *range(2, x.ndim))
    mean, std = x.mean(axis=over, dtype=np.float64), x.std(axis=over, dtype=np.float64)
    std[std == 0] = 1
    return Standardize(x.shape[1:], tuple(mean.tolist()), tuple(std.tolist()), features)


def numbered(labels: NDArray[Any], name: str) -> tuple[str, ...]:
    """Names of classes that have numbers only: as many as the largest label needs.

    Args:
        labels: integers of any shape.
        name: of the data, for messages.

    Raises:
        ConfigError: a label is not below `MOST_CLASSES`.
    """
    largest = int(labels.max(initial=0))
    if largest >= MOST_CLASSES:
        place = ", ".join(map(str, np.argwhere(labels == largest)[0]))
        raise ConfigError(
            f"{name}: label [{place}] is {largest}; classes count from 0, and there can be"
            f" {MOST_CLASSES:,} at most"
        )
    return tuple(str(index) for index in range(largest + 1))


def of_pixels(
    channels: int, height: int, width: int, fit: Fit | Literal[""] = "crop"
) -> Preprocess:
    """The normalisation x = (2 pixel - 255) / 255 of 8-bit images."""
    half = (0.5,) * channels
    return Preprocess(channels, height, width, pixel_max=255, mean=half, std=half, fit=fit)


def formed(dataset: Dataset, form: ImageForm) -> Dataset:
    """The data set with its 8-bit images in a form, by the arithmetic of `Preprocess.sized`.

    Raises:
        ConfigError: images would change whose targets are maps, which would have to be changed
            alike, or which are neither grey nor RGB.
    """
    have = dataset.preprocess
    if not isinstance(have, Preprocess) or have.sound is not None:
        return dataset
    if not form.fit:
        return replace(dataset, preprocess=replace(have, fit=""))
    channels = {"auto": have.channels, "grey": 1, "rgb": 3}[form.colour]
    height, width = form.size or (have.height, have.width)
    if (channels, height, width) == (have.channels, have.height, have.width):
        return replace(dataset, preprocess=replace(have, fit=form.fit))
    if not tasks.find(dataset.task).sample_wise:
        raise ConfigError(
            f"{dataset.name} has targets for each pixel, which would not match images of another"
            " size or colour; leave these settings out"
        )
    if have.channels not in (1, 3):
        raise ConfigError(
            f"{dataset.name} has images of {have.channels} channels; size and colour are for grey"
            " and RGB"
        )
    # All channels of a data set are normalised alike.
    wanted = replace(
        have,
        channels=channels,
        height=height,
        width=width,
        mean=have.mean[:1] * channels,
        std=have.std[:1] * channels,
        fit=form.fit,
    )
    plain = dataset.images[..., 0] if have.channels == 1 else dataset.images
    images = np.stack([wanted.sized(image) for image in plain])
    return replace(dataset, images=images, preprocess=wanted)


def evenly_spaced(size: int, count: int) -> NDArray[np.int64]:
    """`count` evenly spaced indices below `size`, the first and last among them; at most all."""
    return np.linspace(0, size - 1, min(count, size)).round().astype(np.int64)


def every(labels: NDArray[np.int64], period: int) -> NDArray[np.bool_]:
    """Marks each `period`-th image of every class, in the order of the images [N]."""
    marked = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        marked[np.flatnonzero(labels == label)[period - 1 :: period]] = True
    return marked


class Divisible(Protocol):
    """What can be divided into parts: a `Dataset` or a `Stream`."""

    # As dataclasses have them.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def labels(self) -> NDArray[Any]: ...

    @property
    def task(self) -> str: ...

    @property
    def divided(self) -> str: ...

    def __len__(self) -> int: ...

    def take(self, indices: NDArray[np.int64]) -> Self: ...

    def joined(self, other: Self) -> Self: ...


Part = TypeVar("Part", bound=Divisible)


def of_training_part(part: Part, split: Split) -> Part:
    """Train, validation, or both, from the images that are not for testing.

    Each tenth image of every class is for validation; each tenth one where images have
    no class.
    """
    divided = f"a test part of its own; {_tenth(part)}"
    part = replace(part, divided=divided)
    if split == "train+validation":
        return part
    held_out = every(_strata(part), VALIDATION_EVERY)
    return part.take(np.flatnonzero(held_out if split == "validation" else ~held_out))


def of_whole(whole: Part, split: Split) -> Part:
    """Any split of a data set that has no test part of its own.

    Each fifth image of every class is for testing; each fifth one where images have no
    class.
    """
    held_out = every(_strata(whole), TEST_EVERY)
    divided = f"each {TEST_EVERY}th image{_of_class(whole)} for testing; {_tenth(whole)}"
    if split == "test":
        return replace(whole.take(np.flatnonzero(held_out)), divided=divided)
    rest = of_training_part(whole.take(np.flatnonzero(~held_out)), split)
    return replace(rest, divided=divided)


def _tenth(part: Divisible) -> str:
    return f"each {VALIDATION_EVERY}th{_of_class(part)} of those to train on for validation"


def _of_class(part: Divisible) -> str:
    return " of a class" if part.task == CLASSIFICATION else ""


def of_parts(split: Split, read: Callable[[str], Part], parts: Container[str]) -> Part:
    """A split of a data set in parts: train, and perhaps validation and test.

    Without a test part, each fifth image of a class of train is for testing and nothing else;
    without a validation part, each tenth of the rest is for validation.

    Args:
        read: gives a part by its name.
        parts: the names of those that there are.
    """
    if split == "test" and "test" in parts:
        return read("test")
    if split == "validation" and "validation" in parts:
        return read("validation")
    train = read("train")
    if "test" not in parts:
        if split == "test":
            return of_whole(train, split)
        train = of_whole(train, "train+validation")
        if "validation" in parts:
            fifth = f"each {TEST_EVERY}th image{_of_class(train)} of train for testing"
            train = replace(train, divided=f"a validation part of its own; {fifth}")
    if "validation" not in parts:
        part = of_training_part(train, split)
        return part if "test" in parts else replace(part, divided=train.divided)
    return train if split == "train" else train.joined(read("validation"))


def _strata(part: Divisible) -> NDArray[np.int64]:
    """What is split evenly, [N]: classes, or everything together."""
    return part.labels if part.task == CLASSIFICATION else np.zeros(len(part), np.int64)
