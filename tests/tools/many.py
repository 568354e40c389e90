"""How fast many small pictures are classified, by `sbn predict -o` and by loops.

    python -m tests.tools.many MODEL --pictures 20000

Makes a parquet file of encoded pictures and an archive of the same pixels, and times, each in a
process of its own and in turn:

- a plain loop over the parquet file: `BatchClassifier`, so the same decoding, one thread
- `sbn predict -o` on it, with 1 and with 2 processes
- a bare `Session` on the pixels, one thread, at each of several batch sizes: no decoding at all
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from sbn_runtime import BatchClassifier, Preprocess, Session

GROUP = 500
SIZES = (1, 8, 32, 64, 128, 256)
SBN = (sys.executable, "-m", "sbn_deploy.cli")
MODES = {1: "L", 3: "RGB"}


def write_pictures(folder: Path, model: Path, count: int) -> None:
    """`pictures.parquet` and `pixels.npz` of random smooth pictures in the model's size."""
    wanted = BatchClassifier(model).wanted
    assert isinstance(wanted, Preprocess)
    rng = np.random.default_rng(0)
    pixels = np.empty((count, wanted.height, wanted.width, wanted.channels), np.uint8)
    rows = []
    for index in range(count):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((wanted.width, wanted.height))
        image = image.convert(MODES[wanted.channels])
        file = io.BytesIO()
        image.save(file, "png")
        rows.append({"bytes": file.getvalue(), "path": f"{index}.png"})
        shown = np.asarray(image).reshape(pixels.shape[1:])
        pixels[index] = shown.astype(np.uint16) * wanted.pixel_max // 255
    pq.write_table(pa.table({"image": rows}), folder / "pictures.parquet", row_group_size=GROUP)
    np.savez(folder / "pixels.npz", images=pixels)


def loop(model: Path, folder: Path) -> None:
    """What somebody writes who does not know of `sbn predict -o`."""
    classify = BatchClassifier(model)
    with pq.ParquetFile(folder / "pictures.parquet") as file:
        tables = [
            classify({"image": batch.column("image").to_pylist()})
            for batch in file.iter_batches(GROUP)
        ]
    columns = {name: [row for table in tables for row in table[name]] for name in tables[0]}
    pq.write_table(pa.table(columns), folder / "loop.parquet")


def bare(model: Path, folder: Path, size: int) -> None:
    """The network alone."""
    session = Session(model, threads=1)
    with np.load(folder / "pixels.npz") as archive:
        images = archive["images"]
    for start in range(0, len(images), size):
        session.predict(session.preprocess(images[start : start + size]), return_uncertainty=True)


def command(model: Path, folder: Path, processes: int) -> None:
    """`sbn predict -o`."""
    arguments = ("predict", model, folder / "pictures.parquet", "-o", folder / "a.parquet")
    subprocess.run([*SBN, "-q", *arguments, "--processes", str(processes)], check=True)


def seconds(work: Callable[[], None]) -> float:
    """Of one call, with all that belongs to it."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ways(model: Path, folder: Path) -> dict[str, Callable[[], None]]:
    """Everything that is compared, by name."""
    found: dict[str, Callable[[], None]] = {
        "loop over BatchClassifier": lambda: loop(model, folder),
        "sbn predict -o, 1 process": lambda: command(model, folder, 1),
        "sbn predict -o, 2 processes": lambda: command(model, folder, 2),
    }
    for size in SIZES:
        found[f"Session, pixels, batch {size}"] = lambda size=size: bare(model, folder, size)
    return found


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description="Compares `sbn predict -o` with a loop over the same pictures, and with the"
        " network alone."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="classifier of `sbn export`")
    parser.add_argument("--pictures", type=int, default=20_000, metavar="N", help="(20000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="of each, in turn (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, options.model, options.pictures)
        work = ways(options.model, folder)
        times: dict[str, list[float]] = {title: [] for title in work}
        for _ in range(options.rounds):
            for title, call in work.items():
                times[title].append(seconds(call))
    print(f"{'':30} {'pictures/s':>12} {'lowest':>10} {'highest':>10}   (start included)")
    for title, found in times.items():
        middle, low, high = (options.pictures / f(found) for f in (statistics.median, max, min))
        print(f"{title:30} {middle:12,.0f} {low:10,.0f} {high:10,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
