"""`sbn card`: a model card from a file's metadata and its measurements."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import InputError

from .common import new_parser, say, show_json, writable

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "card",
        description="Writes a Markdown card with the front matter of Hugging Face: what the model"
        " is, its measured accuracy and latency with the commands that measured them, how to use"
        " it, where it comes from. Measurements of other forms of the same checkpoint join it.",
        example="sbn evaluate digits.onnx --data digits -o evaluation.json\n"
        "  sbn benchmark digits.onnx -o benchmark.json\n"
        "  sbn card digits.onnx evaluation.json benchmark.json -o README.md",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "measurements",
        type=Path,
        nargs="*",
        metavar="RUN",
        help="files that `sbn evaluate`, `benchmark` and `sweep` wrote, or folders of them;"
        " those of other models are ignored",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", required=True, help="card to write"
    )
    parser.add_argument(
        "--title",
        default="",
        metavar="TEXT",
        help="what to call the model (default: its architecture)",
    )
    parser.add_argument(
        "--about", type=Path, metavar="FILE", help="Markdown text to put below the title"
    )
    parser.add_argument(
        "--license",
        metavar="ID",
        help="of the model, an identifier of the Hugging Face hub, as apache-2.0",
    )


def run(options: argparse.Namespace) -> int:
    """Writes one card."""
    from sbn_deploy.records.files import load_all
    from sbn_deploy.report.card import subject, write_card
    from sbn_runtime.files import write_atomically

    writable(options.output)
    text = "" if options.about is None else _text(options.about)
    about = subject(options.model, load_all(options.measurements, say), options.title)
    for kind, found in (("accuracy", about.accuracies), ("latency", about.benchmarks)):
        if not found:
            say(f"no measurement of its {kind} was given: the card does not state it")
    write_atomically(options.output, write_card(about, text=text, license=options.license).encode())
    if options.json:
        show_json(
            {
                "card": options.output,
                "model": about.facts,
                "evaluations": len(about.evaluations),
                "benchmarks": len(about.benchmarks),
            }
        )
    else:
        say(f"written: {options.output}")
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise InputError(f"{path}: is not text in UTF-8: save it as UTF-8") from error
