"""`sbn import`: a binary network from another tool becomes an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .common import new_parser, say, show_json, show_table, writable

if TYPE_CHECKING:
    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "import",
        description="Turns a binary network into one ONNX file with bit-packed operators: a TFLite"
        " file of Larq Compute Engine, or an ONNX file, with the operators of QONNX (Brevitas,"
        " FINN) or with signs in standard ONNX. Other layers stay float. The new file has the"
        " same inputs, with any batch size. A classifier gets the outputs `logits`"
        " and `probabilities`; other outputs keep their names. A larq Keras model goes through"
        " Larq Compute Engine's own converter, which needs the extra `tflite`; TFLite files need"
        " no TensorFlow.",
        example="sbn import quicknet.tflite -o quicknet.onnx",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="TFLite, ONNX or larq Keras file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", required=True, help="ONNX file to write"
    )


def run(options: argparse.Namespace) -> int:
    """Imports, and reports what each layer became."""
    from sbn_deploy.importing import import_file

    output = writable(options.output)
    say(f"importing {options.model}")
    report = import_file(options.model, output)
    if options.json:
        show_json(report.to_json())
        return 0
    show_table(
        ("layer", "became", "kind", "contains"),
        [(layer.name, layer.op, layer.kind, ", ".join(layer.fused)) for layer in report.layers],
    )
    binary = sum(layer.kind == "binary" for layer in report.layers)
    print(
        f"\n{report.path}: {report.file_bytes:,} bytes, of {report.source_bytes:,};"
        f" outputs {', '.join(report.outputs)};"
        f" {binary} binary layers, {len(report.float_layers)} float"
    )
    if not report.batch:
        say("the batch size is fixed: an operator of the file mixes the images of a batch")
    for layer, reason in report.float_layers.items():
        say(f"{layer} stays float: {reason}")
    for note in report.notes:
        say(f"note: {note}")
    return 0
