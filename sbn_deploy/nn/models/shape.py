"""Shapes of the inputs of networks, from their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from sbn_runtime.errors import ConfigError

MOST = 100_000
"""Channels, classes, pixels in a row: beyond, a setting is a mistake."""

Size = int | Sequence[int]
"""Height and width of images, or one number for both."""

StemStride = Literal[4, 2, 1]
"""What the layers before the first section divide height and width by."""


def check_stride(stride: int) -> None:
    """Raises ConfigError if it is no `StemStride`."""
    if stride not in get_args(StemStride):
        raise ConfigError(f"stem_stride is {stride}; choose one of 4, 2, 1")


def height_width(size: Size, *, least: int = 1, multiple: int = 1) -> tuple[int, int]:
    """Height and width.

    Args:
        least, multiple: what both must be: at least, and a multiple of.

    Raises:
        ConfigError: a height or width that is not, or is above `MOST`.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or any(side % multiple or not least <= side <= MOST for side in sides):
        rule = f"multiples of {multiple}" if multiple > 1 else f"at least {least}"
        raise ConfigError(
            f"size is {size}; height and width must be {rule}, up to {MOST:,}, as in 224 or"
            " [96, 64]"
        )
    return sides[0], sides[1]


def input_shape(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one input, (C, H, W), (C, L) or (F,), that a network's settings state.

    They have `channels`, and `size` (images) or `length` (signals); or `features` (rows).

    Raises:
        KeyError: they have not.
    """
    if "features" in config:
        return (config["features"],)
    if "length" in config:
        return config["channels"], config["length"]
    return config["channels"], *height_width(config["size"])
