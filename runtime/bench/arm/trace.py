"""What a program for 64-bit ARM executes between two calls of getppid(), recorded under qemu."""

from __future__ import annotations

import os
import re
import subprocess
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import mca
from .tools import run

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Place:
    """Where a block of instructions comes from: a file, and the offset into it."""

    file: str
    offset: int


@dataclass(frozen=True)
class Trace:
    """The blocks executed, in order, and the cache lines fetched meanwhile.

    Attributes:
        order: int64 [executed], indices into the others, which hold what was executed only.
        code: the instructions of each block.
        addresses: int64 [blocks], of the first instruction of each.
        places: of the same.
        lines: fetched by each level of cache from the next, the last from memory.
    """

    order: NDArray[np.int64]
    code: tuple[tuple[int, ...], ...]
    addresses: NDArray[np.int64]
    places: tuple[Place, ...]
    lines: tuple[int, ...]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Instructions of each block, int64 [blocks]."""
        return np.array([len(words) for words in self.code], np.int64)

    @property
    def instructions(self) -> int:
        """How many were executed."""
        return int(self.sizes[self.order].sum())

    @cached_property
    def assembler(self) -> list[list[str]]:
        """The lines of each block."""
        lines = mca.disassemble(word for words in self.code for word in words)
        ends = np.cumsum(self.sizes)
        assert len(lines) == ends[-1]
        return [lines[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]

    def parts(self, of: Callable[[Place], str]) -> dict[str, NDArray[np.int64]]:
        """`order`, divided by what `of` says of each block's place."""
        names = np.array([of(place) for place in self.places])
        executed = names[self.order]
        return {str(name): self.order[executed == name] for name in np.unique(names)}


def record(
    command: Sequence[str | Path],
    folder: Path,
    *,
    core: str,
    root: Path | None = None,
    environment: Mapping[str, str] | None = None,
    caches: Sequence[tuple[int, int]] = (),
) -> Trace:
    """Runs a program for 64-bit ARM under qemu.

    Args:
        command: a path of this machine, and its arguments.
        folder: for what is recorded; made if it is not there.
        core: as qemu calls it.
        root: where the program finds its libraries.
        caches: sets and ways of each level of data cache, the one next to the core first.

    Raises:
        RuntimeError: the program failed; its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    levels = ":".join(f"{sets}x{ways}" for sets, ways in caches)
    plugins = [f"{_plugin('trace', folder)},folder={folder}"]
    if caches:
        plugins.append(f"{_plugin('caches', folder)},folder={folder},levels={levels}")
    done = subprocess.run(
        ["qemu-aarch64", "-cpu", core]
        + (["-L", str(root)] if root else [])
        + [word for plugin in plugins for word in ("-plugin", plugin)]
        + [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}")[-2000:])
    return _read(folder, bool(caches))


def _plugin(name: str, folder: Path) -> Path:
    library = folder / f"{name}.so"
    options = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")
    hidden = "-fvisibility=hidden"
    run("cc", *options, hidden, str(HERE / f"{name}.c"), "-o", str(library))
    return library


def _read(folder: Path, caches: bool) -> Trace:
    numbers, order = np.unique(np.fromfile(folder / "trace", np.uint32), return_inverse=True)
    addresses, code = [], []
    wanted = set(numbers.tolist())
    with (folder / "blocks").open() as file:
        for line in file:
            number, address, words = line.split()
            if int(number) in wanted:
                addresses.append(int(address, 16))
                code.append(tuple(int(words[i : i + 8], 16) for i in range(0, len(words), 8)))
    regions = _regions((folder / "maps").read_text())
    lines = (folder / "caches").read_text().split() if caches else []
    return Trace(
        order.astype(np.int64),
        tuple(code),
        np.array(addresses, np.int64),
        tuple(_place(regions, address) for address in addresses),
        tuple(int(line) for line in lines),
    )


def _regions(maps: str) -> list[tuple[int, int, int, str]]:
    """First address, the one after the last, offset and file of what lies in memory, in order."""
    pattern = r"^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ *(.*)$"
    return [
        (int(first, 16), int(end, 16), int(offset, 16), file)
        for first, end, offset, file in re.findall(pattern, maps, re.MULTILINE)
    ]


def _place(regions: list[tuple[int, int, int, str]], address: int) -> Place:
    first, end, offset, file = regions[bisect_right(regions, (address, 1 << 64)) - 1]
    return Place(Path(file).name, address - first + offset) if address < end else Place("", 0)
