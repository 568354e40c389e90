"""What one inference of a network executes in the native runtime, whose products of floats SME2
computes: on a board without it, for what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbn_deploy.untrained import export_untrained
from tests.packaging.wheels import ROOT

from .boards import BOARDS
from .networks import measured, parts_by_place
from .sme2 import NETWORKS, SOURCES
from .tools import run
from .trace import HERE, record

BOARD = "Raspberry Pi 5"
INPUT_BYTES = 224 * 224 * 3
LIBRARY = "libsbn_native.so"


def measure(build: Path) -> dict[str, dict[str, Any]]:
    """By network, what `networks.measure` says of one.

    Args:
        build: CMake's folder of an aarch64 build, with the linker's map in libsbn_native.map.
    """
    [board] = (board for board in BOARDS if board.name == BOARD)
    folder = ROOT / "build" / "arm-cycles"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "infer"
    headers = f"-I{SOURCES / 'include'}"
    run("aarch64-linux-gnu-gcc", "-O2", headers, str(HERE / "infer.c"), "-ldl", "-o", str(program))
    part_of = parts_by_place((build / "libsbn_native.map").read_text(), LIBRARY)
    found = {}
    for name in NETWORKS:
        model = folder / f"{name}.onnx"
        if not model.exists():
            export_untrained(name, model)
        trace = record(
            [program, build / LIBRARY, model, str(INPUT_BYTES), board.isa],
            folder / "trace",
            core=board.core,
            root=Path("/usr/aarch64-linux-gnu"),
            caches=[(cache.sets, cache.ways) for cache in board.caches],
        )
        found[name] = measured(trace, board, part_of)
    return found
