"""Damaged TFLite files: the reader gives a model that the writer takes, or refuses them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from sbn_converters.tflite.flatbuffer import File
from sbn_converters.tflite.flexbuffer import read_map, write_map
from sbn_converters.tflite.read import read
from sbn_converters.tflite.schema import CUSTOM, OPERATORS
from sbn_converters.tflite.write import write
from sbn_runtime.errors import ModelError

from ..converters.tflite.raw import Fields, pooled, raw, wordy
from ..converters.tflite.tflite_models import binary_network, one_operator


@dataclass(frozen=True)
class Seed:
    """A sound file. spans: the parts of it that the reader looks at: first byte, length."""

    data: bytes
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]


@cache
def seeds() -> tuple[Seed, ...]:
    """A file for each operator, some with several; those of LCE's operators more often."""
    names = [
        name for name, spec in OPERATORS.items() for _ in range(3 if spec.code == CUSTOM else 1)
    ]
    files = [write(one_operator(name)) for name in names]
    return tuple(_trace(data) for data in (*files, write(binary_network()), *[raw(wordy())] * 6))


def _trace(data: bytes) -> Seed:
    spans: set[tuple[int, int]] = set()
    span = File.span

    def traced(self: File, at: int, size: int, where: str) -> int:
        spans.add((at, size))
        return span(self, at, size, where)

    with mock.patch.object(File, "span", traced):
        read(data)
    parts = sorted((at, size) for at, size in spans if 0 < size <= 512)
    return Seed(data, tuple(parts), tuple(sorted({at for at, _ in parts})))


def case(number: int) -> bytes:
    """The damaged file of a number."""
    rng = random.Random(number)
    if rng.random() < 0.3:
        return _wrong_model(rng)
    seed = rng.choice(seeds())
    data = bytearray(seed.data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if data:
            rng.choice(_MUTATIONS)(rng, seed, data)
    return bytes(data)


def _truncate(rng: random.Random, seed: Seed, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _flip_bit(rng: random.Random, seed: Seed, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, seed: Seed, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _splice(rng: random.Random, seed: Seed, data: bytearray) -> None:
    """Put a piece of any seed somewhere, over what is there or between it."""
    other = rng.choice(seeds()).data
    start = rng.randrange(len(other))
    piece = other[start : start + rng.choice((1, 2, 4, 8, 32, 256))]
    at = rng.randrange(len(data))
    data[at : at + rng.choice((0, len(piece)))] = piece


def _cut(rng: random.Random, seed: Seed, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 4, 8, 32))]


def _spot(rng: random.Random, seed: Seed, data: bytearray, width: int) -> int:
    """A byte that the reader reads from: of an offset, a length, a vtable or a table."""
    at, size = rng.choice(seed.spans)
    at += rng.randrange(0, max(size - width, 0) + 1, min(width, max(size - width, 0) + 1))
    return max(min(at, len(data) - width), 0)


def _set_number(rng: random.Random, seed: Seed, data: bytearray) -> None:
    """Change an offset, a length, an index, a size, an enumeration, or an option."""
    width = rng.choice((1, 2, 4, 4))
    at = _spot(rng, seed, data, width)
    old = int.from_bytes(data[at : at + width], "little")
    new = rng.choice(
        (
            old + rng.choice((-1, 1, -2, 2, -4, 4, -16, 16, 256)),
            rng.randrange(0, 40),
            -rng.randrange(1, 40),
            (1 << rng.randrange(8 * width)) + rng.choice((-1, 0, 1)),
            len(data) - at + rng.randrange(-4, 5),
            len(data) // 4 + rng.randrange(-4, 5),
            old * rng.randrange(2, 5),
            rng.getrandbits(8 * width),
        )
    )
    data[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def _redirect(rng: random.Random, seed: Seed, data: bytearray) -> None:
    """Let an offset point to something that is there, and is another thing."""
    at = _spot(rng, seed, data, 4)
    offset = rng.choice(seed.starts) - at
    if rng.random() < 0.3:
        # To a vtable.
        offset = -offset
    data[at : at + 4] = (offset % (1 << 32)).to_bytes(4, "little")


def _copy_number(rng: random.Random, seed: Seed, data: bytearray) -> None:
    width = rng.choice((1, 2, 4))
    source, target = (_spot(rng, seed, data, width) for _ in range(2))
    data[target : target + width] = data[source : source + width]


def _damage_map(rng: random.Random, seed: Seed, data: bytearray) -> None:
    """Change the flexbuffer of an operator's options."""
    at = data.find(b"stride_width\0")
    if at >= 0:
        at += rng.randrange(-120, 60)
        if 0 <= at < len(data):
            data[at] = rng.choice((0, 1, 2, 3, 4, 8, 9, 36, 0x24, rng.randrange(256)))


def _wrong_model(rng: random.Random) -> bytes:
    """A sound file of a model that is wrong in itself."""
    fields = copy.deepcopy(rng.choice(_models()))
    graph = fields["subgraphs"][0]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        operator = rng.choice(graph["operators"])
        tensor = rng.choice(graph["tensors"])
        match rng.randrange(9):
            case 0:
                _change_options(rng, operator)
            case 1:
                tensor["shape"] = _changed(rng, tensor["shape"])
            case 2:
                tensor["type"] = rng.randrange(-1, 19)
            case 3:
                tensor["buffer"] = rng.randrange(len(fields["buffers"]) + 1)
            case 4:
                owner = rng.choice((operator, operator, graph))
                side = rng.choice(("inputs", "outputs"))
                owner[side] = _changed(rng, owner[side])
            case 5:
                operator["opcode_index"] = rng.randrange(len(fields["operator_codes"]) + 1)
            case 6:
                rng.shuffle(rng.choice((graph["operators"], graph["tensors"], fields["buffers"])))
            case 7:
                tensor["shape_signature"] = _changed(rng, tensor["shape"])
            case 8:
                rng.choice(fields["operator_codes"])["builtin_code"] = rng.randrange(170)
    return raw(fields)


def _models() -> tuple[Fields, ...]:
    return (wordy(), pooled())


def _changed(rng: random.Random, numbers: list[int]) -> list[int]:
    changed = list(numbers)
    at = rng.randrange(len(changed) + 1)
    number = rng.choice((-1, 0, 1, 2, 3, 4, 8, 9, 40, 2**16, 2**31 - 1, -(2**31)))
    changed[at : at + rng.randrange(2)] = rng.choice(([], [number], [number]))
    return changed


def _change_options(rng: random.Random, operator: Fields) -> None:
    number = rng.choice((-1, 0, 1, 2, 3, 4, 31, 32, 33, 64, 65, 255, 2**16, 2**31 - 1, 2**40))
    if operator.get("custom_options"):
        options = read_map(memoryview(operator["custom_options"]))
        key = rng.choice(sorted(options))
        if rng.random() < 0.2:
            del options[key]
        else:
            options[key] = number
        operator["custom_options"] = write_map(options)
    elif options := operator.get("builtin_options"):
        field = rng.choice(options["table"].fields)
        if field.kind.is_scalar:
            bits = 8 * field.kind.inline_width - 1
            options[field.name] = number % (1 << bits) if bits > 7 else number % 2


_MUTATIONS: tuple[Callable[[random.Random, Seed, bytearray], None], ...] = (
    _truncate,
    _flip_bit,
    _flip_bit,
    _set_byte,
    _splice,
    _cut,
    _set_number,
    _set_number,
    _set_number,
    _set_number,
    _redirect,
    _copy_number,
    _damage_map,
)


def check(seed: int, folder: Path) -> str:
    """Reads the file of a number; what is read is written, and read again as the same."""
    path = folder / "model.tflite"
    path.write_bytes(case(seed))
    try:
        model = read(path.read_bytes())
    except ModelError:
        return "refused"
    again = read(write(model))
    assert (again.operators, again.inputs) == (model.operators, model.inputs)
    return "accepted"
