"""How much memory training from storage takes, by the size of the set.

    python -m tests.tools.storage_memory --pictures 2000 20000

Writes a folder of small JPEG files for each size, trains on it with `sbn train` for one epoch,
validation and scoring included, and prints the largest memory of all its processes together: the
proportional set size of Linux, in which pages that processes share count once.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 4
EVERY = 0.05
"""Seconds between two looks at the memory."""


def write_pictures(folder: Path, count: int, side: int) -> None:
    """JPEG files of a few hundred bytes: flat colours, of which some thousand are kept in turn."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(min(count, 1000)):
        file = io.BytesIO()
        Image.new("RGB", (side, side), tuple(rng.integers(0, 256, 3).tolist())).save(file, "jpeg")
        contents.append(file.getvalue())
    for index in range(count):
        path = folder / f"class{index % CLASSES}" / f"{index:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[index % len(contents)])


def peak(command: list[str]) -> int:
    """The most bytes that a command and all processes below it had at once.

    Raises CalledProcessError where the command fails.
    """
    most = 0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            most = max(most, sum(map(proportional, family(process.pid))))
            time.sleep(EVERY)
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, said.read())
    return most


def family(pid: int) -> list[int]:
    """A process, and those below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            found += family(int(child))
    return found


def proportional(pid: int) -> int:
    """The proportional set size of a process in bytes; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def training(data: Path, out: Path, size: int, settings: list[str]) -> list[str]:
    """One epoch of a network with few parameters."""
    chosen = (
        "arch=quicknet-tiny",
        "model.widths=[8, 16, 16, 16]",
        "model.stem_stride=4",
        "batch_size=32",
        "members=1",
    )
    chosen = (*chosen, "validation=true", "epochs=1", *settings)
    options = [part for setting in chosen for part in ("--set", setting)]
    command = [sys.executable, "-m", "sbn_deploy.cli", "train", "--data", f"folder:{data}"]
    return [*command, "--size", str(size), *options, "--out", str(out)]


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description="Memory of training from storage.")
    parser.add_argument("--pictures", type=int, nargs="+", default=[2000, 20_000], metavar="N")
    parser.add_argument("--size", type=int, default=96, help="of the input, in pixels (96)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], metavar="W")
    parser.add_argument(
        "--memory", action="store_true", help="also with the images in memory, to compare"
    )
    options = parser.parse_args()
    print(f"{'pictures':>10} {'in memory they take':>20} {'images':>9} {'workers':>8} {'peak':>9}")
    for count in options.pictures:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_pictures(folder / "set", count, options.size)
            ways = [("storage", workers) for workers in options.workers]
            for place, workers in [*ways, *[("memory", 0)] * options.memory]:
                settings = [f"images={place}", f"workers={workers}"]
                settings += ["crop=0.2"] if place == "storage" else []
                command = training(folder / "set", folder / "out", options.size, settings)
                most = peak(command)
                shutil.rmtree(folder / "out")
                whole = count * options.size**2 * 3
                print(
                    f"{count:10,} {whole / 1e6:17,.0f} MB {place:>9} {workers:8}"
                    f" {most / 1e6:6,.0f} MB",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
