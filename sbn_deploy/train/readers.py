"""Processes that read images from storage while a network is trained or scored."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sbn_deploy import data
from sbn_deploy.data.stored import StoredImages, stored_images
from sbn_deploy.system import host
from sbn_deploy.train.augment import Augmentation
from sbn_runtime.errors import ConfigError, SbnError

AHEAD = 2
"""Batches that each process is ahead."""
CPU = torch.device("cpu")

Indices = NDArray[np.int64]
Key = tuple[int, Indices]
"""Epoch and indices of a batch."""


class Readers:
    """Reads batches of images in other processes, in the order in which they are asked for.

    The processes are started when they are needed, and stay until `close`.

    Args:
        images: that are read.
        changes: random ones; None for images as they are predicted.
        device: where the batches are needed; for a GPU they are put into pinned memory.
    """

    def __init__(
        self,
        images: StoredImages,
        changes: Augmentation | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.images = _Images(images, changes)
        self.workers = default_workers() if images.workers is None else images.workers
        self.keys: Iterable[Key] = ()
        self.device = device
        self.loader: DataLoader[Tensor | SbnError] | None = None

    def nbytes(self, count: int) -> int:
        """Of batches of `count` images that are read ahead."""
        each = self.images.images.nbytes // max(1, len(self.images.images))
        return count * each * (1 + AHEAD * self.workers)

    def here(self, indices: Indices, epoch: int = 0) -> Tensor:
        """A batch that this process reads now, uint8 [N, C, H, W].

        Raises ConfigError, see `StoredImages`.
        """
        return _good(self.images[epoch, indices])

    def read(self, keys: Iterable[Key]) -> Iterator[Tensor]:
        """The batches, uint8 [N, C, H, W]. Those of an earlier call that were not taken are lost.

        Raises what `here` raises, and SbnError where a process ended unexpectedly.
        """
        if not self.workers:
            for epoch, indices in keys:
                yield self.here(indices, epoch)
            return
        self.keys = keys
        # More processes than cores were asked for; images are the same with any number.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        if self.loader is None:
            self.loader = self._loader()
        try:
            for found in self.loader:
                yield _good(found)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise SbnError(
                "a process that reads images ended unexpectedly, perhaps for want of memory or of"
                " /dev/shm; use fewer with --set workers=N, or smaller batches"
            ) from error

    def close(self) -> None:
        """Ends the processes, if none of their batches is waited for."""
        self.loader = None

    def _loader(self) -> DataLoader[Tensor | SbnError]:
        return DataLoader(
            self.images,
            batch_size=None,
            sampler=_Keys(self),
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            persistent_workers=True,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_start,
            multiprocessing_context=_context(),
            # Else it would take from the generator of the training.
            generator=torch.Generator(),
        )


def parts(dataset: data.Dataset) -> Iterator[data.Dataset]:
    """Parts of a data set in memory, one after the other: all of one that is there already.

    Raises what `Readers.read` raises.
    """
    images = stored_images(dataset)
    if images is None:
        yield dataset
        return
    keys = [(0, indices) for indices in images.parts()]
    readers = Readers(images)
    if len(keys) == 1:  # processes would take longer to start
        readers.workers = 0
    try:
        for (_, indices), pixels in zip(keys, readers.read(keys), strict=True):
            part = pixels.permute(0, 2, 3, 1).numpy()
            yield replace(dataset, images=part, labels=dataset.labels[indices])
    finally:
        readers.close()


def part_count(dataset: data.Dataset) -> int:
    """How many `parts` it has."""
    images = stored_images(dataset)
    return 1 if images is None else sum(1 for _ in images.parts())


def default_workers() -> int:
    """As many processes as cores, divided among those that train on this machine, but one."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, len(host.usable_cores()) // local - 1)


class _Keys:
    """What torch asks for the next batches."""

    def __init__(self, readers: Readers) -> None:
        self.readers = readers

    def __iter__(self) -> Iterator[Key]:
        return iter(self.readers.keys)


class _Images(Dataset[Tensor | SbnError]):
    """Whole batches by their keys; errors are answers, as torch would make many lines of them."""

    def __init__(self, images: StoredImages, changes: Augmentation | None) -> None:
        self.images = images
        self.changes = changes

    def __getitem__(self, key: Key) -> Tensor | SbnError:
        epoch, indices = key
        wanted = self.images.preprocess
        batch = torch.empty((len(indices), *self.images.shape[1:]), dtype=torch.uint8)
        pixels = batch.numpy()
        try:
            for place, image in self.images.read(indices):
                if self.changes is None:
                    pixels[place] = wanted.sized(image)
                else:
                    pixels[place] = self.changes.apply(image, wanted, epoch, int(indices[place]))
        except ConfigError as error:
            return error
        return batch.permute(0, 3, 1, 2).contiguous()


def _good(found: Tensor | SbnError) -> Tensor:
    if isinstance(found, SbnError):
        raise found
    return found


def _start(_: int) -> None:
    # Ctrl-C is for the process that trains, which still needs the batches of its last step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host.return_memory()


def _context() -> multiprocessing.context.BaseContext:
    """How processes start: not by copying one in which threads run."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
