"""LLVM's models of cores: how many cycles instructions take, operands in the first cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from functools import cache

from .tools import run

TRIPLE = "aarch64"
OLDEST = 19  # knows Cortex-A53, A76 and Apple's cores; the Makefile reads this line
PROGRAMS = ("llvm-mc", "llvm-mca")


def missing() -> str:
    """Which of LLVM's programs are missing or too old, empty if none is."""
    names = [program for program in PROGRAMS if _newest(program) is None]
    if not names:
        return ""
    remedy = f"sudo apt-get install llvm-{OLDEST}"
    return f"missing: {' and '.join(names)} {OLDEST} or newer. Type: {remedy}"


def version() -> str:
    """Of the llvm-mca in use."""
    found = re.search(r"LLVM version ([\d.]+)", run(find("llvm-mca"), "--version"))
    assert found
    return found[1]


def cycles(model: str, code: Sequence[str], iterations: int = 1) -> int:
    """Cycles of so many iterations of assembler lines, from the first fetch to the last retired.

    Branches are taken to be predicted, and to go to the next line. Instructions that the model
    lacks, as that of Neoverse N1 does compare-and-swap, take no time.
    """
    options = (f"-mtriple={TRIPLE}", f"-mcpu={model}", f"-iterations={iterations}")
    quick = ("-instruction-info=0", "-resource-pressure=0")
    lacking = "-skip-unsupported-instructions=lack-sched"
    text = run(
        find("llvm-mca"),
        *options,
        *quick,
        lacking,
        "-mattr=+dotprod,+i8mm",
        input="\n".join(code) + "\n",
    )
    total = re.search(r"Total Cycles: +(\d+)", text)
    assert total
    return int(total[1])


def disassemble(words: Iterable[int]) -> list[str]:
    """A line of assembler for each instruction, as `cycles` takes them.

    Calls become branches, for which llvm-mca would assume a hundred cycles.
    """
    text = "\n".join(" ".join(f"0x{byte:02x}" for byte in w.to_bytes(4, "little")) for w in words)
    options = ("--disassemble", f"-triple={TRIPLE}", "-mattr=+all")
    lines = run(find("llvm-mc"), *options, input=text).splitlines()
    return [_no_call(line.strip()) for line in lines if re.match(r"\t[^.]", line)]


def _no_call(line: str) -> str:
    line = re.sub(r"^bl(r?)\t", r"b\1\t", line)
    return "br\tx30" if line == "ret" else line


def find(program: str) -> str:
    """The newest of LLVM's programs of this name. Raises SystemExit when there is none."""
    name = _newest(program)
    if name is None:
        raise SystemExit(missing())
    return name


@cache
def _newest(program: str) -> str | None:
    names = (*(f"{program}-{version}" for version in range(29, OLDEST - 1, -1)), program)
    for name in filter(shutil.which, names):
        found = re.search(r"LLVM version (\d+)", run(name, "--version"))
        if found and int(found[1]) >= OLDEST:
            return name
    return None
