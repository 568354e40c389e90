"""Binary MACs a cycle of the innermost loops of the ARM kernels, as compiled, by LLVM's models.

    python runtime/bench/arm_cycles.py BUILD_FOLDER -o docs/arm-cycles.md

Needs aarch64-linux-gnu-objdump and llvm-mca 19 or newer. No cache is modelled: operands are
taken to be in the first one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


COUNT = r"cnt\tv\d+\.16b"
LOOK_UP = r"tbl\tv\d+\.16b, \{v\d+\.16b[,-]"  # in two registers
KERNELS = (
    Kernel("convolution, `neon`", "conv/neon.cc", r"cnt\tv\d+\.16b", 128),
    Kernel(
        "convolution, `neon_lut2`", "conv/neon_lut2.cc", r"tbl\tv\d+\.16b, \{v\d+\.16b[,-]", 160
    ),
    Kernel("dense, `neon`", "dense/neon.cc", r"cnt\tv\d+\.16b", 128),
    Kernel("first layer, `neon`", "pixel_conv/neon.cc", r"smull2?\t", 8, "8-bit"),
    Kernel(
        "first layer, SDOT",
        "pixel_conv/dotprod.cc",
        r"sdot\t",
        16,
        "8-bit",
        lacking=("Cortex-A53", "Cortex-A72"),
    ),
)


@dataclass(frozen=True)
class Loop:
    """An innermost loop: its instructions, and the MACs of one iteration."""

    body: tuple[str, ...]
    macs: int


def main() -> None:
    """Writes the report of a build folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="CMake's folder of an aarch64 build")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    mca = find_mca()
    rows = [row(mca, options.build, kernel) for kernel in KERNELS]
    options.output.write_text(report(mca, rows))


def find_mca() -> str:
    """The newest llvm-mca of this machine. Raises SystemExit when it is too old."""
    names = (*(f"llvm-mca-{version}" for version in range(29, 18, -1)), "llvm-mca")
    for name in filter(shutil.which, names):
        found = re.search(r"LLVM version (\d+)", run(name, "--version"))
        if found and int(found[1]) >= 19:
            return name
    raise SystemExit("missing: llvm-mca 19 or newer, which knows Cortex-A53, A76 and Apple's cores")


def row(mca: str, build: Path, kernel: Kernel) -> list[str]:
    """One line of the table: the slowest of the loops that count most, on each core."""
    loops = list(loops_of(build, kernel))
    most = max(loop.macs for loop in loops)
    cells = []
    for core, model in CORES.items():
        if core in kernel.lacking:
            cells.append("–")
            continue
        cycles = max(cycles_of(mca, model, loop) for loop in loops if loop.macs == most)
        cells.append(f"{most / cycles:.1f}")
    return [kernel.title, f"{most} {kernel.unit}", *cells]


def loops_of(build: Path, kernel: Kernel) -> Iterator[Loop]:
    """The innermost loops of a kernel's object file that count anything."""
    [file] = build.glob(f"CMakeFiles/sbn.dir/src/kernels/{kernel.source}.o")
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


def cycles_of(mca: str, model: str, loop: Loop) -> float:
    """Cycles of one iteration."""
    options = ("-mtriple=aarch64", f"-mcpu={model}", f"-iterations={ITERATIONS}")
    text = run(mca, *options, "-mattr=+dotprod", input="\n".join(loop.body) + "\n")
    total = re.search(r"Total Cycles: +(\d+)", text)
    assert total
    return int(total[1]) / ITERATIONS


def report(mca: str, rows: list[list[str]]) -> str:
    """The page."""
    heads = ["kernel", "MAC an iteration", *CORES]
    table = [heads, ["---"] * len(heads), *rows]
    compiler = run("aarch64-linux-gnu-g++", "--version").splitlines()[0]
    version = re.search(r"LLVM version ([\d.]+)", run(mca, "--version"))
    assert version
    lines = [
        "# Cycles of the ARM kernels",
        "",
        "MAC a cycle of the innermost loops, as compiled, by LLVM's cycle models of the cores."
        " They leave out caches, what surrounds the loops, and what the models get wrong; nothing"
        " here was timed on a device. `make arm-cycles` writes this page.",
        "",
        *("| " + " | ".join(cells) + " |" for cells in table),
        "",
        f"{compiler}; llvm-mca {version[1]}. The column Cortex-A76 is LLVM's model of Neoverse N1,"
        " the same core for servers. Which of the two sets convolves is decided by timing both"
        " once in a process.",
    ]
    return "\n".join(lines) + "\n"


def run(*command: str, input: str | None = None) -> str:
    """Standard output of a command. Raises CalledProcessError."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=input)
    return done.stdout


if __name__ == "__main__":
    main()
