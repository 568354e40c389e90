"""Maps of integers in the flexbuffer format: the options of LCE's operators."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from flatbuffers import flexbuffers

from sbn_runtime.errors import ModelError


class _Type(IntEnum):
    """Types that matter here, numbered as the format does."""

    INT = 1
    UINT = 2
    INDIRECT_INT = 6
    INDIRECT_UINT = 7
    MAP = 9
    BOOL = 26


# Far more than any of LCE's operators has.
_MOST_KEYS = 64
_LONGEST_KEY = 64


def write_map(values: Mapping[str, int]) -> bytes:
    """The flexbuffer of a map."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in sorted(values.items()):
            builder.Key(key)
            builder.Int(value)
    return bytes(builder.Finish())


def read_map(data: memoryview) -> dict[str, int]:
    """Entries of a flexbuffer map whose values are integers; others are left out.

    Raises:
        ModelError: `data` is no such map; the message gives the byte within `data`.
    """
    if len(data) < 3:
        raise ModelError(f"the map is {len(data)} bytes long, too short for one")
    width, kind = data[-1], data[-2]
    if width not in (1, 2, 4, 8):
        raise ModelError(f"the root is {width} bytes wide, not 1, 2, 4 or 8")
    if kind >> 2 != _Type.MAP:
        raise ModelError(f"the root has type {kind >> 2}, and has to be a map ({_Type.MAP})")
    start = _follow(data, len(data) - 2 - width, width)
    width = 1 << (kind & 3)
    length = _unsigned(data, start - width, width)
    if length > _MOST_KEYS:
        raise ModelError(f"the map has {length} entries, more than {_MOST_KEYS}")
    types = start + length * width
    if types + length > len(data):
        raise ModelError(f"{length} entries from byte {start} on end after the map")
    key_width = _unsigned(data, start - 2 * width, width)
    if key_width not in (1, 2, 4, 8):
        raise ModelError(f"offsets of keys are {key_width} bytes wide, not 1, 2, 4 or 8")
    keys = _follow(data, start - 3 * width, width)
    if _unsigned(data, keys - key_width, key_width) != length:
        raise ModelError("the map has not as many keys as values")
    values: dict[str, int] = {}
    previous = ""
    for index in range(length):
        key = _key(data, _follow(data, keys + index * key_width, key_width))
        # LCE looks keys up by bisection.
        if index and key <= previous:
            raise ModelError(f"the key {key!r} comes after {previous!r}: keys are not in order")
        previous = key
        value = _integer(data, start + index * width, width, data[types + index])
        if value is not None:
            values[key] = value
    return values


def _integer(data: memoryview, at: int, width: int, kind: int) -> int | None:
    """The value at `at` of a vector with elements `width` bytes wide; None if not an integer."""
    match kind >> 2:
        case _Type.INT:
            return _signed(data, at, width)
        case _Type.UINT | _Type.BOOL:
            return _unsigned(data, at, width)
        case _Type.INDIRECT_INT:
            return _signed(data, _follow(data, at, width), 1 << (kind & 3))
        case _Type.INDIRECT_UINT:
            return _unsigned(data, _follow(data, at, width), 1 << (kind & 3))
        case _:
            return None


def _follow(data: memoryview, at: int, width: int) -> int:
    """Where the offset at `at` points to; offsets point backwards."""
    target = at - _unsigned(data, at, width)
    if target < 0:
        raise ModelError(f"the offset at byte {at} points outside the map")
    return target


def _unsigned(data: memoryview, at: int, width: int) -> int:
    return int.from_bytes(_part(data, at, width), "little")


def _signed(data: memoryview, at: int, width: int) -> int:
    return int.from_bytes(_part(data, at, width), "little", signed=True)


def _part(data: memoryview, at: int, width: int) -> memoryview:
    if at < 0 or at + width > len(data):
        raise ModelError(f"{width} bytes at byte {at} lie outside the map's {len(data)}")
    return data[at : at + width]


def _key(data: memoryview, at: int) -> str:
    """The string at `at`, which a zero byte ends."""
    raw = bytes(data[at : at + _LONGEST_KEY + 1])
    end = raw.find(0)
    if end < 0 or not raw[:end].isascii():
        raise ModelError(f"no key at byte {at}")
    return raw[:end].decode("ascii")
