"""Orders of the axes of images: as networks have them, and as packed operators take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Layout:
    """A permutation of four axes, as `Transpose` has it: new axis i is the old `order[i]`."""

    order: tuple[int, int, int, int]

    @property
    def perm(self) -> list[int]:
        """The attribute of a `Transpose` into this layout."""
        return list(self.order)

    def is_perm(self, perm: Sequence[int]) -> bool:
        """Whether a `Transpose` with this attribute is one into this layout."""
        return tuple(perm) == self.order

    def of(self, sizes: Sequence[_Item]) -> list[_Item]:
        """What belongs to the four axes, in their new order."""
        return [sizes[axis] for axis in self.order]

    def axis(self, old: int) -> int:
        """Where an old axis is now, from 0; negative ones count from the end."""
        return self.order.index(old % 4)

    @property
    def inverse(self) -> Layout:
        """The layout that undoes this one."""
        first, second, third, fourth = map(self.order.index, range(4))
        return Layout((first, second, third, fourth))

    def array(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array of four axes in this layout, contiguous."""
        return np.ascontiguousarray(array.transpose(self.order))


UNCHANGED = Layout((0, 1, 2, 3))
"""[N, C, H, W] as it is."""

CHANNELS_LAST = Layout((0, 2, 3, 1))
"""[N, C, H, W] as [N, H, W, C]."""

CHANNELS_FIRST = Layout((0, 3, 1, 2))
"""[N, H, W, C] as [N, C, H, W]."""
