"""`sbn train`: train a network and write its checkpoint."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.fit import FITS

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    from .common import Subparsers

TERMINATED = 143
"""Exit status after SIGTERM, as shells report it."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "train",
        description="Trains a stochastic binary network, or its fp32 twin, and scores it on the "
        "test split. Writes checkpoint.safetensors, metrics.json and history.csv. Settings come "
        "from the defaults, then --config, then --set, then the other options.",
        example="sbn train --config models/digits-cnn/recipe.toml --out runs/digits",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="recipe: a TOML file of settings"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe; can be repeated",
    )
    parser.add_argument(
        "--arch",
        metavar="NETWORK",
        help="an architecture, or a network of your own as FILE.py:NAME (default: digits-cnn)",
    )
    parser.add_argument(
        "--data",
        metavar="SET",
        help="digits, signals, cifar10:PATH, folder:PATH, npz:PATH or hf-parquet:PATH "
        "(default: digits)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="PIXELS",
        help="size of the images, as 96, or HEIGHTxWIDTH (default: that of the data, if all are "
        "alike)",
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        help="how images of other sizes get it: the middle of them, all of them between black"
        " margins, or stretched (default: crop)",
    )
    parser.add_argument(
        "--from",
        dest="start_from",
        type=Path,
        metavar="CKPT",
        help="start from the weights of this checkpoint, or state dict (.pt, .safetensors), of the "
        "same network or of its float form",
    )
    parser.add_argument(
        "--distill",
        action="store_true",
        default=None,
        help="learn from the network of --from as well as from labels",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--seed", type=at_least(0), metavar="S", help="random seed (default: 0)")
    parser.add_argument(
        "--epochs",
        type=at_least(1),
        metavar="E",
        help="passes over the data (default: the recipe's)",
    )
    parser.add_argument(
        "--twin",
        action="store_true",
        default=None,
        help="train the fp32 twin of the same shape instead",
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume the run in DIR, if there is one"
    )


def _size(text: str) -> int | tuple[int, ...]:
    """An argparse type: a whole number, or two of them as 96x128."""
    sides = tuple(at_least(1)(side) for side in text.split("x"))
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size, such as 96 or 96x128")
    return sides[0] if len(sides) == 1 else sides


def run(options: argparse.Namespace) -> int:
    """Trains, and shows the scores."""
    from sbn_deploy.settings import RenamedWarning
    from sbn_deploy.tasks import find
    from sbn_deploy.train import config
    from sbn_deploy.train.loop import Stopped, train

    with warnings.catch_warnings(record=True) as old_names:
        warnings.simplefilter("always", RenamedWarning)
        recipe = config.load(
            options.config,
            options.set,
            arch=options.arch,
            data=options.data,
            size=options.size,
            fit=options.fit,
            out=options.out,
            seed=options.seed,
            epochs=options.epochs,
            twin=options.twin,
            start_from=options.start_from,
            distill=options.distill,
        )
    for warning in old_names:
        say(f"warning: {warning.message}")
    try:
        result = train(recipe, resume=options.resume)
    except Stopped as stopped:
        say(str(stopped))
        return TERMINATED
    if os.environ.get("RANK", "0") != "0":
        return 0
    if options.json:
        show_json({"checkpoint": str(result.checkpoint_path), **result.metrics})
    else:
        metrics = find(result.metrics["task"]).metrics
        show_table(
            ("weights", *(f"test {metric.title}" for metric in metrics)),
            [
                (name, *(metric.show(scores[metric.key]) for metric in metrics))
                for name, scores in result.metrics["metrics"].items()
            ],
        )
        print(f"{result.checkpoint_path} in {result.metrics['train_seconds']:.0f} s")
    return 0
