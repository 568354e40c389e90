"""From pixels, or other numbers, to those that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, prod
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, ModelError
from .fit import FITS, INTERPOLATION, LONGEST, Fit, fitted
from .raster import Raster, in_channels
from .sound import LogMel

MAX_NUMBERS = 1 << 26
"""In one input, so that a description cannot ask for all memory."""


@dataclass(frozen=True)
class Preprocess:
    """From a decoded image to a network's input; docs/images.md defines every step.

    Images of the network's size become input = (pixel / pixel_max - mean) / std, in float32.

    Attributes:
        channels, height, width: size of one image.
        pixel_max: the pixel value that stands for full intensity, 1 to 255.
        mean, std: one value for each channel, std above 0.
        order: "rgb", or "bgr" for a network that takes the channels of an image in
            reverse; `mean` and `std` are in this order too.
        fit: how images of any size get this one, see `sbn_runtime.fit.fitted`; "" of files
            from before version 0.2, which do not say it.
        sound: of a network that takes recordings: how they become images; None for pictures.
    """

    channels: int
    height: int
    width: int
    pixel_max: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: Literal["rgb", "bgr"] = "rgb"
    fit: Fit | Literal[""] = ""
    sound: LogMel | None = None

    def fitted(self, raster: Raster) -> NDArray[np.uint8]:
        """A decoded image in the network's size, colours and range, uint8 [H, W, C].

        In this order: its colours, on white where it is transparent; the right way up; `sized`;
        (2 pixel pixel_max + 255) div 510.

        Raises:
            InputError: the network takes neither grey nor colour images.
        """
        image = self.sized(raster.upright())
        if self.pixel_max == 255:
            return image
        scaled = (2 * self.pixel_max * image.astype(np.uint32) + 255) // 510
        return scaled.astype(np.uint8)

    def sized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Grey [H, W] or RGB [H, W, 3] in the network's colours and size, [H, W, C].

        By `fit`, of which "" means "stretch" here. Raises InputError as `fitted`.
        """
        coloured = in_channels(image, self.channels)
        return fitted(coloured, self.height, self.width, self.fit or "stretch")

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
        _check_array(images, "images")
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
        fields = asdict(self)
        # Only what this model has, so that older versions read it as far as they can.
        if self.sound is None:
            del fields["sound"]
        if not self.fit:
            del fields["fit"]
            return fields
        return fields | {"interpolation": INTERPOLATION}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Preprocess:
        """The inverse of `to_json`. Raises ModelError on missing or impossible fields."""
        if "shape" in fields:
            raise ModelError(f"the model takes numbers of shape {fields['shape']}, not images")
        if (other := fields.get("interpolation", INTERPOLATION)) != INTERPOLATION:
            raise ModelError(
                f"the model takes images resized by {other!r}, which this version does not"
                " support; use a newer one"
            )
        try:
            self = cls(
                channels=index(fields["channels"]),
                height=index(fields["height"]),
                width=index(fields["width"]),
                pixel_max=index(fields["pixel_max"]),
                mean=_numbers(fields["mean"]),
                std=_numbers(fields["std"]),
                # Files before 0.2 do not say it.
                order=fields.get("order", "rgb"),
                fit=fields.get("fit", ""),
                sound=LogMel.from_json(fields["sound"]) if "sound" in fields else None,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"preprocessing description is damaged: {error!r}") from error
        if not (
            min(self.channels, self.height, self.width) > 0
            and self.channels * self.height * self.width <= MAX_NUMBERS
            and 0 < self.pixel_max <= 255
            and len(self.mean) == len(self.std) == self.channels
            and all(value > 0 for value in self.std)
            and self.order in ("rgb", "bgr")
            and self.fit in ("", *FITS)
            and (not self.fit or max(self.height, self.width) <= LONGEST)
            and (
                self.sound is None
                or (self.channels, self.height, self.width, self.pixel_max)
                == (1, self.sound.bands, self.sound.frames, 255)
            )
        ):
            raise ModelError(f"preprocessing description is impossible: {dict(fields)}")
        return self


@dataclass(frozen=True)
class Standardize:
    """Shape and normalisation of numbers that are no pixels: input = (x - mean) / std.

    Attributes:
        shape: of one input: features (F,), channels and length (C, L), or (C, H, W).
        mean, std: one value for each feature or channel (the first axis), std above 0.
        features: their names, by which columns of a CSV file are found; empty if they have none.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    features: tuple[str, ...] = ()

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
        _check_array(x, "input")
        if x.dtype != np.float32 or x.shape[1:] != self.shape:
            wanted = ", ".join(map(str, self.shape))
            raise InputError(
                f"input must be float32 [N, {wanted}], this is {x.dtype} {list(x.shape)}"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        fields = asdict(self)
        if not self.features:
            del fields["features"]
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Standardize:
        """The inverse of `to_json`. Raises ModelError on missing or impossible fields."""
        try:
            self = cls(
                shape=tuple(index(size) for size in fields["shape"]),
                mean=_numbers(fields["mean"]),
                std=_numbers(fields["std"]),
                features=_names(fields.get("features", ())),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"preprocessing description is damaged: {error!r}") from error
        if not (
            self.shape
            and min(self.shape) > 0
            and prod(self.shape) <= MAX_NUMBERS
            and len(self.mean) == len(self.std) == self.shape[0]
            and all(value > 0 for value in self.std)
            and len(self.features) == len(set(self.features)) in (0, self.shape[0])
        ):
            raise ModelError(f"preprocessing description is impossible: {dict(fields)}")
        return self


def preprocess_from(fields: Mapping[str, Any]) -> Preprocess | Standardize:
    """What a description is of: pixels, or other numbers. Raises ModelError as `from_json`."""
    kind = Standardize if "shape" in fields else Preprocess
    return kind.from_json(fields)


def _numbers(values: Any) -> tuple[float, ...]:
    """Raises TypeError or ValueError unless it is a list of finite numbers."""
    if isinstance(values, str):
        raise TypeError(values)
    numbers = tuple(float(value) for value in values)
    if not all(map(isfinite, numbers)):
        raise ValueError(numbers)
    return numbers


def _names(values: Any) -> tuple[str, ...]:
    """Raises TypeError unless it is a list of texts."""
    names = tuple(values)
    if isinstance(values, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(values)
    return names


def _check_array(x: Any, what: str) -> None:
    if not isinstance(x, np.ndarray):
        raise InputError(f"{what} must be a numpy array, not {type(x).__name__}")
