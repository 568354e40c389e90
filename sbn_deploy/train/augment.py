"""Random changes of training images, before normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
