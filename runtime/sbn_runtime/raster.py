"""A decoded image file, and its colours and orientation in integer arithmetic.

docs/images.md defines every step; programs in other languages follow it bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Mode = Literal["grey", "grey+alpha", "palette", "rgb", "rgba", "cmyk"]
CHANNELS: dict[Mode, int] = {
    "grey": 1,
    "grey+alpha": 2,
    "palette": 1,
    "rgb": 3,
    "rgba": 4,
    "cmyk": 4,
}
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Raster:
    """A decoded image.

    Attributes:
        pixels: uint8 or uint16 [H, W] where a pixel is one number, else [H, W, K]; of CMYK, 255
            is all of an ink.
        mode: what the K numbers of a pixel are, a key of `CHANNELS`.
        palette: colours uint8 [up to 256, 3 or 4] that the pixels of mode "palette" count,
            with alpha if there are 4; an index beyond is black.
        orientation: of EXIF, 1 to 8: how the camera was held. Others mean 1.

    Raises:
        InputError: pixels of another dtype or shape than the mode's, or none.
    """

    pixels: NDArray[Any]
    mode: Mode
    palette: Image | None = None
    orientation: int = 1

    def __post_init__(self) -> None:
        count = CHANNELS.get(self.mode, 0)
        wanted = self.pixels.shape[:2] if count == 1 else (*self.pixels.shape[:2], count)
        fits = self.pixels.dtype in (np.uint8, np.uint16) and len(wanted) == self.pixels.ndim > 1
        if not fits or self.pixels.shape != wanted or not self.pixels.size:
            raise InputError(
                f"an image of mode {self.mode} cannot be {self.pixels.dtype}"
                f" {list(self.pixels.shape)}; give uint8 or uint16 [height, width, …]"
            )

    @classmethod
    def of_array(cls, pixels: NDArray[Any]) -> Raster:
        """Of grey [H, W] or [H, W, 1], grey with alpha [H, W, 2], RGB or RGBA [H, W, 3 or 4].

        Raises InputError for anything else.
        """
        modes: dict[int, Mode] = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgba"}
        count = pixels.shape[2] if pixels.ndim == 3 else 1
        if pixels.ndim not in (2, 3) or count not in modes:
            raise InputError(
                f"an image must have shape [H, W] or [H, W, 1 to 4], this has {list(pixels.shape)}"
            )
        return cls(pixels[..., 0] if count == 1 and pixels.ndim == 3 else pixels, modes[count])

    def plain(self) -> Image:
        """Grey [H, W] or RGB [H, W, 3]: alpha is left out, and orientation.

        What files from before version 0.2 are given.
        """
        return self._colours()[0]

    def upright(self) -> Image:
        """Grey [H, W] or RGB [H, W, 3], on white where it is transparent, the right way up."""
        colours, alpha = self._colours()
        if alpha is not None:
            colours = on_white(colours, alpha)
        return turned(colours, self.orientation)

    def _colours(self) -> tuple[Image, Image | None]:
        pixels = self.pixels
        if self.mode == "palette":
            palette = np.zeros((65536, 4), np.uint8)
            palette[:, 3] = 255
            given = np.zeros((0, 3), np.uint8) if self.palette is None else self.palette
            palette[: len(given), : given.shape[1]] = given
            found = palette[pixels]
            has_alpha = self.palette is not None and self.palette.shape[1] == 4
            return found[..., :3], found[..., 3] if has_alpha else None
        # Of 16 bits the upper 8.
        eight = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
        match self.mode:
            case "grey+alpha":
                return eight[..., 0], eight[..., 1]
            case "rgba":
                return eight[..., :3], eight[..., 3]
            case "cmyk":
                return from_cmyk(eight), None
        return eight, None


def on_white(colours: Image, alpha: Image) -> Image:
    """(c a + 255 (255 - a) + 127) div 255 for each colour c and its alpha a."""
    a = alpha.astype(np.uint32)
    if colours.ndim == 3:
        a = a[..., np.newaxis]
    found: Image = ((colours * a + (255 * (255 - a) + 127)) // 255).astype(np.uint8)
    return found


def from_cmyk(inks: Image) -> Image:
    """RGB of CMYK [H, W, 4]: w - (c w + 127) div 255 with w = 255 - k, for each ink c."""
    white = 255 - inks[..., 3:].astype(np.uint32)
    found: Image = (white - (inks[..., :3] * white + 127) // 255).astype(np.uint8)
    return found


def to_grey(colours: Image) -> Image:
    """Luma of ITU-R BT.601 of RGB [H, W, 3]: (19595 r + 38470 g + 7471 b + 32768) div 65536."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    found: Image = ((colours @ weights + 32768) >> 16).astype(np.uint8)
    return found


def turned(image: Image, orientation: int) -> Image:
    """The image [H, W, …] as EXIF's orientation says it should be seen."""
    match orientation:
        case 2:
            return image[:, ::-1]
        case 3:
            return image[::-1, ::-1]
        case 4:
            return image[::-1]
        case 5:
            return image.swapaxes(0, 1)
        case 6:
            return image[::-1].swapaxes(0, 1)
        case 7:
            return image[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return image[:, ::-1].swapaxes(0, 1)
    return image


def in_channels(image: Image, channels: int) -> Image:
    """Grey [H, W] or RGB [H, W, 3] as [H, W, channels]. Raises InputError unless 1 or 3."""
    if channels not in (1, 3):
        raise InputError(f"the model takes {channels} channels, not an image's 1 or 3")
    if image.ndim == 2:
        return np.repeat(image[..., np.newaxis], channels, axis=2)
    return image if channels == 3 else to_grey(image)[..., np.newaxis]
