"""From pixels, or other numbers, to those that a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, ModelError

# In one input: a description may come from anywhere, and examples are made from it.
_MOST_NUMBERS = 1 << 28


@dataclass(frozen=True)
class Preprocess:
    """Image size and normalisation: input = (pixel / pixel_max - mean) / std, in float32.

    Attributes:
        channels, height, width: size of one image.
        pixel_max: the pixel value that stands for full intensity, 1 to 255.
        mean, std: one value for each channel, std above 0.
        order: "rgb", or "bgr" for a network that takes the channels of an image in
            reverse; `mean` and `std` are in this order too.
    """

    channels: int
    height: int
    width: int
    pixel_max: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: Literal["rgb", "bgr"] = "rgb"

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalises images.

        Args:
            images: uint8 [N, H, W, C], values 0 to `pixel_max`.

        Returns:
            float32 [N, C, H, W], contiguous.

        Raises:
            InputError: wrong dtype, shape, or a pixel above `pixel_max`.
        """
        self.check(images)
        scaled = self.ordered(images).astype(np.float32) / np.float32(self.pixel_max)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        normal = (scaled - mean) / std
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))

    def ordered(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images [N, H, W, C] with their channels in the order that the network takes."""
        return np.ascontiguousarray(images[..., ::-1]) if self.order == "bgr" else images

    def check(self, images: NDArray[np.uint8]) -> None:
        """Raises InputError for a wrong dtype or shape, or a pixel above `pixel_max`."""
        if images.dtype != np.uint8:
            raise InputError(f"images must be uint8, these are {images.dtype}")
        expected = (self.height, self.width, self.channels)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise InputError(
                f"images must have shape [N, {', '.join(map(str, expected))}]"
                f" (height, width, channels), these have {list(images.shape)}"
            )
        if images.size and (brightest := int(images.max())) > self.pixel_max:
            raise InputError(
                f"pixel value {brightest} is above the model's largest, {self.pixel_max};"
                " rescale the images"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Preprocess:
        """The inverse of `to_json`. Raises ModelError on missing or impossible fields."""
        if "shape" in fields:
            raise ModelError(f"the model takes numbers of shape {fields['shape']}, not images")
        try:
            self = cls(
                channels=int(fields["channels"]),
                height=int(fields["height"]),
                width=int(fields["width"]),
                pixel_max=int(fields["pixel_max"]),
                mean=tuple(float(value) for value in fields["mean"]),
                std=tuple(float(value) for value in fields["std"]),
                # Files before 0.2 do not say it.
                order=fields.get("order", "rgb"),
            )
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ModelError(f"preprocessing description is damaged: {error!r}") from error
        if not (
            min(self.channels, self.height, self.width) > 0
            and self.channels * self.height * self.width <= _MOST_NUMBERS
            and 0 < self.pixel_max <= 255
            and len(self.mean) == len(self.std) == self.channels
            and all(0 < value < math.inf for value in self.std)
            and all(map(math.isfinite, self.mean))
            and self.order in ("rgb", "bgr")
        ):
            raise ModelError(f"preprocessing description is impossible: {dict(fields)}")
        return self


@dataclass(frozen=True)
class Standardize:
    """Shape and normalisation of numbers that are no pixels: input = (x - mean) / std.

    Attributes:
        shape: of one input: features (F,), channels and length (C, L), or (C, H, W).
        mean, std: one value for each feature or channel (the first axis), std above 0.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalises numbers.

        Args:
            x: float32 [N, *shape].

        Returns:
            float32 [N, *shape].

        Raises:
            InputError: wrong dtype or shape.
        """
        self.check(x)
        each = (1, -1, *[1] * (len(self.shape) - 1))
        mean = np.asarray(self.mean, np.float32).reshape(each)
        normal: NDArray[np.float32] = (x - mean) / np.asarray(self.std, np.float32).reshape(each)
        return normal

    def check(self, x: NDArray[np.float32]) -> None:
        """Raises InputError for a wrong dtype or shape."""
        if x.dtype != np.float32 or x.shape[1:] != self.shape:
            wanted = ", ".join(map(str, self.shape))
            raise InputError(
                f"input must be float32 [N, {wanted}], this is {x.dtype} {list(x.shape)}"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Standardize:
        """The inverse of `to_json`. Raises ModelError on missing or impossible fields."""
        try:
            self = cls(
                shape=tuple(int(size) for size in fields["shape"]),
                mean=tuple(float(value) for value in fields["mean"]),
                std=tuple(float(value) for value in fields["std"]),
            )
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ModelError(f"preprocessing description is damaged: {error!r}") from error
        if not (
            self.shape
            and min(self.shape) > 0
            and math.prod(self.shape) <= _MOST_NUMBERS
            and len(self.mean) == len(self.std) == self.shape[0]
            and all(0 < value < math.inf for value in self.std)
            and all(map(math.isfinite, self.mean))
        ):
            raise ModelError(f"preprocessing description is impossible: {dict(fields)}")
        return self


def preprocess_from(fields: Mapping[str, Any]) -> Preprocess | Standardize:
    """What a description is of: pixels, or other numbers. Raises ModelError as `from_json`."""
    kind = Standardize if "shape" in fields else Preprocess
    return kind.from_json(fields)
