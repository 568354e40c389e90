"""`sbn validate`: does an exported file compute what its checkpoint computes?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, show_records

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "validate",
        description="Runs the same inputs through torch and every engine that runs the file: ONNX"
        " through our kernels with every instruction set of this CPU, stock onnxruntime and onnx's"
        " reference evaluator, TFLite through each kind of Larq Compute Engine's kernels. Exit"
        " status 1 when any of them disagrees with torch.",
        example="sbn validate digits.onnx --against runs/digits/checkpoint.safetensors",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="ONNX or TFLite file of `sbn export`"
    )
    parser.add_argument(
        "--against", type=Path, metavar="CHECKPOINT", required=True, help="what it was made from"
    )
    parser.add_argument(
        "--samples", type=at_least(1), default=32, metavar="N", help="inputs (default: 32)"
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="seed of the inputs (default: 0)"
    )


def run(options: argparse.Namespace) -> int:
    """Validates; returns 1 when an engine disagrees."""
    from sbn_deploy.validate import validate

    say(f"comparing {options.model} with {options.against}")
    report = validate(options.model, options.against, samples=options.samples, seed=options.seed)
    if options.json:
        show_json(report.to_json())
    else:
        show_records(report.results)
    say("every engine agrees" if report.ok else "the engines disagree")
    return 0 if report.ok else 1
