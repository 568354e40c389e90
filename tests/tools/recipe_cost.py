"""What training by a recipe costs, and by the same recipe with other settings.

    python -m tests.tools.recipe_cost RECIPE.toml --data cifar10:PATH --set shift=4 [--set …]

Steps of both are taken in turns in one process, on one thread; their CPU time is the median. Writes
a table in Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from sbn_deploy.nn.threads import threads
from sbn_deploy.train.config import load
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Trainer

WARMUP = 2


def trainer(recipe: Path, data: str, changes: list[str], out: Path) -> Trainer:
    """Ready for the first step, with the images of the data set."""
    run = prepare(load(recipe, changes, data=data, out=out))
    alone = Ranks(0, 1, torch.device("cpu"))
    return Trainer(run.built.module, run.head, run.images, None, run.config, alone)


def step_times(trainers: list[Trainer], rounds: int) -> Iterator[float]:
    """The median CPU seconds of a step of each."""
    taken: list[list[float]] = [[] for _ in trainers]
    for index in range(WARMUP + rounds):
        for times, one in zip(taken, trainers, strict=True):
            begin = time.process_time()
            one.step()
            if index >= WARMUP:
                times.append(time.process_time() - begin)
    return map(statistics.median, taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", required=True, help="as in `sbn train --data`")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    print("| settings | epochs | steps | CPU ms a step | CPU s in all |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, threads(1):
        trainers = [
            trainer(given.recipe, given.data, changes, Path(folder, str(len(changes))))
            for changes in ([], given.changes)
        ]
        names = ("the recipe", f"`{' '.join(given.changes)}`")
        for name, one, seconds in zip(
            names, trainers, step_times(trainers, given.rounds), strict=True
        ):
            epochs = one.config.epochs
            print(
                f"| {name} | {epochs} | {epochs * one.steps:,} | {1e3 * seconds:.0f} |"
                f" {epochs * one.steps * seconds:,.0f} |"
            )


if __name__ == "__main__":
    main()
