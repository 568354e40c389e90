"""`sbn experiment`: how training choices compare, over several seeds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError

from .common import at_least, new_parser, say, show_json, show_table, whole_numbers, writable
from .train import BY_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sbn_deploy.experiments import Compared
    from sbn_deploy.tasks import Metric
    from sbn_deploy.train.config import TrainConfig

    from .common import Subparsers

EXPERIMENTS = {
    "variants": "straight-through and its variants: forward and backward of the activations",
    "descent": "mirror descent, projected gradient, proxy form and Bop, each at three learning"
    " rates",
    "ensembles": "networks of several seeds averaged, against samples of one network",
}


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "experiment",
        description="Trains a recipe in several ways with each of several seeds, and compares them"
        " on the test images: "
        + "; ".join(f"`{name}`: {text}" for name, text in EXPERIMENTS.items())
        + ". Run the same command to resume it. `sbn estimators` has the experiments on"
        " gradients.",
        example="sbn experiment variants --out runs/variants --plot variants.png",
    )
    parser.add_argument(
        "experiment", choices=tuple(EXPERIMENTS), metavar="EXPERIMENT", help=", ".join(EXPERIMENTS)
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the networks"
    )
    parser.add_argument(
        "--seeds",
        type=whole_numbers(0),
        metavar="LIST",
        help="seeds to train with (default: 0,1,2; for ensembles 0,1,2,3,4)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="recipe of `sbn train` (default: digits-cnn of width 16, 10 epochs, on the digits)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe; can be repeated",
    )
    parser.add_argument("--data", metavar="SET", help="as of `sbn train` (default: the recipe's)")
    parser.add_argument(
        "--epochs",
        type=at_least(1),
        metavar="E",
        help="passes over the data (default: the recipe's)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the result as a PNG")


def run(options: argparse.Namespace) -> int:
    """Trains what is not there yet, and shows the comparison."""
    from sbn_deploy.experiments import DEFAULTS
    from sbn_deploy.train import config
    from sbn_deploy.train.loop import Stopped

    defaults = () if options.config else DEFAULTS
    base = config.load(
        options.config,
        [*defaults, *options.set],
        out=options.out,
        data=options.data,
        epochs=options.epochs,
    )
    if base.twin:
        raise ConfigError("the fp32 twin has no signs to experiment with; leave twin out")
    if options.plot:
        writable(options.plot)
    seeds = options.seeds or ((0, 1, 2, 3, 4) if options.experiment == "ensembles" else (0, 1, 2))
    try:
        if options.experiment == "ensembles":
            return _average(base, seeds, options)
        return _compare(base, seeds, options)
    except Stopped as stopped:
        say("stopped; the same command resumes")
        return BY_SIGNAL + stopped.signal


def _compare(base: TrainConfig, seeds: Sequence[int], options: argparse.Namespace) -> int:
    from sbn_deploy.experiments import DESCENT, VARIANTS, compare

    variants = VARIANTS if options.experiment == "variants" else DESCENT
    found = compare(base, variants, seeds, report=say)
    main = _metrics(found[0].scores[0].metric)[0]
    if options.plot:
        from sbn_deploy.experiments.plots import draw_compared

        draw_compared(options.plot, found, main)
        say(f"wrote {options.plot}")
    if options.json:
        show_json({"experiment": options.experiment, "seeds": seeds, "variants": found})
        return 0
    forms = tuple(dict.fromkeys(score.weights for score in found[0].scores))
    show_table(
        (options.experiment, *forms),
        [(one.variant.name, *(_cell(one, form, main) for form in forms)) for one in found],
    )
    print(f"test {main.title}, mean of {len(seeds)} seeds ± half of its 95 % confidence interval")
    return 0


def _average(base: TrainConfig, seeds: Sequence[int], options: argparse.Namespace) -> int:
    from sbn_deploy.experiments import average

    if len(seeds) < 2:
        raise ConfigError("an ensemble needs two networks; give two --seeds or more")
    found = average(base, seeds, report=say)
    metrics = _metrics(found[0].metric)
    if options.plot:
        from sbn_deploy.experiments.plots import draw_averaged

        draw_averaged(options.plot, found, metrics)
        say(f"wrote {options.plot}")
    if options.json:
        show_json({"experiment": options.experiment, "seeds": seeds, "averages": found})
        return 0
    kinds = tuple(dict.fromkeys(one.kind for one in found))
    for metric in metrics:
        of_metric = [one for one in found if one.metric == metric.key]
        print(f"test {metric.title}, mean over {len(seeds)} seeds")
        show_table(
            ("average of", *kinds),
            [
                (count, *(metric.show(one.mean) for one in of_metric if one.count == count))
                for count in range(1, len(seeds) + 1)
            ],
        )
        print()
    return 0


def _metrics(key: str) -> tuple[Metric, ...]:
    """Those of the task that has a metric of this key as its main one."""
    from sbn_deploy.tasks import OBJECTIVES

    return next(task.metrics for task in OBJECTIVES.values() if task.main.key == key)


def _cell(one: Compared, form: str, metric: Metric) -> str:
    score = one.score(form, metric.key)
    width = "" if score.half_width is None else f" ± {metric.show(score.half_width)}"
    return f"{metric.show(score.mean)}{width}"
