"""`sbn predict`: classify images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import at_least, new_parser, show_json, show_table

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "predict",
        description="Classifies images. PNG and JPEG files are converted to the model's size,"
        " colours and pixel range. A .npy file holds uint8 images [H, W, C] or [N, H, W, C] in"
        " the model's pixel range, or normalised float32 input [N, C, H, W].",
        example="sbn predict digits.onnx seven.png batch.npy --top 2",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="PNG, JPEG or .npy")
    parser.add_argument(
        "--top", type=at_least(1), default=3, metavar="K", help="classes to name (default: 3)"
    )
    parser.add_argument(
        "--threads", type=at_least(1), metavar="T", help="threads (default: one for each core)"
    )


def run(options: argparse.Namespace) -> int:
    """Classifies every image of every file."""
    from sbn_runtime import InputError, Session

    from .images import read_input

    session = Session(options.model, threads=options.threads)
    predictions: list[dict[str, Any]] = []
    for file in options.files:
        x = read_input(file, session)
        try:
            probabilities = session.predict_proba(x)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        for index, row in enumerate(probabilities):
            top = _top(row, options.top, session.metadata.get("classes", ()))
            predictions.append({"file": file, "index": index, "top": top})
    if options.json:
        show_json(predictions)
    else:
        show_table(
            ("file", "index", "class", "probability", "next"),
            [_cells(**prediction) for prediction in predictions],
        )
    return 0


def _cells(file: Path, index: int, top: list[dict[str, Any]]) -> tuple[object, ...]:
    best, *others = top
    following = ", ".join(f"{entry['class']} {entry['probability']:.1%}" for entry in others)
    return file, index, best["class"], f"{best['probability']:.1%}", following


def _top(probabilities: Any, count: int, classes: Any) -> list[dict[str, Any]]:
    best = probabilities.argsort()[::-1][:count]
    return [
        {
            "class": classes[label] if label < len(classes) else str(label),
            "probability": float(probabilities[label]),
        }
        for label in best
    ]
