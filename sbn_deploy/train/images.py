"""Images in memory, normalised in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from sbn_deploy.data import Dataset
from sbn_deploy.train.augment import random_flip, random_shift
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
    """The images of a data set on a device, as augmented batches.

    Args:
        dataset: what to train on.
        shift, flip: see `TrainConfig`.
    """

    def __init__(self, dataset: Dataset, device: torch.device, *, shift: int, flip: bool) -> None:
        # One copy of all pixels: [N, C, H, W] is what convolutions take.
        images = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).contiguous()
        self.images = images.to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)
        self.normalize = Normalize(dataset.preprocess, device)
        self.shift = shift
        self.flip = flip

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs float32 [N, C, H, W], augmented anew, and labels int64 [N]."""
        indices = indices.to(self.labels.device)
        images = random_shift(self.images[indices], self.shift)
        if self.flip:
            images = random_flip(images)
        return self.normalize(images), self.labels[indices]

    def evenly(self, count: int) -> Tensor:
        """`count` images spread evenly over the data, uint8 [count, H, W, C]; at most all."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).round().long()
        return self.images.cpu()[chosen].permute(0, 2, 3, 1).contiguous()
