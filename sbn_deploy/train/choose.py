"""The network that is trained when none is named."""

from __future__ import annotations

from sbn_deploy.data import Dataset
from sbn_runtime.errors import ConfigError

SMALL, MEDIUM = 16, 64
"""Longest sides up to which images are small, and medium."""


def choose(images: Dataset) -> str:
    """An architecture that takes the inputs of a data set.

    - rows of numbers: mlp.
    - signals: signals-cnn.
    - images of up to 16 pixels: digits-cnn.
    - up to 64, both sides multiples of 8: quicknet-tiny.
    - larger ones, both sides multiples of 32: quicknet-small.

    Raises:
        ConfigError: no architecture takes them; the message says which sizes one does.
    """
    match images.input_shape:
        case (_,):
            return "mlp"
        case (_, _):
            return "signals-cnn"
    _, height, width = images.input_shape
    longest = max(height, width)
    if min(height, width) >= 4 and longest <= SMALL:
        return "digits-cnn"
    if longest <= MEDIUM and height % 8 == width % 8 == 0:
        return "quicknet-tiny"
    if longest > MEDIUM and height % 32 == width % 32 == 0:
        return "quicknet-small"
    multiple = 8 if longest <= MEDIUM else 32
    near = "x".join(str(max(1, round(side / multiple)) * multiple) for side in (height, width))
    raise ConfigError(
        f"there is no built-in network for images of {height}x{width} pixels (height x width);"
        f" choose a size in multiples of {multiple}, as --size {near}, or name a network with"
        " --arch"
    )
