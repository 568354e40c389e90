"""The form that a data set's images are brought into: size, fit, colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sbn_runtime.fit import Fit
from sbn_runtime.preprocess import Preprocess

Colour = Literal["auto", "grey", "rgb"]


@dataclass(frozen=True)
class ImageForm:
    """The form of images, whatever their files hold.

    Attributes:
        size: height and width; None for that of the images, which then must be alike.
        fit: see `sbn_runtime.fit.fitted`; "" as for files from before version 0.2: images must
            be alike, and EXIF's orientation and transparency are left out.
        colour: auto is grey if all images of the split are, else rgb.
    """

    size: tuple[int, int] | None = None
    fit: Fit | Literal[""] = "crop"
    colour: Colour = "auto"

    @classmethod
    def of(cls, preprocess: Any) -> ImageForm:
        """The form that a network takes, as its file says it; of numbers, the usual one."""
        if not isinstance(preprocess, Preprocess):
            return cls()
        if not preprocess.fit:
            return cls(fit="")
        colours: dict[int, Colour] = {1: "grey", 3: "rgb"}
        colour = colours.get(preprocess.channels, "auto")
        return cls((preprocess.height, preprocess.width), preprocess.fit, colour)


def size_text(height: int, width: int) -> str:
    """How a size is said in messages."""
    return f"{height}x{width} pixels (height x width)"
