"""`sbn calibrate`: measure on held-out data how confident a file may be, and write the result into
the file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, printable, say, show_json, show_table, writable

if TYPE_CHECKING:
    from sbn_deploy.calibrate import Calibrated

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "calibrate",
        description="Calibrates a model's confidence. On held-out data it fits a temperature for"
        " each number of networks that may be averaged, quantiles for prediction"
        " sets with a guarantee, and thresholds above which an image counts as"
        " unknown, and writes them into MODEL; `sbn predict` and `Session` then use them. The data"
        " must not have been trained on; files of this version know their training images and"
        " refuse them. At least 100 inputs are needed, 1,000 are better.",
        example="sbn calibrate digits.onnx --data digits",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "--data", default="digits", metavar="SET", help="data set (default: digits)"
    )
    parser.add_argument(
        "--split",
        choices=("validation", "test"),
        help="which part of it (default: validation if training held it out, else test)",
    )
    parser.add_argument(
        "--images", type=at_least(1), metavar="N", help="use N evenly spaced inputs"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write a copy instead of MODEL itself"
    )
    parser.add_argument(
        "--threads", type=at_least(1), metavar="T", help="threads (default: one for each core)"
    )


def run(options: argparse.Namespace) -> int:
    """Calibrates, and shows what that changes."""
    from sbn_deploy.calibrate import calibrate
    from sbn_deploy.calibrate.held_out import held_out

    writable(options.output or options.model)
    data, split = held_out(options.model, options.data, options.split)
    if options.images is not None:
        data = data.evenly(options.images)
    say(f"calibrating {options.model} on {len(data):,} inputs of {data.name}, {split}")
    made = calibrate(options.model, data, split, output=options.output, threads=options.threads)
    if options.json:
        show_json(as_json(made))
    else:
        show(made)
    warn(made)
    say(f"written: {made.path}")
    return 0


def as_json(made: Calibrated) -> dict[str, object]:
    """What `--json` shows: the file, the warnings, and the calibration as it is in the file."""
    return {"file": made.path, "notes": made.notes, "calibration": made.calibration.to_json()}


def show(made: Calibrated) -> None:
    """Scores before and after, temperatures, and the score of unknown images."""
    found = made.calibration
    if found.intervals is not None:
        show_table(
            ("coverage", "half width of the interval, widest of an answer's numbers"),
            [
                (f"{level:.1%}", float(row.max()))
                for level, row in zip(
                    found.levels, found.at(found.intervals, found.class_networks), strict=True
                )
            ],
        )
        return
    values = found.measured
    show_table(
        ("on held-out fifths", "before", "calibrated"),
        [
            (title, form.format(values[f"raw_{key}"]), form.format(values[key]))
            for title, key, form in (
                ("accuracy", "accuracy", "{:.2%}"),
                ("negative log-likelihood (NLL)", "nll", "{:.4f}"),
                ("expected calibration error (ECE)", "ece", "{:.2%}"),
            )
        ],
    )
    print()
    show_table(
        ("networks averaged", "temperature"),
        [
            (count, f"{temperature:.3f}")
            for count, temperature in zip(found.networks, found.temperatures, strict=True)
        ],
    )
    if found.offsets.any():
        print(f"offsets of classes: {', '.join(f'{value:+.2f}' for value in found.offsets)}")
    if found.unknown is not None:
        print(f"unknown images are told by their {found.unknown.score.replace('_', ' ')}")


def warn(made: Calibrated) -> None:
    """Says what to keep in mind."""
    for note in made.notes:
        say(printable(f"warning: {note}"))
