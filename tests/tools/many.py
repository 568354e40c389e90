"""How fast many small pictures are classified by `sbn predict -o` and by a plain loop.

    python -m tests.tools.many MODEL

Prints the table of docs/many.md. Pictures of the model's size are in parquet files and tar archives
as PNG, and in `.npz` files as pixels, 10,000 in a file; all are repetitions of 256. In each row the
same pictures are answered by both, with as many processes and one thread in each: by the loop of
`many_loops.py`, and by `sbn predict -o`. Seconds, of the clock and of the processors, are those of
the whole command with its start; memory is the largest sum of what its processes hold.

At the end `sbn predict -o` is killed at random moments and resumed, and its file compared.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sbn_runtime import BatchClassifier, Preprocess, Session
from sbn_runtime.system import core_count

FORMS = ("parquet", "tar", "npz")
KINDS, SHARD, GROUP = 256, 10_000, 1000
SIZES = (1, 8, 32, 64, 128, 256, 512)
MODES = {1: "L", 3: "RGB"}
BEAT_S = 0.05
KILLS = 3
SBN = (sys.executable, "-m", "sbn_deploy.cli", "-q", "predict")
LOOP = (sys.executable, "-m", "tests.tools.many_loops")


@dataclass(frozen=True)
class Cost:
    """Of a command: seconds of the clock and of the processors, and bytes of memory at most."""

    seconds: float
    cpu: float
    memory: int


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description="Compares `sbn predict -o` with a plain loop over the same pictures."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="classifier of `sbn export`")
    parser.add_argument(
        "--pictures",
        type=int,
        nargs="+",
        default=[1000, 10_000, 100_000, 1_000_000],
        metavar="N",
        help="(1000 10000 100000 1000000)",
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], metavar="P")
    options = parser.parse_args()
    kinds = pictures(options.model)
    size = best_size(options.model, kinds)
    print(f"The loop's batches are of {size} pictures, with which a bare Session is fastest.\n")
    print(
        "| pictures | in | processes | loop, pictures/s | `sbn predict -o` | of the loop's speed |"
        " by processor time | memory of the loop, MB | memory, MB |"
    )
    print("|" + "---:|---|" + "---:|" * 7)
    for count, form, processes in cases(options.pictures, options.processes):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = write(folder, form, count, kinds)
            output = folder / "answers"
            words = [str(options.model), *map(str, files)]
            loop = cost([*LOOP, f"{output}.loop", str(processes), str(size), *words])
            ours = cost([*SBN, *words, "-o", f"{output}.parquet", "--processes", str(processes)])
            compare(Path(f"{output}.loop"), Path(f"{output}.parquet"))
        print(row(count, form, processes, loop, ours), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kill(options.model, write(folder, FORMS[0], sorted(options.pictures)[-2], kinds), folder)
    print(f"\nKilled {KILLS} times at random moments and resumed, it gave the same file.")
    return 0


def cases(counts: Sequence[int], processes: Sequence[int]) -> Iterator[tuple[int, str, int]]:
    """Pictures, form and processes of each row.

    As many as there are cores for all counts; others, and archives, for the largest but one.
    """
    *_, middle, largest = sorted(counts)
    cores = core_count()
    yield from ((count, FORMS[0], cores) for count in sorted(counts) if count < middle)
    for form in FORMS:
        yield from ((middle, form, count) for count in processes)
    yield from ((largest, form, cores) for form in ("parquet", "npz"))


def row(count: int, form: str, processes: int, loop: Cost, ours: Cost) -> str:
    """A row of the table."""
    cells = (
        f"{count:,}",
        form,
        str(processes),
        *(f"{count / one.seconds:,.0f}" for one in (loop, ours)),
        f"{loop.seconds / ours.seconds:.0%}",
        f"{loop.cpu / ours.cpu:.0%}",
        *(f"{one.memory / 1e6:,.0f}" for one in (loop, ours)),
    )
    return f"| {' | '.join(cells)} |"


def pictures(model: Path) -> list[tuple[bytes, Any]]:
    """Smooth pictures in the model's size: PNG files, and uint8 [H, W, C] in its range."""
    wanted = BatchClassifier(model).wanted
    assert isinstance(wanted, Preprocess)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(KINDS):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((wanted.width, wanted.height))
        image = image.convert(MODES[wanted.channels])
        file = io.BytesIO()
        image.save(file, "png")
        pixels = np.asarray(image).reshape(wanted.height, wanted.width, wanted.channels)
        scaled = (2 * wanted.pixel_max * pixels.astype(np.uint32) + 255) // 510
        found.append((file.getvalue(), scaled.astype(np.uint8)))
    return found


def write(folder: Path, form: str, count: int, kinds: list[tuple[bytes, Any]]) -> list[Path]:
    """Files with so many pictures; at least four."""
    shard = min(SHARD, -(-count // 4))
    found = []
    for first in range(0, count, shard):
        numbers = range(first, min(first + shard, count))
        found.append(folder / f"{first:08}.{form}")
        if form == "parquet":
            rows = [{"bytes": kinds[n % KINDS][0], "path": f"{n:08}.png"} for n in numbers]
            pq.write_table(pa.table({"image": rows}), found[-1], row_group_size=GROUP)
        elif form == "npz":
            np.savez(found[-1], images=np.stack([kinds[n % KINDS][1] for n in numbers]))
        else:
            with tarfile.open(found[-1], "w") as archive:
                for number in numbers:
                    content = kinds[number % KINDS][0]
                    for suffix, data in ((".png", content), (".cls", b"0")):
                        member = tarfile.TarInfo(f"{number:08}{suffix}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))
    # Else each part that is written waits for these.
    os.sync()
    return found


def best_size(model: Path, kinds: list[tuple[bytes, Any]]) -> int:
    """The batch size at which a bare `Session` takes least time for a picture."""
    session = Session(model, threads=1)
    pixels = np.stack([one for _, one in kinds] * 8)
    times: dict[int, float] = {}
    for _ in range(3):
        for size in SIZES:
            start = time.process_time()
            for first in range(0, len(pixels), size):
                session.predict(session.preprocess(pixels[first : first + size]))
            taken = time.process_time() - start
            times[size] = min(taken, times.get(size, taken))
    return min(times, key=lambda size: times[size])


def cost(command: Sequence[str]) -> Cost:
    """Of a command and all its processes."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    own = psutil.Process(process.pid)
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        peak = max(peak, sum(map(resident, (own, *children(own)))))
        time.sleep(BEAT_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak)


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that a process started; none if it is gone."""
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


def resident(process: psutil.Process) -> int:
    """Bytes of memory; 0 of a process that is gone."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def compare(loop: Path, ours: Path) -> None:
    """Whether both found the same."""
    expected = pq.read_table(loop, columns=["file", "label"])
    found = pq.read_table(ours, columns=["file", "label"])
    assert found.equals(expected), f"{ours} and {loop} differ"


def kill(model: Path, files: list[Path], folder: Path) -> None:
    """Kills a run at random moments; raises AssertionError where it does not end in the same."""
    words = [*SBN, str(model), *map(str, files), "-o"]
    whole, killed = folder / "whole.parquet", folder / "killed.parquet"
    seconds = cost([*words, str(whole)]).seconds
    for _ in range(KILLS):
        process = subprocess.Popen([*words, str(killed)], stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0, seconds / KILLS))
        process.kill()
        process.wait()
    cost([*words, str(killed)])
    assert killed.read_bytes() == whole.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
