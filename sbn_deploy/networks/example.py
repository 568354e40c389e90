"""Inputs to try a network on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sbn_deploy.nn.models import input_shape
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess, Standardize

from .reference import Built

Shape = tuple[int, ...]


def shapes_of(built: Built, preprocess: Preprocess | Standardize | None = None) -> list[Shape]:
    """The shape of the input of a network that was trained here, or has settings that tell it.

    Args:
        preprocess: what a checkpoint says of its inputs.

    Raises:
        ConfigError: the shapes are not known and must be given.
    """
    if preprocess is not None:
        return shapes_of_inputs(preprocess)
    try:
        return [(1, *input_shape(built.config))]
    except KeyError:
        raise ConfigError(
            f"what {built.reference} takes is not known; give the shape of one input, batch"
            " first, as in --input 1x3x32x32"
        ) from None


def shapes_of_inputs(preprocess: Preprocess | Standardize) -> list[Shape]:
    """The shape of the one input of which a checkpoint says how it is normalised."""
    if isinstance(preprocess, Standardize):
        return [(1, *preprocess.shape)]
    return [(1, preprocess.channels, preprocess.height, preprocess.width)]


def inputs(
    shapes: Sequence[Shape],
    preprocess: Preprocess | Standardize | None = None,
    *,
    count: int = 0,
    seed: int = 0,
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
        if isinstance(preprocess, Preprocess) and index == 0:
            size = samples, preprocess.height, preprocess.width, preprocess.channels
            pixels = random.integers(0, preprocess.pixel_max, size, np.uint8, endpoint=True)
            values = preprocess.apply(pixels)
        else:
            values = random.standard_normal((samples, *rest)).astype(np.float32)
        made.append(torch.from_numpy(values))
    return made
