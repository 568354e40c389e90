"""`sbn tune`: a search for the settings that train best."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, printable, say, show_json, show_table
from .train import BY_SIGNAL

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from sbn_deploy.tune import Search

    from .common import Subparsers

SHOWN = 10


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "tune",
        description="Searches for the settings of training that give the best score on the"
        " validation images, or the best trade-offs between score, latency and size. Trials that"
        " fall behind are stopped early. Run the same command to resume, or in several terminals"
        " to share the work; with --storage on several machines. Writes a page with the best"
        " settings, their importance and the learning curves.",
        example="sbn tune models/digits-cnn/recipe.toml --search search.toml --trials 30\n\n"
        'search.toml:\n  goals = ["accuracy"]  # or ["accuracy", "latency", "bytes"]\n  [search]\n'
        "  latent_lr = { low = 0.1, high = 10.0, log = true }\n"
        '  weights = ["sampled", "deterministic"]\n  "model.width" = [16, 32]',
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE.toml", help="recipe whose other settings all share"
    )
    parser.add_argument(
        "--search", type=Path, required=True, metavar="FILE.toml", help="what is searched"
    )
    parser.add_argument(
        "--trials",
        type=at_least(1),
        default=20,
        metavar="N",
        help="trials in all, those of earlier runs and other processes included (default: 20)",
    )
    parser.add_argument("--data", metavar="SET", help="data set instead of the recipe's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe; can be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for all files; its name is that of the study (default: runs/tune-RECIPE)",
    )
    parser.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="database that machines share, such as postgresql+psycopg://user@host/name (default:"
        " a file in DIR)",
    )


def run(options: argparse.Namespace) -> int:
    """Searches, and shows what was found."""
    from sbn_deploy.train import config as recipes
    from sbn_deploy.train.loop import Stopped
    from sbn_deploy.tune import Search, load
    from sbn_deploy.tune.page import PAGE, write

    name = options.recipe.parent.name if options.recipe.stem == "recipe" else options.recipe.stem
    folder = options.out or Path("runs") / f"tune-{name}"
    base = recipes.load(options.recipe, options.set, data=options.data, out=folder)
    search = Search(load(options.search), base, folder, options.storage)
    stopped = 0
    try:
        search.run(options.trials, lambda text: say(printable(text)))
    except Stopped as signal:
        say("stopped; run the same command to resume")
        stopped = BY_SIGNAL + signal.signal
    if not search.best:
        say("no trial has been completed yet")
        return stopped
    write(search, options.recipe, options.set)
    if options.json:
        show_json([_record(search, trial) for trial in search.best])
    else:
        _show(search, options)
    say(f"written: {folder / PAGE}")
    return stopped


def _record(search: Search, trial: FrozenTrial) -> dict[str, object]:
    return {
        "trial": trial.number,
        **dict(zip(search.config.goals, trial.values, strict=True)),
        "settings": search.values(trial),
        "folder": str(search.trial_folder(trial)),
    }


def _show(search: Search, options: argparse.Namespace) -> None:
    from sbn_deploy.tune.page import command

    best = search.best
    names = list(search.config.search)
    show_table(
        ("trial", *search.titles, *names),
        [
            (trial.number, *search.shown(trial), *(search.values(trial)[name] for name in names))
            for trial in best[:SHOWN]
        ],
    )
    print(f"\ntrain with it: {command(search, best[0], options.recipe, options.set)}")
