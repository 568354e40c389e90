"""`sbn inspect`: what a model file is made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import new_parser, show_json, show_table

if TYPE_CHECKING:
    from sbn_converters.layer_info import LayerInfo

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "inspect",
        description="Lists a model's layers: shapes, binary and float multiply-accumulates,"
        " packed bytes, and why a layer stays float. For any TFLite file, lists all operators.",
        example="sbn inspect digits.onnx",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="ONNX file of `sbn export`, or a TFLite file with operators of Larq Compute Engine",
    )


def run(options: argparse.Namespace) -> int:
    """Lists the layers and their sums."""
    metadata, layers, working = _read(options.model)
    totals = {
        "file_bytes": options.model.stat().st_size,
        "binary_macs": sum(layer.binary_macs for layer in layers),
        "int8_macs": sum(layer.int8_macs for layer in layers),
        "float_macs": sum(layer.float_macs for layer in layers),
        "packed_bytes": sum(layer.packed_bytes for layer in layers),
        "working_bytes": working,
    }
    if options.json:
        show_json({"metadata": metadata, "layers": layers, "totals": totals})
        return 0
    show_table(
        (
            *("layer", "op", "kind", "input", "output"),
            *("binary MACs", "int8 MACs", "float MACs", "bytes", "contains", "why"),
        ),
        [
            (
                layer.name,
                layer.op,
                layer.kind,
                layer.input_shape,
                layer.output_shape,
                layer.binary_macs,
                layer.int8_macs,
                layer.float_macs,
                layer.packed_bytes + layer.float_bytes,
                ", ".join(layer.fused),
                layer.why,
            )
            for layer in layers
        ],
    )
    print(
        f"\n{totals['binary_macs']:,} binary, {totals['int8_macs']:,} 8-bit and"
        f" {totals['float_macs']:,} float multiply-accumulates per sample;"
        f" {totals['packed_bytes']:,} packed bytes, {totals['file_bytes']:,} bytes in the file;"
        f" {working:,} bytes of activations at a time per sample"
    )
    return 0


def _read(path: Path) -> tuple[dict[str, Any], list[LayerInfo], int]:
    """What a file says of itself, its layers, and the memory they work in."""
    if path.suffix == ".tflite":
        from sbn_converters.tflite import inspect
        from sbn_converters.tflite.metadata import metadata
        from sbn_converters.tflite.read import read

        model = read(path.read_bytes(), str(path))
        layers = inspect.inspect_model(model, str(path))
        return metadata(model, str(path)), layers, inspect.working_memory(model)
    from sbn_converters.onnx.inspect import inspect_model, working_memory
    from sbn_runtime import Session
    from sbn_runtime.modelfile import check_constants

    # First report what only needs reading, before any memory is allocated.
    check_constants(path)
    layers, working = inspect_model(path), working_memory(path)
    return Session(path).metadata, layers, working
