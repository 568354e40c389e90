"""Training inputs in batches, from memory or from storage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from sbn_deploy import tasks
from sbn_deploy.data import Dataset
from sbn_deploy.data.stored import StoredImages, stored_images
from sbn_deploy.train.augment import Augmentation, random_flip, random_shift
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.train.readers import Readers
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess

Batch = tuple[Tensor, Tensor]
"""Inputs float32 [N, ...], newly augmented, and their targets [N, ...]."""
PIECES = 4
"""In which images that are read together are divided, and so how often they are read."""


class Normalize:
    """uint8 [N, C, H, W] -> float32, the same numbers as `Preprocess.apply`."""

    def __init__(self, preprocess: Preprocess, device: torch.device) -> None:
        self.pixel_max = float(preprocess.pixel_max)
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            for values in (preprocess.mean, preprocess.std)
        )

    def __call__(self, images: Tensor) -> Tensor:
        scaled = images.float().div_(self.pixel_max)
        return scaled.sub_(self.mean).div_(self.std)


class Batches(Protocol):
    """The inputs and targets of a data set, as batches on a device.

    Attributes:
        dataset: what they are of.
        nbytes: what they take in memory, beside the batches themselves.
        readers: processes that read them from storage.
        seconds_read: that this process has spent with reading them.
    """

    readers: int
    seconds_read: float

    @property
    def dataset(self) -> Dataset: ...

    @property
    def nbytes(self) -> int: ...

    def order(self, generator: torch.Generator) -> Tensor:
        """All indices in a random order, int64 [N]."""

    def batch(self, indices: Tensor, epoch: int) -> Batch:
        """One batch, made now."""

    def steps(self, order: Tensor, epoch: int) -> Iterator[Iterable[Batch]]:
        """The parts of each step, whose indices are order [steps, parts, part].

        Raises ConfigError before a step for an image of it that cannot be read, and SbnError where
        a process that reads ended.
        """

    def close(self) -> None:
        """Ends the processes that make batches; they start again when they are needed."""


def batches(dataset: Dataset, config: TrainConfig, device: torch.device) -> Batches:
    """The batches of a data set, from memory or from storage, wherever its images are.

    Raises:
        ConfigError: flip is set for inputs that cannot be mirrored, or shift is larger than
            the images.
    """
    images = stored_images(dataset)
    if images is None:
        return TrainingImages(dataset, device, shift=config.shift, flip=config.flip)
    return _FromStorage(dataset, images, config, device)


class TrainingImages:
    """Batches of a data set in memory.

    8-bit images are augmented, unless their targets are maps or images, which would have
    to be changed alike.

    Args:
        dataset: what to train on.
        shift, flip: see `TrainConfig`.

    Raises:
        ConfigError: flip is set for inputs that cannot be mirrored, or shift is larger than
            the images.
    """

    def __init__(self, dataset: Dataset, device: torch.device, *, shift: int, flip: bool) -> None:
        augmented = dataset.pixels and tasks.find(dataset.task).sample_wise
        if flip and not augmented:
            raise ConfigError(
                f"flip is for 8-bit images whose targets are not maps, but {dataset.name} has"
                f" {'images with maps' if dataset.pixels else 'other inputs'}; leave it out"
            )
        self.normalize: Normalize | None = None
        if isinstance(dataset.preprocess, Preprocess):
            # One copy of all pixels: [N, C, H, W] is what convolutions take.
            images = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).contiguous()
            self.normalize = Normalize(dataset.preprocess, device)
        else:
            images = torch.from_numpy(dataset.inputs())
        self.dataset = dataset
        self.images = images.to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)
        if augmented:
            _check_shift(shift, dataset)
        self.shift = shift if augmented else 0
        self.flip = flip
        self.readers, self.seconds_read = 0, 0.0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        return self.images.nbytes + self.labels.nbytes

    def order(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self), generator=generator)

    def batch(self, indices: Tensor, epoch: int = 0) -> Batch:
        indices = indices.to(self.labels.device)
        images = random_shift(self.images[indices], self.shift)
        if self.flip:
            images = random_flip(images)
        targets = self.labels[indices]
        return images if self.normalize is None else self.normalize(images), targets

    def steps(self, order: Tensor, epoch: int) -> Iterator[Iterable[Batch]]:
        # All at once: a GPU would wait for each copy.
        return (map(self.batch, parts) for parts in order.to(self.labels.device))

    def close(self) -> None:
        """Nothing was started."""


class _FromStorage:
    """Batches of images that are read from their files again in each epoch.

    Other processes read, decode and augment the batches to come. What is in a batch follows from
    the seed, the epoch and the indices alone.
    """

    def __init__(
        self, dataset: Dataset, images: StoredImages, config: TrainConfig, device: torch.device
    ) -> None:
        if not config.crop:
            _check_shift(config.shift, dataset)
        self.dataset = dataset
        self.device = device
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.groups = images.stream.groups
        self.normalize = Normalize(images.preprocess, device)
        shift = 0 if config.crop else config.shift
        changes = Augmentation(config.seed, config.crop, shift, config.flip)
        self._readers = Readers(images, changes, device)
        self.readers, self.seconds_read = self._readers.workers, 0.0
        self.part = config.batch_size // config.gradient_accumulation

    @property
    def nbytes(self) -> int:
        return self.labels.nbytes + self._readers.nbytes(self.part)

    def order(self, generator: torch.Generator) -> Tensor:
        if self.groups is None:
            return torch.randperm(len(self.labels), generator=generator)
        return grouped_order(torch.from_numpy(self.groups), generator)

    def batch(self, indices: Tensor, epoch: int) -> Batch:
        start = time.perf_counter()
        images = self._readers.here(indices.numpy(), epoch)
        self.seconds_read += time.perf_counter() - start
        return self._made(images, indices)

    def steps(self, order: Tensor, epoch: int) -> Iterator[Iterable[Batch]]:
        read = self._readers.read((epoch, part.numpy()) for step in order for part in step)
        # All at once: a GPU would wait for each copy.
        for step in order.to(self.device):
            # All of a step are read before its first part changes anything.
            images = [next(read) for _ in step]
            yield map(self._made, images, step)

    def close(self) -> None:
        self._readers.close()

    def _made(self, images: Tensor, indices: Tensor) -> Batch:
        images = images.to(self.device, non_blocking=True)
        return self.normalize(images), self.labels[indices.to(self.device)]


def grouped_order(groups: Tensor, generator: torch.Generator) -> Tensor:
    """All indices in a random order in which few groups have to be read for a batch.

    The images of each group are shuffled and divided into `PIECES` of one size, and the pieces
    of all groups are shuffled.

    Args:
        groups: of each image, int64 [N], rising.
    """
    count = len(groups)
    _, own, sizes = torch.unique_consecutive(groups, return_inverse=True, return_counts=True)
    shuffled = torch.randperm(count, generator=generator)
    shuffled = shuffled[own[shuffled].argsort(stable=True)]
    firsts = sizes.cumsum(0) - sizes
    piece = (torch.arange(count) - firsts[own]) * PIECES // sizes[own] + PIECES * own
    places = torch.randperm(PIECES * len(sizes), generator=generator)
    return shuffled[places[piece].argsort(stable=True)]


def _check_shift(shift: int, dataset: Dataset) -> None:
    longer = max(dataset.input_shape[1:])
    if shift > longer:
        raise ConfigError(
            f"shift is {shift}, but the images of {dataset.name} have {longer} pixels in their"
            " longer side; give a shift from 0 to that"
        )
