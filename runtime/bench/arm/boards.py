"""Boards, and what is assumed of them besides LLVM's models of their cores."""

from __future__ import annotations

from dataclasses import dataclass

LINE = 64  # bytes


@dataclass(frozen=True)
class Cache:
    """A level of data cache.

    Attributes:
        sets, ways: of lines of 64 bytes.
        bytes_per_cycle: at which the next level, or the memory behind it, gives lines; 0 for
            the last level, whose lines come from memory.
    """

    sets: int
    ways: int
    bytes_per_cycle: int = 0


@dataclass(frozen=True)
class Board:
    """A board with Cortex-A cores.

    Attributes:
        core: as qemu calls it.
        model: as LLVM calls it.
        isa: the kernel set that convolves, as timing both would choose by the table of loops.
        ghz: clocks to give times at.
        caches: the one next to the core first.
        memory: sustained by one core, in 10⁹ bytes a second.
        misprediction: cycles that one costs.
    """

    name: str
    core: str
    model: str
    isa: str
    ghz: tuple[float, ...]
    caches: tuple[Cache, ...]
    memory: float
    misprediction: int


BOARDS = (
    Board(
        "Raspberry Pi 4",
        "cortex-a72",
        "cortex-a72",
        "neon",
        (1.5, 1.8),
        (Cache(256, 2, 16), Cache(1024, 16)),
        4.8,
        15,
    ),
    Board(
        "Raspberry Pi 5",
        "cortex-a76",
        "neoverse-n1",
        "neon_lut2",
        (2.4,),
        (Cache(256, 4, 16), Cache(1024, 8, 8), Cache(2048, 16)),
        6.4,
        11,
    ),
)
