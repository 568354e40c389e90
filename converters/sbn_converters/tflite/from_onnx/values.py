"""What the tensors of the TFLite graph hold of the values of the ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...onnx.graph import constant
from .build import Builder

_TO_FIRST = (0, 3, 1, 2)
_TO_LAST = (0, 2, 3, 1)


@dataclass(frozen=True)
class Plain:
    """Numbers. `shape` is ONNX's, with a batch of 1.

    The tensor holds the elements in the order of that shape, under whatever
    shape of its own; or, if `first` is set, the shape is [1, C, H, W] and the
    tensor [1, H, W, C].
    """

    tensor: int
    shape: tuple[int, ...]
    first: bool = False


@dataclass(frozen=True)
class Packed:
    """Packed signs, int32 [1, H, W, ceil(C/32)]; H = W = 1 for rows.

    The signs of the channels in `turned`, bool [C], are held the other way round.
    """

    tensor: int
    channels: int
    turned: NDArray[np.bool_] | None = None


class Values:
    """The values of an ONNX graph that have been written so far."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._known: dict[ir.Value, Plain | Packed] = {}

    def __setitem__(self, value: ir.Value, held: Plain | Packed) -> None:
        self._known[value] = held

    def plain(self, value: ir.Value | None) -> Plain:
        """Numbers; constants are written when they are first asked for."""
        assert value is not None
        held = self._known.get(value)
        if held is None:
            array = constant(value)
            assert array is not None, value.name
            tensor = self.builder.constant(array, value.name or "constant")
            held = self._known[value] = Plain(tensor, array.shape)
        assert isinstance(held, Plain)
        return held

    def packed(self, value: ir.Value | None) -> Packed:
        """Packed signs."""
        assert value is not None
        held = self._known[value]
        assert isinstance(held, Packed)
        return held

    def is_packed(self, value: ir.Value | None) -> bool:
        """Whether the value holds packed signs."""
        return value is not None and isinstance(self._known.get(value), Packed)

    def in_order(self, value: Plain, name: str) -> int:
        """A tensor of the ONNX value's own shape."""
        if not value.first:
            return self.builder.reshape(value.tensor, value.shape, name)
        return self.builder.transpose(value.tensor, _TO_FIRST, name)

    def channels_last(self, value: Plain, name: str) -> int:
        """The tensor [1, H, W, C] of an image [1, C, H, W]."""
        if value.first:
            return value.tensor
        return self.builder.transpose(self.in_order(value, name), _TO_LAST, name)

    def image(self, value: Plain, name: str) -> int:
        """The tensor [1, H, W, C] of an image [1, H, W, C], or [1, 1, 1, C] of a row [1, C]."""
        tensor = self.in_order(value, name)
        shape = value.shape if len(value.shape) == 4 else (1, 1, 1, prod(value.shape))
        return self.builder.reshape(tensor, shape, name)

    def transposed(self, value: Plain, order: tuple[int, ...], name: str) -> Plain:
        """Axes in another order; between the two layouts of an image that costs nothing."""
        shape = tuple(value.shape[i] for i in order)
        if value.first and order == _TO_LAST:
            return Plain(value.tensor, shape)
        if not value.first and order == _TO_FIRST:
            tensor = self.builder.reshape(value.tensor, value.shape, name)
            return Plain(tensor, shape, first=True)
        return Plain(self.builder.transpose(self.in_order(value, name), order, name), shape)

    def reshaped(self, value: Plain, target: list[int], name: str) -> Plain:
        """Another shape; -1 stands for what is left, 0 for the size as it is."""
        sizes = [value.shape[i] if n == 0 else n for i, n in enumerate(target)]
        if -1 in sizes:
            known = prod(n for n in sizes if n != -1)
            sizes[sizes.index(-1)] = prod(value.shape) // max(known, 1)
        if value.first:
            # One pixel, or one channel, is the same in both layouts.
            same = value.shape[1] == 1 or value.shape[2:] == (1, 1)
            tensor = value.tensor if same else self.in_order(value, name)
            return Plain(tensor, tuple(sizes))
        return Plain(value.tensor, tuple(sizes))
