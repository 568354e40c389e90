"""`sbn bundle`: everything that a phone or another machine needs to run a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_deploy.bundle.targets import TARGETS

from .common import new_parser, show_json, show_table, writable

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "bundle",
        description="Packs a model into one zip file, with a folder for each target, a README, and"
        " checksums: for Linux libraries and complete programs in C and Python; for android a"
        " project that builds an app, and the runtime as an archive for others; for web a page that"
        " runs the model in the browser, offline too.",
        example="sbn bundle digits.onnx --target android -o digits-android.zip",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    parser.add_argument(
        "--target",
        action="append",
        choices=TARGETS,
        required=True,
        help="a platform that runs the model; can be repeated",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", required=True, help="zip file to write"
    )


def run(options: argparse.Namespace) -> int:
    """Writes the zip file, and reports what is in it."""
    from sbn_deploy.bundle import bundle_model

    targets = [TARGETS[name] for name in dict.fromkeys(options.target)]
    report = bundle_model(options.model, targets, writable(options.output))
    if options.json:
        show_json(report)
        return 0
    show_table(
        ("file", "bytes", "target", "model bytes", "library bytes"),
        [
            (report.path, report.file_bytes, target, report.model_bytes, size)
            for target, size in report.library_bytes.items()
        ],
    )
    return 0
