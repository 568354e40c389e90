"""`sbn train`: train a network and write its checkpoint."""

from __future__ import annotations

import argparse
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError
from sbn_runtime.fit import FITS

from .calibrate import show
from .common import (
    at_least,
    new_parser,
    printable,
    say,
    show_json,
    show_table,
    whole_numbers,
)

if TYPE_CHECKING:
    from sbn_deploy.calibrate import Calibrated
    from sbn_deploy.train.config import TrainConfig
    from sbn_deploy.train.evaluation import Answer

    from .common import Subparsers

BY_SIGNAL = 128
"""Added to a signal's number, as shells report it: 130 after Ctrl-C, 143 after SIGTERM."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "train",
        description="Trains a stochastic binary network, or its fp32 twin, and scores it on the "
        "test split. Writes checkpoint.safetensors, metrics.json and history.csv, and after each "
        "epoch last.safetensors, which can already be exported. Ctrl-C stops after the current "
        "step, and --resume continues. Settings come from the defaults, then --config, then --set, "
        "then the other options.",
        example="sbn train --config models/digits-cnn/recipe.toml --out runs/digits",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="recipe: a TOML file with settings"
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
        help="an architecture, or a network of your own as FILE.py:NAME (default: by the size of"
        " the inputs)",
    )
    parser.add_argument(
        "--data",
        metavar="SET",
        help="digits, diabetes, breast-cancer, wine, signals, cifar10:PATH, folder:PATH,"
        " sounds:PATH, npz:PATH, hf-parquet:PATH or webdataset:PATH (default: digits)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="PIXELS",
        help="size of the images, such as 96, or HEIGHTxWIDTH (default: that of the data, if all "
        "are the same)",
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        help="how images of other sizes are fitted: cut to the middle, padded with black"
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
        "--seeds",
        type=whole_numbers(0),
        metavar="LIST",
        help="train with each seed of a list such as 0,1,2, in DIR/seed-S, and show the means",
    )
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
        "--calibrate",
        action="store_true",
        default=None,
        help="hold out the validation images, and at the end write each form of the network beside"
        " the checkpoint, calibrated on them: thresholded, members, noise, both",
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume the run in DIR, if there is one"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the network or unfinished run in DIR"
    )
    parser.add_argument(
        "--find-lr",
        action="store_true",
        help="instead of training, raise the learning rates step by step and recommend a factor;"
        " writes nothing",
    )


def _answer() -> Answer:
    """How test images are answered: by our kernels, where the packages to export are installed."""
    if find_spec("onnx") and find_spec("onnxscript"):
        from sbn_deploy.export.answers import in_kernels

        return in_kernels
    from sbn_deploy.train.evaluation import in_torch

    return in_torch


def _with_seeds(recipe: TrainConfig, options: argparse.Namespace) -> int:
    from sbn_deploy.tasks import OBJECTIVES
    from sbn_deploy.train.seeds import train_seeds

    if options.seed is not None:
        raise ConfigError("--seed and --seeds exclude each other; give one of them")
    found = train_seeds(
        recipe,
        options.seeds,
        resume=options.resume,
        overwrite=options.overwrite,
        report=_tell,
        answer=_answer(),
    )
    if options.json:
        show_json(found)
        return 0
    known = {metric.key: metric for task in OBJECTIVES.values() for metric in task.metrics}
    show_table(
        ("weights", "test metric", "mean", "± 95 %", "least", "largest"),
        [
            (
                entry.weights,
                known[entry.metric].title,
                known[entry.metric].show(entry.mean),
                known[entry.metric].show(entry.half_width),
                known[entry.metric].show(min(entry.values)),
                known[entry.metric].show(max(entry.values)),
            )
            for entry in found
        ],
    )
    print(f"means of {len(options.seeds)} seeds; {recipe.out / 'seeds.json'}")
    return 0


def _range_test(recipe: TrainConfig, options: argparse.Namespace) -> int:
    from sbn_deploy.train.range_test import range_test

    found = range_test(recipe)
    if options.json:
        show_json(found)
        return 0
    show_table(
        ("factor", *found.rates, "loss"),
        [
            (row.factor, *(row.factor * rate for rate in found.rates.values()), row.loss)
            for row in found.shown()
        ],
    )
    settings = " ".join(f"--set {name}={rate:.2g}" for name, rate in found.suggested.items())
    print(f"loss falls fastest at a factor of {found.factor:.2g}: {settings}")
    return 0


def _tell(text: str) -> None:
    """Names of folders and files may hold anything."""
    say(printable(text))


def _size(text: str) -> int | tuple[int, ...]:
    """An argparse type: a whole number, or two of them as 96x128."""
    sides = tuple(at_least(1)(side) for side in text.split("x"))
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 96 or 96x128")
    return sides[0] if len(sides) == 1 else sides


def run(options: argparse.Namespace) -> int:
    """Trains, and shows the scores."""
    from sbn_deploy.settings import RenamedWarning
    from sbn_deploy.tasks import find
    from sbn_deploy.train import config
    from sbn_deploy.train.loop import Stopped, check_resumable, train

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
            calibrate=options.calibrate,
        )
    for warning in old_names:
        say(f"warning: {warning.message}")
    if options.resume and recipe.model_fields_set == {"out"}:
        check_resumable(recipe.out)
    try:
        if options.find_lr:
            return _range_test(recipe, options)
        if options.seeds is not None:
            return _with_seeds(recipe, options)
        result = train(
            recipe,
            resume=options.resume,
            overwrite=options.overwrite,
            report=_tell,
            answer=_answer(),
        )
    except Stopped as stopped:
        say(str(stopped))
        return BY_SIGNAL + stopped.signal
    if os.environ.get("RANK", "0") != "0":
        return 0
    calibrated: list[Calibrated] = []
    # A run that was resumed has its own settings.
    done = result.config
    if done.calibrate:
        from sbn_deploy.calibrate.forms import calibrated_forms

        calibrated = calibrated_forms(
            result.checkpoint_path,
            done.data,
            done.task,
            done.members,
            stored=result.metrics["recipe"].get("images") == "storage",
            report=say,
        )
    if options.json:
        files = {"calibrated": [str(made.path) for made in calibrated]} if calibrated else {}
        show_json({"checkpoint": str(result.checkpoint_path), **files, **result.metrics})
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
        for made in calibrated:
            print()
            print(made.path)
            show(made)
    for note in dict.fromkeys(note for made in calibrated for note in made.notes):
        say(f"warning: {note}")
    return 0
