"""What one inference of each network executes on each board, and how long that should take."""

from __future__ import annotations

import os
import re
import shutil
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sbn_deploy.untrained import export_untrained
from tests.packaging import arm
from tests.packaging.wheels import CONSTRAINTS, ROOT

from . import estimate
from .boards import BOARDS, LINE, Board
from .trace import HERE, Place, Trace, record

NETWORKS = (
    "quicknet-small",
    "quicknet",
    "quicknet-large",
    "birealnet18",
    "cifar-vgg",
    "cifar-vgg-s",
)
# The parts of an inference, and the folders of src/kernels or the libraries that do them.
BINARY, FIRST, FLOAT, ONNXRUNTIME, REST = "binary", "first", "float", "onnxruntime", "rest"
PARTS = (BINARY, FIRST, FLOAT, ONNXRUNTIME, REST)
PRODUCT = "product"  # of floats, in the native runtime
KERNELS = {"pixel_conv": FIRST, "window": FLOAT, "float_product": PRODUCT}


@dataclass(frozen=True)
class Part:
    """A part of an inference: executed instructions, cycles, their standard error."""

    instructions: int
    cycles: float
    error: float


def measure(build: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """By board and network: parts, mispredictions and cache lines fetched by each level.

    Args:
        build: CMake's folder of an aarch64 build, with the linker's map in libsbn.map.
    """
    machine = arm.make()
    folder = ROOT / "build" / "arm-cycles"
    site = folder / "site"
    if not site.exists():
        machine.install(site, CONSTRAINTS, "numpy", "onnxruntime")
    library = folder / "library"
    shutil.copytree(ROOT / "runtime/sbn_runtime", library / "sbn_runtime", dirs_exist_ok=True)
    shutil.copy(build / "libsbn.so", library / "sbn_runtime")
    part_of = parts_by_place((build / "libsbn.map").read_text())
    found: dict[str, dict[str, dict[str, Any]]] = {board.name: {} for board in BOARDS}
    for name in NETWORKS:
        model = folder / f"{name}.onnx"
        export_untrained(name, model)
        for board in BOARDS:
            trace = record(
                [arm.FOLDER / "usr/bin/python3", HERE / "infer.py", model],
                folder / "trace",
                core=board.core,
                root=arm.FOLDER,
                environment={
                    "PYTHONPATH": os.pathsep.join(map(str, (library, site))),
                    "SBN_ISA": board.isa,
                },
                caches=[(cache.sets, cache.ways) for cache in board.caches],
            )
            found[board.name][name] = measured(trace, board, part_of)
            print(board.name, name, f"{ms(found[board.name][name], board, board.ghz[0]):.1f} ms")
    return found


def measured(trace: Trace, board: Board, part_of: Callable[[Place], str]) -> dict[str, Any]:
    """What `measure` says of a network on a board."""
    parts = {}
    for name, order in trace.parts(part_of).items():
        cycles = estimate.of_part(trace, order, board.model)
        count = int(trace.sizes[order].sum())
        parts[name] = asdict(Part(count, round(cycles.cycles), round(cycles.error)))
    return {
        "parts": parts,
        "mispredictions": estimate.mispredictions(trace),
        "lines": list(trace.lines),
    }


def parts_by_place(linker_map: str, library: str = "libsbn.so") -> Callable[[Place], str]:
    """A function that says to which part of an inference a block of instructions belongs.

    `linker_map` is what the linker wrote about the library.
    """
    pattern = r"^ \.text\S*\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+\S*src/(\S+)$"
    sections = sorted(
        (int(start, 16), int(start, 16) + int(size, 16), source)
        for start, size, source in re.findall(pattern, linker_map, re.MULTILINE)
    )

    def part_of(place: Place) -> str:
        if "onnxruntime" in place.file:
            return ONNXRUNTIME
        if place.file != library:
            return REST
        at = bisect_right(sections, (place.offset, 1 << 64, "")) - 1
        _, end, source = sections[at]
        if at < 0 or place.offset >= end or not source.startswith("kernels/"):
            return REST
        return KERNELS.get(source.split("/")[1], BINARY)

    return part_of


def compute_cycles(network: dict[str, Any]) -> float:
    """Cycles of all parts, everything predicted and in the first cache."""
    return sum(float(part["cycles"]) for part in network["parts"].values())


def misprediction_cycles(network: dict[str, Any], board: Board) -> int:
    """Cycles that mispredicted branches cost."""
    return int(network["mispredictions"]) * board.misprediction


def transfer_ms(network: dict[str, Any], board: Board, ghz: float) -> float:
    """Time that cache lines take, if the core did nothing meanwhile."""
    lines: list[int] = network["lines"]
    near = zip(lines, board.caches[:-1], strict=False)
    cycles = sum(count * LINE / cache.bytes_per_cycle for count, cache in near)
    return cycles / ghz / 1e6 + lines[-1] * LINE / board.memory / 1e6


def ms(network: dict[str, Any], board: Board, ghz: float) -> float:
    """The whole estimate: nothing overlaps."""
    cycles = compute_cycles(network) + misprediction_cycles(network, board)
    return cycles / ghz / 1e6 + transfer_ms(network, board, ghz)
