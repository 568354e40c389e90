"""What training by a recipe costs, and by the same recipe with other settings.

    python -m tests.tools.recipe_cost RECIPE.toml --data cifar10:PATH --set shift=4 [--set …]

Steps of both are taken in turns in one process, on one thread; their CPU time is the median. Writes
a table in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from sbn_deploy.nn.threads import threads
from sbn_deploy.train.config import load
from sbn_deploy.train.distributed import Ranks
from sbn_deploy.train.prepare import prepare
from sbn_deploy.train.trainer import Trainer

from .train_benchmark import seconds


def trainer(recipe: Path, data: str, changes: list[str], out: Path) -> Trainer:
    """Ready for the first step, with the images of the data set."""
    run = prepare(load(recipe, changes, data=data, out=out))
    alone = Ranks(0, 1, torch.device("cpu"))
    return Trainer(run.built.module, run.head, run.images, None, run.config, alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", required=True, help="as in `sbn train --data`")
    parser.add_argument(
        "--set", action="append", required=True, dest="changes", metavar="KEY=VALUE"
    )
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    print("| settings | epochs | steps | CPU ms a step | CPU s in all |\n|---|---:|---:|---:|---:|")
    settings = {"the recipe": [], f"`{' '.join(given.changes)}`": given.changes}
    with tempfile.TemporaryDirectory() as folder, threads(1):
        trainers = {
            name: trainer(given.recipe, given.data, changes, Path(folder))
            for name, changes in settings.items()
        }
        steps = {name: one.step for name, one in trainers.items()}
        taken = seconds(steps, given.rounds, time.process_time)
    for name, one in trainers.items():
        count = one.config.epochs * one.steps
        print(
            f"| {name} | {one.config.epochs} | {count:,} | {1e3 * taken[name]:.0f} |"
            f" {count * taken[name]:,.0f} |"
        )


if __name__ == "__main__":
    main()
