"""TFLite's operators that move elements without computing, as ONNX nodes.

They may move packed signs too, as long as whole words of 32 channels move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .lce_ops import unpacked
from .onnx_graph import (
    TO_FIRST,
    TO_LAST,
    WORD,
    Array,
    BatchIsMixed,
    Op,
    first_axis,
    first_shape,
    rank,
    shape_of,
)


def _reshape(op: Op) -> None:
    channels = op.channels(0)
    value, result = op.x(), op.result()
    if channels is None:
        shape = op.shape_last()
        # [N, C, 1, 1] and [N, 1, 1, C] follow each other alike.
        source = value if shape_of(value)[2:] == [1, 1] else op.to_last(value)
        if len(shape) == 4 and shape[1:3] == [1, 1]:
            op.put(op.reshaped(source, first_shape(shape)))
        else:
            op.put_last(op.reshaped(source, shape))
        return
    if result.shape[-1] != op.tensor(0).shape[-1]:
        value = op.signs(0, op.tensor(0).shape[-1] * WORD)
        channels = result.shape[-1] * WORD
    shape = op.onnx.free([*result.shape[:-1], channels])
    moved = op.reshaped(op.to_last(value), shape)
    if len(shape) == 4:
        moved = op.onnx.transposed(moved, TO_FIRST, op.name)
    op.put_signs(op.signs_of(moved), channels)


def _transpose(op: Op) -> None:
    order = [int(axis) for axis in op.array(1, "permutation").reshape(-1)]
    if op.channels(0) is not None:
        raise op.refuse("packed signs cannot be transposed")
    if op.onnx.batch is not None and order[0] != 0:
        raise BatchIsMixed
    if len(order) == 4:
        # From the graph's layout to the graph's layout of the result.
        order = [TO_LAST[order[axis]] for axis in TO_FIRST]
    op.put(op.add("Transpose", [op.x()], op.shape(), _dtype(op), perm=order))


def _pad(op: Op) -> None:
    amounts = op.array(1, "padding").reshape(-1, 2).astype(np.int64)
    dtype = op.tensor(0).dtype
    fill = op.array(2, "border").reshape(()) if op.has(2) else np.zeros((), dtype)
    channels = op.channels(0)
    if op.onnx.batch is not None and amounts[0].any():
        raise BatchIsMixed
    shape = op.shape()
    if channels is not None:
        if amounts[-1].any():
            raise op.refuse("it pads the channels of packed signs")
        if int(fill) not in (0, -1):
            raise op.refuse(f"its border {int(fill)} is neither all +1 (0) nor all -1 (-1)")
        if fill and channels % WORD:
            op.gaps_are_set()
        fill = np.array(1 + 2 * int(fill), np.float32)
        shape = first_shape(op.onnx.free([*op.result().shape[:-1], channels]))
    order = TO_FIRST if len(amounts) == 4 else range(len(amounts))
    turned = amounts[list(order)]
    inputs = [
        op.x(),
        op.integers([*turned[:, 0], *turned[:, 1]], "pads"),
        op.constant(fill.reshape(()), "border"),
    ]
    value = op.add("Pad", inputs, shape, _dtype(op), mode="constant")
    if channels is None:
        op.put(value)
    else:
        op.put_signs(value, channels)


def _concatenation(op: Op) -> None:
    dimensions = len(op.result().shape)
    axis = op.integer("axis") % dimensions
    if op.onnx.batch is not None and axis == 0:
        raise BatchIsMixed
    positions = range(len(op.operator.inputs))
    packed = [op.channels(position) for position in positions]
    counts = _counts(op, packed, axis == dimensions - 1) if any(packed) else None
    values = []
    for position in positions:
        data = op.tensor(position).data
        if data is None:
            values.append(
                op.x(position) if counts is None else op.signs(position, counts[position])
            )
            continue
        if counts is not None:
            data = unpacked(data, counts[position])
        values.append(_for_each_image(op, data, values or [op.x(_first_variable(op))]))
    where = first_axis(axis, dimensions)
    if counts is None:
        op.put(op.activation(op.add("Concat", values, op.shape(), _dtype(op), axis=where)))
        return
    channels = sum(counts) if axis == dimensions - 1 else counts[0]
    shape = first_shape(op.onnx.free([*op.result().shape[:-1], channels]))
    op.put_signs(op.signs_of(op.add("Concat", values, shape, axis=where)), channels)


def _counts(op: Op, packed: Sequence[int | None], along_channels: bool) -> list[int]:
    """How many channels each part of concatenated packed signs has in the result.

    Whole words follow each other, so that all but the last part fill theirs.
    """
    constants = [op.tensor(position).data is not None for position in range(len(packed))]
    if any(count is None and not fixed for count, fixed in zip(packed, constants, strict=True)):
        raise op.refuse("it concatenates packed signs with something else")
    known = [count for count in packed if count is not None]
    if not along_channels:
        return [max(known)] * len(packed)
    whole = [op.tensor(position).shape[-1] * WORD for position in range(len(packed))]
    return [*whole[:-1], packed[-1] or whole[-1]]


def _first_variable(op: Op) -> int:
    return next(
        position for position in range(len(op.operator.inputs)) if op.tensor(position).data is None
    )


def _for_each_image(op: Op, data: Array, like: list[ir.Value]) -> ir.Value:
    """A constant for one image as often as there are images."""
    value = op.constant(data.transpose(TO_FIRST) if data.ndim == 4 else data, "part")
    if op.onnx.batch is None:
        return value
    if op.onnx.size != (1,):
        raise BatchIsMixed
    shape = shape_of(value)
    int64 = ir.DataType.INT64
    images = op.add("Shape", [like[0]], [1], int64, start=0, end=1)
    rest = op.integers([int(size) for size in shape[1:]], "rest")
    target = op.add("Concat", [images, rest], [len(shape)], int64, axis=0)
    return op.add("Expand", [value, target], [op.onnx.batch, *shape[1:]], _dtype(op))


def _pack(op: Op) -> None:
    dimensions = len(op.result().shape)
    axis = op.integer("axis", 0) % dimensions
    if op.onnx.batch is not None and axis == 0:
        raise BatchIsMixed
    if any(op.channels(position) is not None for position in range(len(op.operator.inputs))):
        raise op.refuse("packed signs cannot be stacked")
    one = op.shape_last()
    one[axis] = 1
    values = [op.reshaped(op.x_last(i), one) for i in range(len(op.operator.inputs))]
    op.put_last(op.add("Concat", values, op.shape_last(), _dtype(op), axis=axis))


@dataclass(frozen=True)
class _Range:
    """Elements begin, begin + step, ... before end, of one axis of the file's layout."""

    axis: int
    begin: int
    end: int
    step: int = 1

    @property
    def count(self) -> int:
        return len(range(self.begin, self.end, self.step))


def _sliced(op: Op, position: int, ranges: list[_Range]) -> tuple[ir.Value, int | None]:
    """Part of an input, in the graph's layout, and its number of channels if it is packed."""
    tensor, channels = op.tensor(position), op.channels(position)
    dimensions = len(tensor.shape)
    shape = list(tensor.shape)
    if channels is not None:
        shape[-1] = channels
    cut = []
    for part in ranges:
        axis, begin, end = part.axis, part.begin, part.end
        if part.step == 1 and (begin, end) == (0, tensor.shape[axis]):
            continue
        if axis == 0 and op.onnx.batch is not None:
            raise BatchIsMixed
        if channels is not None and axis == dimensions - 1:
            if part.step != 1:
                raise op.refuse("it takes every other word of packed signs")
            begin, end = begin * WORD, min(end * WORD, channels)
            channels = shape[-1] = end - begin
        else:
            shape[axis] = part.count
        cut.append(_Range(first_axis(axis, dimensions), begin, end, part.step))
    value = op.x(position)
    if cut:
        # Downwards to the first element ends before it, which ONNX writes as far below 0.
        ends = [part.end if part.end >= 0 else np.iinfo(np.int64).min for part in cut]
        rows = {
            "begin": [part.begin for part in cut],
            "end": ends,
            "axes": [part.axis for part in cut],
            "steps": [part.step for part in cut],
        }
        operands = [op.integers(numbers, what) for what, numbers in rows.items()]
        dtype = value.dtype or ir.DataType.FLOAT
        value = op.add("Slice", [value, *operands], first_shape(op.onnx.free(shape)), dtype)
    return value, channels


def _put(op: Op, value: ir.Value, channels: int | None, position: int = 0) -> None:
    if channels is None:
        op.put(value, position)
    else:
        op.put_signs(op.signs_of(value), channels, position)


def _split(op: Op) -> None:
    axis = int(op.array(0, "axis").reshape(())) % len(op.tensor(1).shape)
    begin = 0
    for position in range(len(op.operator.outputs)):
        end = begin + op.result(position).shape[axis]
        _put(op, *_sliced(op, 1, [_Range(axis, begin, end)]), position)
        begin = end


def _slice(op: Op) -> None:
    begins, shape = op.array(1, "begin").reshape(-1), op.result().shape
    ranges = [
        _Range(axis, int(begin), int(begin) + size)
        for axis, (begin, size) in enumerate(zip(begins, shape, strict=True))
    ]
    _put(op, *_sliced(op, 0, ranges))


def _strided_slice(op: Op) -> None:
    if op.integer("ellipsis_mask", 0) or op.integer("new_axis_mask", 0):
        raise op.refuse("an ellipsis or a new axis in a slice is not supported")
    if op.integer("offset", 0):
        raise op.refuse("ends that are relative to begins are not supported")
    begins, ends, steps = (
        [int(number) for number in op.array(position, what).reshape(-1)]
        for position, what in ((1, "begin"), (2, "end"), (3, "steps"))
    )
    masks = [op.integer(f"{name}_mask", 0) for name in ("begin", "end", "shrink_axis")]
    ranges = []
    for axis, size in enumerate(op.tensor(0).shape[: len(begins)]):
        open_begin, open_end, shrunk = (bool(mask >> axis & 1) for mask in masks)
        if shrunk:
            first = begins[axis] % size
            ranges.append(_Range(axis, first, first + 1))
            continue
        begin = None if open_begin else begins[axis]
        end = None if open_end else ends[axis]
        ranges.append(_Range(axis, *slice(begin, end, steps[axis]).indices(size)))
    value, channels = _sliced(op, 0, ranges)
    if not masks[2]:
        _put(op, value, channels)
    elif channels is None:
        op.put_last(op.reshaped(op.to_last(value), op.shape_last()))
    else:
        raise op.refuse("it drops a dimension of packed signs")


def _xor(op: Op) -> None:
    constants = [i for i in (0, 1) if op.tensor(i).data is not None]
    channels = None if len(constants) != 1 else op.channels(1 - constants[0])
    if channels is None:
        raise op.refuse("only packed signs and a constant can be combined")
    words = op.array(constants[0], "mask")
    value = op.x(1 - constants[0])
    # A scalar is for every word.
    if words.size == 1:
        words = np.broadcast_to(words.reshape(-1), (-(-channels // WORD),))
    flips = unpacked(words, channels)
    flips = flips.reshape((1,) * (rank(value) - flips.ndim) + flips.shape)
    if op.onnx.batch is not None and flips.shape[0] != 1:
        raise BatchIsMixed
    turned = op.constant(flips.transpose(TO_FIRST) if flips.ndim == 4 else flips, "flips")
    if (unpacked(words, words.shape[-1] * WORD)[..., channels:] < 0).any():
        op.gaps_are_set()
    op.put_signs(op.signs_of(op.add("Mul", [value, turned], shape_of(value))), channels)


def _dtype(op: Op) -> ir.DataType:
    """The element type of the result, floats for packed signs."""
    packed = any(op.onnx.signs.get(index) is not None for index in op.operator.inputs)
    return ir.DataType.FLOAT if packed else ir.DataType.from_numpy(op.result().dtype)


OPERATORS: dict[str, Callable[[Op], None]] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "SPLIT": _split,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "BITWISE_XOR": _xor,
}
