"""Random changes of training images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_shift(images: Tensor, pixels: int, background: Tensor) -> Tensor:
    """Shift each image by up to `pixels` in each direction, at random.

    Args:
        images: [N, C, H, W].
        pixels: largest shift, >= 0.
        background: value of an uncovered pixel, [C].
    """
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    border = background.view(1, -1, 1, 1)
    padded = F.pad(images - border, [pixels] * 4) + border
    top, left = torch.randint(0, 2 * pixels + 1, (2, count, 1))
    rows = (top + torch.arange(height))[:, :, None]
    columns = (left + torch.arange(width))[:, None, :]
    # Advanced indices around a slice put the channels last.
    shifted = padded[torch.arange(count)[:, None, None], :, rows, columns]
    return shifted.permute(0, 3, 1, 2).contiguous()
