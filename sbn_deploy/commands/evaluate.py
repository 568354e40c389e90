"""`sbn evaluate`: accuracy on a test set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "evaluate",
        description="Measures accuracy on the test split of a data set, with a 95 % interval.",
        example="sbn evaluate digits.onnx --data digits",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "--data", default="digits", metavar="SET", help="data set (default: digits)"
    )
    parser.add_argument(
        "--threads", type=at_least(1), metavar="T", help="threads (default: one for each core)"
    )


def run(options: argparse.Namespace) -> int:
    """Evaluates the model."""
    from sbn_deploy.data import load
    from sbn_deploy.measure.accuracy import evaluate
    from sbn_runtime import Session

    session = Session(options.model, threads=options.threads)
    dataset = load(options.data, "test")
    say(f"classifying {len(dataset.labels)} images of {dataset.name}")
    result = evaluate(session.predict_proba, session.preprocess(dataset.images), dataset.labels)
    if options.json:
        show_json(result)
    else:
        show_table(
            ("samples", "correct", "accuracy", "95 % interval", "negative log-likelihood"),
            [
                (
                    result.samples,
                    result.correct,
                    f"{result.accuracy:.2%}",
                    f"{result.low:.2%} to {result.high:.2%}",
                    result.nll,
                )
            ],
        )
    return 0
