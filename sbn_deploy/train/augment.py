"""Random changes of training images, before normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sbn_runtime.fit import resized
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.raster import in_channels

Image = NDArray[np.uint8]
LONGEST_RATIO = 4 / 3
"""Of the sides of a random crop, against those of the result; the least is its inverse."""
ATTEMPTS = 10
"""Random crops that are tried before the middle is taken, where they do not fit the picture."""


def random_shift(images: Tensor, pixels: int) -> Tensor:
    """Shift each image by up to `pixels` in each direction, at random; black fills up.

    The same as a random crop of the image padded by `pixels`.

    Args:
        images: uint8 [N, C, H, W].
        pixels: largest shift, >= 0.
    """
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    device = images.device
    padded = F.pad(images, [pixels] * 4)
    top, left = torch.randint(0, 2 * pixels + 1, (2, count, 1), device=device)
    rows = (top + torch.arange(height, device=device))[:, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, :]
    # Advanced indices around a slice put the channels last.
    shifted = padded[torch.arange(count, device=device)[:, None, None], :, rows, columns]
    return shifted.permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability one half; any dtype, [N, C, H, W]."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of one image at a time, which follow from seed, epoch and index alone.

    Attributes:
        seed: of the run.
        crop: least share of a picture's area that is cut out and brought to the size of the
            input, of any place and of proportions of up to 4 to 3 (Szegedy et al., arXiv
            1409.4842); 0: none is cut out.
        shift: pixels, as of `random_shift`.
        flip: whether half of the images are mirrored left to right.
    """

    seed: int
    crop: float
    shift: int
    flip: bool

    def apply(self, image: Image, wanted: Preprocess, epoch: int, index: int) -> Image:
        """Grey [H, W] or RGB [H, W, 3] of any size, as [height, width, channels] of `wanted`."""
        random = np.random.Generator(np.random.PCG64((self.seed, epoch, index)))
        if self.crop:
            top, left, rows, columns = random_box(
                random, image.shape[:2], (wanted.height, wanted.width), self.crop
            )
            part = in_channels(image[top : top + rows, left : left + columns], wanted.channels)
            image = resized(part, wanted.height, wanted.width)
        else:
            image = wanted.sized(image)
        if self.shift:
            top, left = random.integers(0, 2 * self.shift + 1, 2)
            padded = np.pad(image, [(self.shift,) * 2, (self.shift,) * 2, (0, 0)])
            image = padded[top : top + wanted.height, left : left + wanted.width]
        if self.flip and random.random() < 0.5:
            image = image[:, ::-1]
        return image


def random_box(
    random: np.random.Generator, sides: tuple[int, ...], wanted: tuple[int, int], least: float
) -> tuple[int, int, int, int]:
    """A random part of a picture: its first row and column, and its height and width.

    Its share of the area is uniform from `least` to 1, and the logarithm of its proportions to
    those of `wanted` is uniform. Where none of a few fits into the picture, it is the largest
    part in the middle with the nearest proportions.

    Args:
        sides, wanted: height and width of the picture, and of what the part is to become.
    """
    height, width = sides
    proportions = wanted[1] / wanted[0]
    most = math.log(LONGEST_RATIO)
    for _ in range(ATTEMPTS):
        area = height * width * random.uniform(least, 1)
        ratio = proportions * math.exp(random.uniform(-most, most))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top = int(random.integers(0, height - rows + 1))
            left = int(random.integers(0, width - columns + 1))
            return top, left, rows, columns
    ratio = min(max(width / height, proportions / LONGEST_RATIO), proportions * LONGEST_RATIO)
    rows = min(height, max(1, round(width / ratio)))
    columns = min(width, max(1, round(height * ratio)))
    return (height - rows) // 2, (width - columns) // 2, rows, columns
