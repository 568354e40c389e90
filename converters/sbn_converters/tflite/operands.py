"""Operators whose output's shape comes from a constant: SLICE, PAD, TRANSPOSE and so on.

Where such an operand is computed, nothing can be said before the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .placed import Placed, described
from .schema import MAX_RANK


def check_operands(op: Placed) -> None:
    """Check constants that say what an operator does to a shape.

    Raises:
        ModelError: they do not fit the operator's input or output.
    """
    match op.operator.name:
        case "EXPAND_DIMS":
            _check_expand_dims(op)
        case "MEAN" | "SUM":
            _check_reduction(op)
        case "PACK":
            _check_pack(op)
        case "PAD" | "PADV2":
            _check_pad(op)
        case "RESHAPE":
            _check_reshape(op)
        case "SLICE":
            _check_slice(op)
        case "SPLIT":
            _check_split(op)
        case "SQUEEZE":
            _check_squeeze(op)
        case "STRIDED_SLICE":
            _check_strided_slice(op)
        case "TRANSPOSE_CONV":
            if (shape := _constant(op, 0, 4)) is not None:
                _expect_shape(op, shape)
        case "TRANSPOSE":
            _check_transpose(op)


def _constant(op: Placed, position: int, count: int | None = None) -> list[int] | None:
    """A constant's whole numbers; None if it is computed. count: how many it has to have."""
    tensor = op.input(position)
    if tensor.data is None:
        return None
    if tensor.dtype not in (np.int32, np.int64) or tensor.data.size > 2 * MAX_RANK:
        op.fail(f"input {position} {described(tensor)} has to hold a few int32")
    if count is not None and tensor.data.size != count:
        op.fail(f"input {position} {described(tensor)} has to hold {count} numbers")
    return [int(value) for value in tensor.data.ravel()]


def _axis(op: Placed, axis: int, rank: int) -> int:
    """An axis, counted from the first one on."""
    if not -rank <= axis < rank:
        op.fail(f"the axis {axis} is none of {rank} dimensions")
    return axis % rank


def _expect_shape(op: Placed, shape: Sequence[int]) -> None:
    op.expect("the output", op.outputs[0], op.outputs[0].dtype, shape)


def _check_expand_dims(op: Placed) -> None:
    if (axis := _constant(op, 1, 1)) is not None:
        shape = list(op.input(0).shape)
        shape.insert(_axis(op, axis[0], len(shape) + 1), 1)
        _expect_shape(op, shape)


def _check_squeeze(op: Placed) -> None:
    shape = op.input(0).shape
    given = op.operator.options.get("squeeze_dims")
    dims = {_axis(op, dim, len(shape)) for dim in given} if isinstance(given, tuple) else set()
    if any(shape[dim] != 1 for dim in dims):
        op.fail(f"{described(op.input(0))} cannot lose the dimensions {sorted(dims)}")
    dims = dims or {dim for dim, size in enumerate(shape) if size == 1}
    _expect_shape(op, [size for dim, size in enumerate(shape) if dim not in dims])


def _check_reduction(op: Placed) -> None:
    axes = _constant(op, 1)
    if axes is None:
        return
    shape = op.input(0).shape
    gone = {_axis(op, axis, len(shape)) for axis in axes}
    if op.operator.options.get("keep_dims"):
        _expect_shape(op, [1 if dim in gone else size for dim, size in enumerate(shape)])
    else:
        _expect_shape(op, [size for dim, size in enumerate(shape) if dim not in gone])


def _check_pack(op: Placed) -> None:
    part = op.input(0)
    for position in range(1, len(op.inputs)):
        op.expect(f"input {position}", op.input(position), part.dtype, part.shape)
    axis = op.operator.options.get("axis", 0)
    shape = list(part.shape)
    if not isinstance(axis, tuple):
        shape.insert(_axis(op, int(axis), len(shape) + 1), len(op.inputs))
    op.expect("the output", op.outputs[0], part.dtype, shape)


def _check_pad(op: Placed) -> None:
    given = op.input(0)
    pads = _constant(op, 1, 2 * len(given.shape))
    if pads is None:
        return
    if min(pads, default=0) < 0:
        op.fail(f"it pads by {min(pads)}")
    sizes = zip(given.shape, pads[::2], pads[1::2], strict=True)
    op.expect("the output", op.outputs[0], given.dtype, [sum(size) for size in sizes])


def _check_reshape(op: Placed) -> None:
    option = op.operator.options.get("new_shape", ())
    shape = _constant(op, 1) if len(op.inputs) == 2 else option
    if not isinstance(shape, list | tuple):
        return
    given = op.outputs[0].shape
    fits = len(shape) == len(given) and all(
        wanted in (-1, size) for wanted, size in zip(shape, given, strict=True)
    )
    if not fits or list(shape).count(-1) > 1:
        op.fail(f"the output {described(op.outputs[0])} has to have the shape {list(shape)}")


def _check_slice(op: Placed) -> None:
    given = op.input(0)
    starts, sizes = (_constant(op, position, len(given.shape)) for position in (1, 2))
    if starts is None or sizes is None:
        return
    shape = []
    for start, wanted, size in zip(starts, sizes, given.shape, strict=True):
        length = size - start if wanted == -1 else wanted
        if start < 0 or length < 0 or start + length > size:
            op.fail(f"{wanted} values from {start} on are not in {described(given)[:-1]}")
        shape.append(length)
    op.expect("the output", op.outputs[0], given.dtype, shape)


def _check_split(op: Placed) -> None:
    given = op.input(1)
    axis = _constant(op, 0, 1)
    if axis is None:
        return
    dim = _axis(op, axis[0], len(given.shape))
    size, rest = divmod(given.shape[dim], len(op.outputs))
    if rest:
        op.fail(f"{described(given)} cannot be split into {len(op.outputs)} along {dim}")
    shape = (*given.shape[:dim], size, *given.shape[dim + 1 :])
    for output in op.outputs:
        op.expect("the output", output, given.dtype, shape)


def _check_strided_slice(op: Placed) -> None:
    given = op.input(0)
    rank = len(given.shape)
    options = op.operator.options
    if options.get("ellipsis_mask") or options.get("new_axis_mask") or options.get("offset"):
        return
    begins, ends, strides = (_constant(op, position) for position in (1, 2, 3))
    if begins is None or ends is None or strides is None:
        return
    if not len(begins) == len(ends) == len(strides) <= rank or 0 in strides:
        op.fail(f"from {begins} to {ends} by {strides} is no part of {described(given)[:-1]}")

    def masked(name: str, dim: int) -> bool:
        mask = options.get(name, 0)
        return not isinstance(mask, tuple) and bool(int(mask) >> dim & 1)

    shape: list[int] = []
    for dim, size in enumerate(given.shape):
        if dim >= len(begins):
            shape.append(size)
            continue
        if masked("shrink_axis_mask", dim):
            if not -size <= begins[dim] < size:
                op.fail(f"{described(given)} has no place {begins[dim]} along {dim}")
            continue
        begin = None if masked("begin_mask", dim) else begins[dim]
        end = None if masked("end_mask", dim) else ends[dim]
        shape.append(len(range(*slice(begin, end, strides[dim]).indices(size))))
    op.expect("the output", op.outputs[0], given.dtype, shape)


def _check_transpose(op: Placed) -> None:
    given = op.input(0)
    order = _constant(op, 1, len(given.shape))
    if order is None:
        return
    if sorted(order) != list(range(len(given.shape))):
        op.fail(f"{order} is no order of {len(given.shape)} dimensions")
    op.expect("the output", op.outputs[0], given.dtype, [given.shape[dim] for dim in order])
