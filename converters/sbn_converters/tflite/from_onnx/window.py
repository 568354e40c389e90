"""A kernel that slides over an image, and the borders that TFLite can give it."""

from __future__ import annotations

from collections.abc import Sequence


class Window:
    """A kernel that slides over an image: [vertical, horizontal] sizes, strides, dilations.

    pads: [top, left, bottom, right].
    """

    def __init__(
        self,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int] = (0, 0, 0, 0),
        dilations: Sequence[int] = (1, 1),
    ) -> None:
        self.kernel, self.strides, self.dilations = list(kernel), list(strides), list(dilations)
        self.pads = list(pads)

    @property
    def is_padded(self) -> bool:
        """Whether it reaches beyond the border."""
        return any(self.pads)

    def result(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what it gives."""
        size = [
            (n + self.pads[i] + self.pads[i + 2] - self._reach(i)) // self.strides[i] + 1
            for i, n in enumerate((height, width))
        ]
        return size[0], size[1]

    def is_same(self, height: int, width: int) -> bool:
        """Whether TFLite's padding SAME surrounds such an image with the same border."""
        for i, n in enumerate((height, width)):
            out = -(-n // self.strides[i])
            total = max((out - 1) * self.strides[i] + self._reach(i) - n, 0)
            # What lies behind the last position of the kernel does not count.
            if self.pads[i] != total // 2 or self.result(height, width)[i] != out:
                return False
        return True

    def unpadded(self) -> Window:
        """The same on an image whose border was added before."""
        return Window(self.kernel, self.strides, dilations=self.dilations)

    def _reach(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1
