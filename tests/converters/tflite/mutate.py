"""Damage TFLite files in every way we can think of, and hold the reader to its contract.

    python -m tests.converters.tflite.mutate 100000

`read` gives a model that `write` takes, or raises ModelError: nothing else, soon,
and without using much more memory than the file is long. The same case is the
same file every time: `--first N` starts at case N.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import os
import random
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

from sbn_converters.tflite.flatbuffer import File
from sbn_converters.tflite.flexbuffer import read_map, write_map
from sbn_converters.tflite.read import read
from sbn_converters.tflite.schema import CUSTOM, OPERATORS
from sbn_converters.tflite.write import write
from sbn_runtime.errors import ModelError

from .raw import Fields, pooled, raw, wordy
from .tflite_models import binary_network, one_operator

CHUNK = 500
# Memory is looked at in one case of so many: that is slow.
MEMORY_EVERY = 20
MEMORY_PER_BYTE = 10
MEMORY_FOR_ANY_FILE = 2 << 20
# Seconds after which a chunk of cases is taken to hang.
PATIENCE = 120
# Seconds that a case may take, however busy the machine.
SLOWEST = 10.0


@dataclass(frozen=True)
class Seed:
    """A sound file. spans: the parts of it that the reader looks at: first byte, length."""

    data: bytes
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]


@dataclass
class Outcome:
    """What became of some cases."""

    cases: int = 0
    accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: float = 0.0

    def add(self, other: Outcome) -> None:
        """Add the cases of another outcome."""
        self.cases += other.cases
        self.accepted += other.accepted
        self.reasons.update(other.reasons)
        self.failures.extend(other.failures)
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)


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


def run(first: int, count: int) -> Outcome:
    """Run cases from `first` on."""
    outcome = Outcome()
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        for number in range(first, first + count):
            _run_case(number, outcome)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return outcome


def _run_case(number: int, outcome: Outcome) -> None:
    data = case(number)
    outcome.cases += 1
    watched = number % MEMORY_EVERY == 0
    if watched:
        tracemalloc.start()
    start = time.perf_counter()
    try:
        model = read(data)
    except ModelError as error:
        outcome.reasons[type(error).__name__] += 1
        if "\n" in str(error):
            outcome.failures.append(f"case {number}: the message has several lines: {error}")
    except Exception:
        outcome.failures.append(f"case {number}: {traceback.format_exc()}")
    else:
        outcome.accepted += 1
        try:
            again = read(write(model))
            if (again.operators, again.inputs) != (model.operators, model.inputs):
                outcome.failures.append(f"case {number}: another model comes back")
        except Exception:
            outcome.failures.append(f"case {number}, written: {traceback.format_exc()}")
    seconds = time.perf_counter() - start
    outcome.slowest = max(outcome.slowest, seconds)
    if seconds > SLOWEST:
        outcome.failures.append(f"case {number}: {seconds:.1f} s")
    if watched:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        outcome.memory = max(outcome.memory, peak / max(len(data), 1))
        if peak > MEMORY_PER_BYTE * len(data) + MEMORY_FOR_ANY_FILE:
            outcome.failures.append(f"case {number}: {peak} bytes of memory for {len(data)}")


def main() -> int:
    """Run cases on all cores; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="number of cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args()
    total, begin = Outcome(), time.monotonic()
    end = options.first + options.count
    chunks = range(options.first, end, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(run, chunks, [min(CHUNK, end - first) for first in chunks]):
            total.add(outcome)
            rate = total.cases / (time.monotonic() - begin)
            print(
                f"\r{total.cases} of {options.count} files, {total.accepted} still sound, "
                f"{len(total.failures)} failures, {rate:.0f} a second ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(file=sys.stderr)
    for failure in total.failures[:20]:
        print(failure)
    print(
        f"{total.cases} files: {total.accepted} read, {total.cases - total.accepted} refused, "
        f"{len(total.failures)} failures; slowest {total.slowest:.2f} s"
    )
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
