"""Inputs to try a network on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sbn_deploy.nn.models import input_shape
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess

Shape = tuple[int, ...]


def shapes_of(config: Mapping[str, Any], reference: str) -> list[Shape]:
    """The input of an architecture, whose settings tell its images or signals.

    Raises:
        ConfigError: they do not, so that the shapes must be given.
    """
    try:
        return [(1, *input_shape(config))]
    except KeyError:
        raise ConfigError(
            f"what {reference} takes is not known; give the shape of one input, batch first, as"
            " in --input 1x3x32x32"
        ) from None


def inputs(
    shapes: Sequence[Shape], preprocess: Preprocess | None = None, *, count: int = 0, seed: int = 0
) -> list[Tensor]:
    """Random inputs, one float32 tensor for each shape.

    The first are random images where `preprocess` says what images are; all others
    are normally distributed.

    Args:
        count: samples in each, instead of the first number of the shapes.
    """
    random = np.random.default_rng(seed)
    made = []
    for index, (batch, *rest) in enumerate(shapes):
        samples = count or batch
        if preprocess is not None and index == 0:
            size = samples, preprocess.height, preprocess.width, preprocess.channels
            pixels = random.integers(0, preprocess.pixel_max, size, np.uint8, endpoint=True)
            values = preprocess.apply(pixels)
        else:
            values = random.standard_normal((samples, *rest)).astype(np.float32)
        made.append(torch.from_numpy(values))
    return made
