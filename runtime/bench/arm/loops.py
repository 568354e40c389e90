"""Binary MACs a cycle of the innermost loops of the kernels, as compiled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import mca
from .tools import run

# Core, and the name of LLVM's model. That of Cortex-A76 in LLVM is still Cortex-A57's;
# Neoverse N1 is the same core for servers.
CORES = {
    "Cortex-A53": "cortex-a53",
    "Cortex-A55": "cortex-a55",
    "Cortex-A72": "cortex-a72",
    "Cortex-A76": "neoverse-n1",
    "Cortex-A710": "cortex-a710",
    "Apple M1": "apple-m1",
}
ITERATIONS = 400


@dataclass(frozen=True)
class Kernel:
    """What a row of the report measures: the loops of an object file that count most."""

    title: str
    source: str  # of the kernel, below src/kernels
    counts: str  # pattern of the instruction that counts
    macs: int  # of each of these instructions
    unit: str = "binary"
    lacking: tuple[str, ...] = ()  # cores without the instruction


KERNELS = (
    Kernel("convolution, `neon`", "conv/neon.cc", r"cnt\tv\d+\.16b", 128),
    Kernel(
        "convolution, `neon_lut2`", "conv/neon_lut2.cc", r"tbl\tv\d+\.16b, \{v\d+\.16b[,-]", 160
    ),
    Kernel("dense, `neon`, a row alone", "dense/neon.cc", r"cnt\tv\d+\.16b", 128),
    Kernel("first layer, `neon`", "pixel_conv/neon.cc", r"smull2?\t", 8, "8-bit"),
    Kernel(
        "first layer, SDOT",
        "pixel_conv/dotprod.cc",
        r"sdot\t",
        16,
        "8-bit",
        lacking=("Cortex-A53", "Cortex-A72"),
    ),
    Kernel(
        "first layer, SMMLA",
        "pixel_conv/i8mm.cc",
        r"smmla\t",
        32,
        "8-bit",
        lacking=("Cortex-A53", "Cortex-A55", "Cortex-A72", "Cortex-A76", "Apple M1"),
    ),
)


@dataclass(frozen=True)
class Loop:
    """An innermost loop: its instructions, and the MACs of one iteration."""

    body: tuple[str, ...]
    macs: int


def rows(build: Path) -> list[list[str]]:
    """The lines of the table: a kernel, MACs of an iteration, MACs a cycle of each core.

    `build` is CMake's folder of an aarch64 build.
    """
    return [row(build, kernel) for kernel in KERNELS]


def row(build: Path, kernel: Kernel) -> list[str]:
    """One line of the table: the slowest of the loops that count most, on each core."""
    loops = list(loops_of(build, kernel))
    most = max(loop.macs for loop in loops)
    cells = []
    for core, model in CORES.items():
        if core in kernel.lacking:
            cells.append("–")
            continue
        cycles = max(
            mca.cycles(model, loop.body, ITERATIONS) for loop in loops if loop.macs == most
        )
        cells.append(f"{most * ITERATIONS / cycles:.1f}")
    return [kernel.title, f"{most} {kernel.unit}", *cells]


def loops_of(build: Path, kernel: Kernel) -> Iterator[Loop]:
    """The innermost loops of a kernel's object file that count anything."""
    [file] = build.glob(f"CMakeFiles/sbn_operators.dir/src/kernels/{kernel.source}.o")
    text = run("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(file))
    for function in re.split(r"^[0-9a-f]+ <.*>:$", text, flags=re.MULTILINE):
        for body in innermost_loops(re.findall(r"^ *([0-9a-f]+):\t(.*)$", function, re.MULTILINE)):
            counting = sum(bool(re.match(kernel.counts, line)) for line in body)
            if counting:
                yield Loop(body, kernel.macs * counting)


def innermost_loops(lines: list[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """What lies between a conditional branch back and its target, if no other loop does.

    `lines` are the addresses and the instructions of a function.
    """
    index = {int(address, 16): i for i, (address, _) in enumerate(lines)}
    last_target = -1
    for i, (address, code) in enumerate(lines):
        branch = re.match(r"(?:b\.\w+|cbn?z|tbn?z)\t(?:.*, )?([0-9a-f]+) <", code)
        if not branch or int(branch[1], 16) >= int(address, 16):
            continue
        first = index[int(branch[1], 16)]
        if first > last_target:
            yield tuple(instruction(line) for _, line in lines[first : i + 1])
        last_target = max(first, last_target)


def instruction(line: str) -> str:
    """A disassembled line as an assembler reads it; branches go anywhere."""
    code = line.split("//")[0].rstrip()
    return re.sub(r"[0-9a-f]+ <.*>$", ".", code)
