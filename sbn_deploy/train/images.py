"""Training inputs in memory, normalised in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from sbn_deploy import tasks
from sbn_deploy.data import Dataset
from sbn_deploy.train.augment import random_flip, random_shift
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess


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


class TrainingImages:
    """The inputs and targets of a data set on a device, as batches.

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
        longer = max(self.images.shape[2:]) if augmented else 0
        if augmented and shift > longer:
            raise ConfigError(
                f"shift is {shift}, but the images of {dataset.name} have {longer} pixels in their"
                " longer side; give a shift from 0 to that"
            )
        self.shift = shift if augmented else 0
        self.flip = flip

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs float32 [N, ...], newly augmented, and their targets [N, ...]."""
        indices = indices.to(self.labels.device)
        images = random_shift(self.images[indices], self.shift)
        if self.flip:
            images = random_flip(images)
        targets = self.labels[indices]
        return images if self.normalize is None else self.normalize(images), targets
