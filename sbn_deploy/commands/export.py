"""`sbn export`: a checkpoint becomes an ONNX or TFLite file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError

from .common import at_least, new_parser, say, show_json, show_table, writable

if TYPE_CHECKING:
    from sbn_deploy.export import ExportReport

    from .common import Subparsers

DEFAULT_SAMPLES = 8


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "export",
        description="Fixes the weights of a trained network and writes it as one file with"
        " bit-packed operators: ONNX for onnxruntime, or TFLite for Larq Compute Engine. The file"
        " is checked against torch before it appears; TFLite where larq-compute-engine is"
        " installed.",
        example="sbn export runs/digits/checkpoint.safetensors -o digits.onnx"
        " --weights sample --members 8",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="file of `sbn train`; with `--untrained`, the name of an architecture",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        required=True,
        help="file to write: NAME.onnx, or NAME.tflite for one image at a time",
    )
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="give the architecture random weights, to measure its speed before training",
    )
    parser.add_argument(
        "--weights",
        choices=("threshold", "sample"),
        default="threshold",
        help="threshold: each weight's more probable sign (default); sample: drawn from the"
        " weight's probability",
    )
    parser.add_argument(
        "--members",
        type=at_least(1),
        default=1,
        metavar="M",
        help="with `--weights sample`: networks drawn, whose probabilities are averaged"
        " (default: 1)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="seed of the draw (default: 0)"
    )
    parser.add_argument(
        "--activations",
        choices=("deterministic", "stochastic"),
        default="deterministic",
        help="deterministic: plain signs (default); stochastic: signs drawn with the noise of"
        " training, on the device (ONNX only)",
    )
    parser.add_argument(
        "--samples",
        type=at_least(1),
        default=None,
        metavar="S",
        help="with stochastic activations: networks drawn from each member, whose probabilities"
        " are averaged; whoever runs the file may ask for more or fewer"
        f" (default: {DEFAULT_SAMPLES})",
    )
    parser.add_argument(
        "--noise-seed",
        type=at_least(0),
        default=0,
        metavar="S",
        help="with stochastic activations: seed of the draws, which may be changed too"
        " (default: 0)",
    )


def run(options: argparse.Namespace) -> int:
    """Exports, and reports what was written."""
    output = writable(options.output)
    say(f"exporting {options.checkpoint}")
    report = _export(options, output)
    if not report.run_in:
        say(
            f"{report.path} was not run: larq-compute-engine is not installed"
            " (pip install 'sbn-deploy[tflite]')"
        )
    if options.json:
        show_json(report.to_json())
        return 0
    show_table(
        ("file", "bytes", "weights", "members", "samples", "binary layers", "float layers"),
        [
            (
                report.path,
                report.file_bytes,
                report.weights,
                report.members,
                report.samples,
                sum(layer.kind == "binary" for layer in report.layers),
                len(report.float_layers),
            )
        ],
    )
    for layer, reason in report.float_layers.items():
        say(f"{layer} stays float: {reason}")
    return 0


def _export(options: argparse.Namespace, output: Path) -> ExportReport:
    stochastic = options.activations == "stochastic"
    if options.samples is not None and not stochastic:
        raise ConfigError("--samples needs --activations stochastic: nothing else is drawn")
    draw = {
        "weights": options.weights,
        "members": options.members,
        "seed": options.seed,
        "activations": options.activations,
        "samples": options.samples or (DEFAULT_SAMPLES if stochastic else 1),
        "noise_seed": options.noise_seed,
    }
    if options.untrained:
        from sbn_deploy.untrained import export_untrained

        return export_untrained(options.checkpoint, output, **draw)
    from sbn_deploy.export import export_checkpoint

    return export_checkpoint(Path(options.checkpoint), output, **draw)
