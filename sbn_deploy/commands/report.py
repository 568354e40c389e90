"""`sbn report`: measurements as one page to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import new_parser, say, show_json, writable

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "report",
        description="Combines measurements of sbn benchmark, profile and evaluate in one HTML page:"
        " accuracy against latency with the Pareto front, ratios with intervals, calibration,"
        " confusion, the time of each layer, the machine, and the source of each figure. The"
        " page is one self-contained file. A JSON file beside it, which --json prints, has all"
        " figures.",
        example="sbn report runs/speed.json runs/accuracy.json -o report.html",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="measurement file written with -o, or a folder of them",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        required=True,
        help="page to write, such as report.html; its data go to report.json beside it",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the page, and says what it answers."""
    from sbn_deploy.records.files import load_all
    from sbn_deploy.report import check_output, collect, write

    data = check_output(writable(options.output))
    writable(data)
    report = collect(load_all(options.runs, say))
    write(report, options.output)
    if options.json:
        show_json(report)
        return 0
    for choice in report.choices:
        figures = ", ".join(f"{name} {value}" for name, value, _ in choice.figures)
        print(f"{choice.text}: {figures}" if figures else choice.text)
    for warning in report.unstable:
        say(f"unstable: {warning.source}: {warning.text}")
    say(f"written: {options.output} and {data}")
    return 0
