"""How fast images are read from storage and computed, and what the recipes for 224x224 take.

    python -m tests.tools.storage_speed --memory 4

Writes generated pictures: PNG files of 32x32 pixels, and 20,000 JPEG files of 500x375 pixels as
ImageNet has them, which in memory would take 3 GB at 224x224; limits the memory of this process
(`ulimit -v`); and takes a few steps from storage: of quicknet-tiny at 32x32, and of each recipe of
models/imagenet, in smaller batches. The share is that of reading, divided among the processes,
in computing: from 100 % on, reading binds. Hours are those of the recipe's epochs on the pictures
of ImageNet, by what binds. Runs on a GPU where there is one, without the limit.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sbn_deploy.nn.threads import threads
from sbn_deploy.train.config import TrainConfig, load
from sbn_deploy.train.distributed import ranks
from sbn_deploy.train.loop import own_generators
from sbn_deploy.train.plan import Cost, measured
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Trainer

RECIPES = Path(__file__).parents[2] / "models" / "imagenet"
IMAGENET = 1_281_167
CLASSES = 10
DIFFERENT = 500
"""Pictures; the others are copies of them."""


def write_pictures(folder: Path, count: int, sides: tuple[int, int], suffix: str) -> None:
    """Smooth pictures with some noise; of 500x375 pixels they take about 100 kB, as photos do."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"class{index % CLASSES}" / f"{index:06}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index >= DIFFERENT:
            first = index % DIFFERENT
            path.hardlink_to(folder / f"class{first % CLASSES}" / f"{first:06}{suffix}")
            continue
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(sides, Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + rng.integers(-12, 13, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def cost(config: TrainConfig) -> Cost:
    """Of a step."""
    with threads(config.threads), ranks(config) as group, own_generators(group):
        ready = prepare(config)
        trainer = Trainer(ready.built.module, ready.head, ready.images, None, ready.config, group)
        return measured(trainer)


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description="What the recipes for 224x224 pixels take.")
    parser.add_argument("--pictures", type=int, default=20_000, metavar="N", help="(20000)")
    parser.add_argument("--batch", type=int, default=16, metavar="B", help="pictures in a step")
    parser.add_argument("--threads", type=int, default=1, metavar="T", help="of computing (1)")
    parser.add_argument("--memory", type=float, metavar="GB", help="limit of this process")
    options = parser.parse_args()
    if options.memory and not torch.cuda.is_available():
        limit = int(options.memory * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    heads = ("computed/s", "read/s", "readers", "share", "MB", "MB a picture", "epochs", "hours")
    print(f"{'':18}", *(f"{head:>{max(8, len(head))}}" for head in heads))
    with tempfile.TemporaryDirectory() as name:
        folder, batch = Path(name), options.batch
        write_pictures(folder / "32", 10 * batch, (32, 32), ".png")
        write_pictures(folder / "224", options.pictures, (500, 375), ".jpg")
        small = {"arch": "quicknet-tiny", "size": 32, "images": "storage"}
        entries = [("quicknet-tiny", None, {"data": f"folder:{folder / '32'}", **small})]
        for path in sorted(RECIPES.glob("*.toml")):
            entries.append((path.stem, path, {"data": f"folder:{folder / '224'}"}))
        for title, path, given in entries:
            given |= {"out": folder / "out", "threads": options.threads}
            recipe = load(path, **given)
            sizes = (batch // 2, batch)
            half, whole = (
                cost(load(path, **given, batch_size=size, gradient_accumulation=1))
                for size in sizes
            )
            reading = whole.reading / max(1, whole.readers)
            hours = recipe.epochs * IMAGENET / batch * whole.seconds / 3600
            print(
                f"{title:18} {batch / whole.computing:10,.1f} {batch / reading:8,.0f}"
                f" {whole.readers:8} {reading / whole.computing:8.1%} {whole.memory / 1e6:8,.0f}"
                f" {(whole.memory - half.memory) / (batch - batch // 2) / 1e6:12,.1f}",
                f"{recipe.epochs:8} {hours:8,.0f}" if path else "",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
