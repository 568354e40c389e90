"""What the recipes for 224x224 pixels take: speed of computing and of reading, memory, hours.

    python -m tests.tools.large_recipes --memory 4

Writes a folder of generated JPEG files, 20,000 of 500x375 pixels as ImageNet has them, which in
memory would take 3 GB at 224x224; limits the memory of this process (`ulimit -v`); and takes a few
steps of each recipe of models/imagenet from storage, in smaller batches. Hours are those of the
recipe's epochs on the pictures of ImageNet, by what takes longer: computing, or reading divided
among the processes. Runs on a GPU where there is one, without the limit.
"""

from __future__ import annotations

import argparse
import io
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
from sbn_deploy.train.loop import own_generators, prepare
from sbn_deploy.train.plan import Cost, measured
from sbn_deploy.train.trainer import Trainer

RECIPES = Path(__file__).parents[2] / "models" / "imagenet"
IMAGENET = 1_281_167
CLASSES = 10
DIFFERENT = 500
"""Pictures; the others are copies of them."""


def write_pictures(folder: Path, count: int) -> None:
    """Smooth pictures with some noise, of about 100 kB: their size is that of photos."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"class{index % CLASSES}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index >= DIFFERENT:
            first = index % DIFFERENT
            path.hardlink_to(folder / f"class{first % CLASSES}" / f"{first:06}.jpg")
            continue
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = smooth + rng.integers(-12, 13, smooth.shape)
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "jpeg", quality=90)
        path.write_bytes(file.getvalue())


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
    print(
        f"{'recipe':18} {'computed/s':>10} {'read/s':>8} {'readers':>7} {'binds':>9} {'MB':>7}",
        end="",
    )
    print(f" {'MB a picture':>12} {'epochs':>6} {'hours':>8}")
    with tempfile.TemporaryDirectory() as name:
        data, batch = Path(name) / "set", options.batch
        write_pictures(data, options.pictures)
        for path in sorted(RECIPES.glob("*.toml")):
            fixed = ["gradient_accumulation=1", f"threads={options.threads}", "images=auto"]
            given = {"data": f"folder:{data}", "out": Path(name) / "out"}
            one = cost(load(path, [*fixed, f"batch_size={batch // 2}"], **given))
            two = cost(load(path, [*fixed, f"batch_size={batch}"], **given))
            reading = two.reading / max(1, two.readers)
            epochs = load(path, **given).epochs
            each = (two.memory - one.memory) / (batch - batch // 2)
            print(
                f"{path.stem:18} {batch / two.computing:10,.1f} {batch / reading:8,.0f}"
                f" {two.readers:7} {'reading' if reading > two.computing else 'computing':>9}"
                f" {two.memory / 1e6:7,.0f} {each / 1e6:12,.1f} {epochs:6}"
                f" {epochs * IMAGENET / batch * two.seconds / 3600:8,.0f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
