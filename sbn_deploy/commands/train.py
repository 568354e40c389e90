"""`sbn train`: train a network and write its checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, show_json, show_table

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "train",
        description="Trains a stochastic binary network, or its fp32 twin, and scores it on the "
        "test split. Writes checkpoint.safetensors and metrics.json.",
        example="sbn train --arch digits-cnn --data digits --out runs/digits",
    )
    parser.add_argument("--arch", default="digits-cnn", help="architecture (default: %(default)s)")
    parser.add_argument(
        "--data", default="digits", metavar="SET", help="data set (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the results"
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="random seed (default: 0)"
    )
    parser.add_argument(
        "--epochs",
        type=at_least(1),
        metavar="E",
        help="passes over the data (default: the recipe's)",
    )
    parser.add_argument(
        "--twin", action="store_true", help="train the fp32 twin of the same shape instead"
    )


def run(options: argparse.Namespace) -> int:
    """Trains, and shows the scores."""
    from sbn_deploy.train.loop import TrainConfig, train

    recipe = {} if options.epochs is None else {"epochs": options.epochs}
    result = train(
        TrainConfig(
            arch=options.arch,
            data=options.data,
            out=options.out,
            seed=options.seed,
            twin=options.twin,
            **recipe,
        )
    )
    if options.json:
        show_json({"checkpoint": str(result.checkpoint_path), **result.metrics})
    else:
        show_table(
            ("weights", "test accuracy", "negative log-likelihood"),
            [
                (name, f"{scores['accuracy']:.2%}", scores["nll"])
                for name, scores in result.metrics["metrics"].items()
            ],
        )
        print(f"{result.checkpoint_path} in {result.metrics['train_seconds']:.0f} s")
    return 0
