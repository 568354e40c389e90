"""Parses how the pixels of an image become a network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sbn_runtime.errors import ConfigError, ModelError
from sbn_runtime.preprocess import Preprocess

from .example import Shape

KEYS = ("mean", "std", "range", "order", "size", "fit")


def parse(texts: Sequence[str], inputs: Sequence[Shape]) -> Preprocess | None:
    """The normalisation that KEY=VALUE texts say, for the first of the inputs; None without any.

    mean and std are one number for all channels or one for each, range the pixel value of
    full intensity, order rgb or bgr, size HxW, which must be that of the input, fit how images
    of other sizes get it: crop, pad or stretch. Numbers may be fractions.

    Raises:
        ConfigError: an unknown key, an invalid value, or an input of other channels.
    """
    if not texts:
        return None
    if not inputs or len(inputs[0]) != 4:
        raise ConfigError("preprocessing needs an input of images, 1xCxHxW")
    _, channels, height, width = inputs[0]
    given = dict(_pair(text) for text in texts)
    order = given.get("order", "rgb")
    if (size := given.get("size", f"{height}x{width}")) not in (f"{height}x{width}", str(height)):
        raise ConfigError(
            f"preprocessing to size={size} contradicts the input of {height}x{width} pixels"
        )
    if order == "bgr" and channels != 3:
        raise ConfigError(
            f"preprocessing to order=bgr needs three channels; the input has {channels}"
        )
    largest = _number("range", given.get("range", "255"))
    fields = {
        "channels": channels,
        "height": height,
        "width": width,
        "pixel_max": int(largest) if largest.is_integer() else largest,
        "mean": _for_channels("mean", given.get("mean", "0"), channels),
        "std": _for_channels("std", given.get("std", "1"), channels),
        "order": order,
        "fit": given.get("fit", "crop"),
    }
    try:
        return Preprocess.from_json(fields)
    except ModelError as error:
        raise ConfigError(
            f"preprocessing {' '.join(texts)}: range is 1 to 255, std above 0, order rgb or bgr,"
            " fit crop, pad or stretch"
        ) from error


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        raise ConfigError(f"preprocessing has no {text!r}; it takes KEY=VALUE of {', '.join(KEYS)}")
    return key, value


def _for_channels(key: str, text: str, channels: int) -> list[float]:
    values = [_number(key, part) for part in text.split(",")]
    if len(values) not in (1, channels):
        raise ConfigError(
            f"preprocessing {key}={text} has {len(values)} values for {channels} channels"
        )
    return values * (channels // len(values))


def _number(key: str, text: str) -> float:
    """A number, or a fraction of two."""
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"preprocessing {key}: {text!r} is not a number")
    return value
