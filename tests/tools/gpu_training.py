"""Trains on a GPU that is there for some minutes: `python -m tests.tools.gpu_training`.

First, two epochs of each of some recipes and of their fp32 twins: images a second, memory, and the
ratio of their times. Then the whole of one recipe, with as many epochs, of both stages if it has
two, as fit into the time that is left; its scores are of the test images. What is small enough to
be fetched comes into one folder: figures, scores, history, and the checkpoint, in parts if it has
more than 16 MiB.

Batches are larger than the recipe's. Learning rates grow with the root of the batch for steps along
Adam's moments (Malladi et al., arXiv 2205.10287) and with the batch for plain gradients, after a
warm-up of five epochs (Goyal et al., arXiv 1706.02677).

Images, augmentation and noise are on the GPU (docs/training.md, "The machine"). Calibration is not:
it needs our kernels, and is one command afterwards, on any machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from sbn_deploy import data
from sbn_deploy.nn.threads import threads
from sbn_deploy.train.config import CHECKPOINT, TWIN, TrainConfig, load
from sbn_deploy.train.distributed import ranks
from sbn_deploy.train.evaluation import in_torch
from sbn_deploy.train.kept import LAST
from sbn_deploy.train.logs import HISTORY
from sbn_deploy.train.loop import METRICS, own_generators, train
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Trainer
from sbn_runtime.errors import ConfigError, SbnError

RECIPES = sorted(Path("models").glob("cifar-*/recipe.toml"))
FIGURES = "figures.json"
TIMED = 2
"""Epochs of a recipe that are timed; the last of them counts."""
WARMUP = 5
SHARE = 0.8
"""Of the time that is left, for training; the rest is for scoring."""
LATEST = 0.9
"""Of that time; after it, training ends wherever it is, and is not scored."""
MOST = 16 << 20
"""Bytes of a file that can be fetched."""
HELP = """\
The data have to be on that machine. Where it has no network, they travel with the working tree, in
a folder that git ignores:

  mkdir -p .gpu/cifar10 && cp PATH/*.parquet .gpu/cifar10 && echo /.gpu >> .git/info/exclude

Nothing has to be compiled or installed there. Packages that it lacks, such as pydantic, travel in
the same folder, as wheels for its Python:

  pip download --only-binary=:all: --python-version 3.12 --platform manylinux_2_17_x86_64 \\
    --platform manylinux2014_x86_64 -d .gpu/wheels pydantic

example, there:

  python3 -m pip install --no-index --no-deps --target .gpu/packages .gpu/wheels/*.whl
  export PYTHONPATH=.:converters:runtime:.gpu/packages
  python3 -m pytest --noconftest -q tests/train/test_device_steps.py -k gpu  # if it has pytest
  python3 -m tests.tools.gpu_training --data cifar10:.gpu/cifar10 \\
    --recipe models/cifar-m/recipe.toml --minutes 8

example, on a CPU, with the built-in digits:

  python -m tests.tools.gpu_training --device cpu --minutes 1 --batch-size 128 --data digits \\
    --recipes --recipe models/digits-cnn/recipe.toml
"""


class _Late(Exception):
    """No time is left to train."""


@dataclass(frozen=True)
class Speed:
    """Of training.

    Attributes:
        images_per_second: in the steps of an epoch.
        epoch_seconds: with what is saved after it.
        gpu_mb: most memory of the GPU that was taken, in megabytes; 0 on a CPU.
    """

    images_per_second: float
    epoch_seconds: float
    gpu_mb: float


def changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    """The same recipe with other settings. Raises ConfigError."""
    return TrainConfig(**(config.model_dump(exclude_unset=True) | changes))


def scaled(config: TrainConfig, batch: int) -> dict[str, Any]:
    """The settings of a recipe that change with the size of its batches.

    Raises ConfigError for Bop, whose rate is not a step.
    """
    if config.optimizer == "bop":
        raise ConfigError("no rule is known for larger batches with optimizer 'bop'")
    ratio = batch / config.batch_size
    by = {"adam": math.sqrt(ratio), "sgd": ratio}
    return {
        "batch_size": batch,
        "latent_lr": config.latent_lr * by[config.moments],
        "weight_lr": config.weight_lr * by[config.weight_moments],
        "step": config.step * by[config.weight_moments],
    }


def fitted(config: TrainConfig, seconds: float, network: float, twin: float) -> dict[str, Any]:
    """The settings of a recipe that change with its length, which is to take so many seconds.

    Args:
        network, twin: seconds of an epoch of either.
    """
    if config.distill:
        network += twin / 3  # the teacher is run forwards
    whole = config.epochs * network + config.twin_epochs * twin
    factor = seconds / whole
    epochs = max(1, int(factor * config.epochs))
    twin_epochs = max(1, int(factor * config.twin_epochs)) if config.twin_epochs else 0
    return {
        "epochs": epochs,
        "twin_epochs": twin_epochs,
        "warmup": min(WARMUP, epochs // 10, *([twin_epochs // 10] if twin_epochs else [])),
        "deterministic_epochs": int(config.deterministic_epochs * epochs / config.epochs),
        "milestones": tuple(round(m * epochs / config.epochs) for m in config.milestones),
    }


def speeds(config: TrainConfig, folder: Path) -> tuple[Speed, Speed]:
    """Of the network of a recipe, and of its twin."""
    short = {"warmup": 1, "deterministic_epochs": 0, "distill": False, "out": folder}
    network = changed(config, {**short, "epochs": TIMED, "twin_epochs": 0})
    twin = changed(config, {**short, "epochs": TIMED, "twin_epochs": TIMED}).of_twin()
    return _speed(network), _speed(twin)


def _speed(config: TrainConfig) -> Speed:
    ends: list[float] = []
    config.out.mkdir(parents=True, exist_ok=True)
    with threads(config.threads), ranks(config) as group, own_generators(group):
        cuda = group.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        ready = prepare(config)
        trainer = Trainer(
            ready.built.module,
            ready.head,
            ready.images,
            None,
            ready.config,
            group,
            after_epoch=lambda _: ends.append(time.perf_counter()),
        )
        trainer.fit()
        taken = torch.cuda.max_memory_allocated() if cuda else 0
    rate = trainer.position.history[-1]["images_per_second"]
    return Speed(rate, ends[-1] - ends[-2], taken / 1e6)


def fetchable(file: Path, folder: Path) -> list[str]:
    """Puts a checkpoint into a folder, in parts if it is large.

    Returns:
        Commands that join and check it, in that folder.
    """
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    check = f"echo '{digest}  {CHECKPOINT}' | sha256sum --check"
    if len(content) <= MOST:
        (folder / CHECKPOINT).write_bytes(content)
        return [check]
    names: list[str] = []
    for start in range(0, len(content), MOST):
        names.append(f"{CHECKPOINT}.{len(names):02}")
        (folder / names[-1]).write_bytes(content[start : start + MOST])
    return [f"cat {' '.join(names)} > {CHECKPOINT}", check]


def train_for(config: TrainConfig, seconds: float, out: Path, figures: dict[str, Any]) -> None:
    """Trains a recipe whose length was fitted, and puts what came of it into `out`.

    Args:
        seconds: after which training ends even so; its last network is then kept, without scores.
        figures: get what there is to say.
    """
    end = time.perf_counter() + seconds

    def in_time(_: Sequence[Mapping[str, Any]]) -> None:
        if time.perf_counter() > end:
            raise _Late

    with ranks(config) as group:
        device = group.device
    name = CHECKPOINT
    try:
        train(
            config,
            overwrite=True,
            report=_tell,
            after_epoch=in_time,
            answer=partial(in_torch, device=device),
        )
    except _Late:
        name = LAST
    figures["scored"] = name == CHECKPOINT
    figures["next"] = fetchable(config.out / name, out)
    if config.calibrate and figures["scored"]:
        figures["next"].append("sbn train --resume --calibrate --data cifar10:PATH --out .")
    shutil.copy(config.out / HISTORY, out)
    for file, kept in ((METRICS, METRICS), (f"{TWIN}/{METRICS}", f"{TWIN}-{METRICS}")):
        if (config.out / file).is_file():
            shutil.copy(config.out / file, out / kept)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default: 9)")
    parser.add_argument(
        "--recipes",
        type=Path,
        nargs="*",
        default=RECIPES,
        metavar="FILE",
        help="to be timed (default: models/cifar-*/recipe.toml)",
    )
    parser.add_argument(
        "--recipe", type=Path, required=True, metavar="FILE", help="to be timed and trained"
    )
    parser.add_argument("--data", required=True, metavar="SET", help="as of sbn train")
    parser.add_argument(
        "--batch-size", type=int, default=512, metavar="N", help="images in a step (default: 512)"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ.get("OUT", "runs/gpu")),
        metavar="DIR",
        help="for the results (default: $OUT, else runs/gpu)",
    )
    return parser


def _run(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    begin = time.perf_counter()
    machine: dict[str, Any] = {"device": options.device, "data": options.data}
    if options.device == "cuda":
        machine["threads"] = os.cpu_count()  # for what is left to the host
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs, found = {}, {}
        for recipe in dict.fromkeys((options.recipe, *options.recipes)):
            config = load(recipe, out=folder / "trained", **machine)
            configs[recipe] = config = changed(config, scaled(config, options.batch_size))
            found[recipe] = network, twin = speeds(config, folder / "timed")
            figures["speeds"][str(recipe)] = {
                "network": asdict(network),
                "twin": asdict(twin),
                "ratio": twin.images_per_second / network.images_per_second,
            }
            _write(options.out, figures)
        left = begin + 60 * options.minutes - time.perf_counter()
        config, (network, twin) = configs[options.recipe], found[options.recipe]
        lengths = fitted(config, SHARE * left, network.epoch_seconds, twin.epoch_seconds)
        figures["trained"] = {"recipe": str(options.recipe), **lengths}
        train_for(changed(config, lengths), LATEST * left, options.out, figures)
    figures["seconds"] = time.perf_counter() - begin


def _write(folder: Path, figures: dict[str, Any]) -> None:
    (folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Times recipes and trains one; returns the exit status."""
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    figures: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "batch_size": options.batch_size,
        "speeds": {},
    }
    try:
        # All runs take the images that the first one decoded.
        with patch.object(data, "load", cache(data.load)):
            _run(options, figures)
    except SbnError as error:
        _tell(f"error: {error}")
        return 1
    finally:
        _write(options.out, figures)
    print(json.dumps(figures, indent=2))
    _tell("\n".join(["next, in the folder of these files:", *figures["next"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
