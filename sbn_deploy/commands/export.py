"""`sbn export`: a checkpoint, or somebody's own network, becomes an ONNX or TFLite file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError, SbnError

from .calibrate import as_json, warn
from .calibrate import show as show_calibration
from .common import (
    add_engine_option,
    at_least,
    new_parser,
    printable,
    say,
    show_json,
    show_table,
    stages,
    writable,
)
from .own_network import (
    add_meaning_options,
    add_network_options,
    class_names,
)

if TYPE_CHECKING:
    from sbn_deploy.calibrate import Calibrated
    from sbn_deploy.export import ExportReport
    from sbn_deploy.materialize import Form

    from .common import Subparsers

DEFAULT_SAMPLES = 8
TORCH_FILES = (".pt", ".pth", ".bin", ".ckpt", ".tar")


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "export",
        description="Fixes the weights of a trained network and writes it as one file with"
        " bit-packed operators: ONNX for onnxruntime and our own runtime, or TFLite for Larq"
        " Compute Engine. The network is one of `sbn train`, or any binary torch module of your"
        " own. The file is"
        " checked against torch before it is written; TFLite only if larq-compute-engine is"
        " installed.",
        example="sbn export runs/digits/checkpoint.safetensors -o digits.onnx"
        " --weights sample --members 8\n"
        "  sbn export net.py:build --checkpoint net.pt --input 1x3x32x32 -o net.onnx",
    )
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="checkpoint of `sbn train`; FILE.py:NAME, package.module:NAME or the name of an entry"
        " point, a class or function that returns a torch module; with `--untrained`, also the name"
        " of an architecture",
    )
    add_network_options(parser)
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
        help="take random weights, to measure a network's speed before training",
    )
    add_meaning_options(parser)
    parser.add_argument(
        "--int8",
        action="store_true",
        help="compute the layers that are not binary in 8 bits: first and last layers,"
        " shortcuts; those that cost accuracy stay float, and the cost of the others is"
        " reported (ONNX only)",
    )
    parser.add_argument(
        "--int8-ranges",
        metavar="DATA",
        help="with `--int8`: data whose training part gives the layers' ranges and whose test part"
        " shows what they cost, as in `sbn train --data` (default: what the checkpoint was"
        " trained on)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="DATA",
        help="calibrate the file on held-out data, as `sbn calibrate --data` does (ONNX only)",
    )
    add_engine_option(
        parser, "with an ONNX file: the engine that it is for, which must run it", "sbn"
    )
    parser.add_argument(
        "--require-packed",
        action="store_true",
        help="exit with status 1 if no layer is packed",
    )
    parser.add_argument(
        "--weights",
        choices=("threshold", "sample"),
        default="threshold",
        help="threshold: each weight's more probable sign (default); sample: sampled from the"
        " weight's probability",
    )
    parser.add_argument(
        "--members",
        type=at_least(1),
        default=1,
        metavar="M",
        help="with `--weights sample`: sampled networks, whose probabilities are averaged"
        " (default: 1)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="seed of sampling (default: 0)"
    )
    parser.add_argument(
        "--activations",
        choices=("deterministic", "stochastic"),
        default="deterministic",
        help="deterministic: plain signs (default); stochastic: signs sampled with the noise of"
        " training, on the device (ONNX only)",
    )
    parser.add_argument(
        "--samples",
        type=at_least(1),
        default=None,
        metavar="S",
        help="with stochastic activations: noise samples of each member, whose probabilities"
        f" are averaged; can be changed at run time (default: {DEFAULT_SAMPLES})",
    )
    parser.add_argument(
        "--noise-seed",
        type=at_least(0),
        default=0,
        metavar="S",
        help="with stochastic activations: seed of the noise, which can be changed at run time"
        " too (default: 0)",
    )


def run(options: argparse.Namespace) -> int:
    """Exports, and reports what was written; 1 with `--require-packed` if nothing is packed."""
    output = writable(options.output)
    if options.calibrate is not None and output.suffix != ".onnx":
        raise ConfigError("--calibrate is for ONNX files; give a name that ends in .onnx")
    say(f"exporting {options.network}")
    with stages("sbn_deploy.export"):
        report = _export(options, output)
    if not report.run_in:
        say(
            f"{report.path} was not run: larq-compute-engine is not installed"
            " (pip install 'sbn-deploy[tflite]')"
        )
    calibrated = None
    if options.calibrate is not None:
        calibrated = _calibrate(output, options.calibrate)
    if options.json:
        said = {} if calibrated is None else {"calibration": as_json(calibrated)}
        show_json(report.to_json() | said)
    else:
        _show(report)
        if calibrated is not None:
            print()
            show_calibration(calibrated)
    if calibrated is not None:
        warn(calibrated)
    _say_what_is_packed(report)
    return 1 if options.require_packed and not report.packed_layers else 0


def _calibrate(output: Path, spec: str) -> Calibrated:
    from sbn_deploy.calibrate import calibrate
    from sbn_deploy.calibrate.held_out import held_out

    try:
        data, split = held_out(output, spec)
        say(f"calibrating {output} on {len(data):,} inputs of {data.name}, {split}")
        return calibrate(output, data, split)
    except SbnError as error:
        raise type(error)(f"{output} is written, but not calibrated: {error}") from error


def _show(report: ExportReport) -> None:
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


def _say_what_is_packed(report: ExportReport) -> None:
    """One line on the whole network, then one for each layer that stays float."""
    if not report.has_signs:
        say("nothing in this network is binary: it computes no signs")
    elif report.packed_layers:
        say(
            f"{report.packed_layers} of {report.binary_layers} layers that could be binary are"
            f" packed, with {report.packed_share:.1%} of the binary multiply-accumulates"
        )
    else:
        say(
            "warning: this network has signs, but none of its layers is packed:"
            " the file is as large and slow as that of a float network"
        )
    for layer, reason in report.float_layers.items() if report.has_signs else ():
        say(printable(f"{layer} stays float: {reason}"))
    if report.eight_bits is not None:
        say(str(report.eight_bits))
        for layer, reason in report.eight_bits.float_layers.items():
            say(printable(f"{layer} is not in 8 bits: {reason}"))
    for note in report.notes:
        say(printable(f"note: {note}"))


def _export(options: argparse.Namespace, output: Path) -> ExportReport:
    if options.samples is not None and options.activations != "stochastic":
        raise ConfigError("--samples needs --activations stochastic: without it nothing is sampled")
    if options.int8_ranges is not None and not options.int8:
        raise ConfigError("--int8-ranges needs --int8")
    int8 = (options.int8_ranges or "") if options.int8 else None
    if _is_own(options):
        from sbn_deploy.export.network import export_network
        from sbn_deploy.networks import preprocessing

        if options.checkpoint and options.untrained:
            raise ConfigError("--checkpoint gives trained weights; leave out --untrained")
        if not options.checkpoint and not options.untrained:
            say(f"no --checkpoint: using the weights that {options.network} gives")
        return export_network(
            options.network,
            output,
            _form(options),
            checkpoint=options.checkpoint,
            untrained=options.untrained,
            shapes=options.input,
            task=options.task,
            classes=class_names(options.classes),
            preprocess=preprocessing.parse(options.preprocess, options.input),
            int8=int8,
            engine=options.engine,
        )
    for name in ("input", "task", "classes", "preprocess"):
        if getattr(options, name):
            raise ConfigError(f"--{name} is for FILE.py:NAME; {options.network} already defines it")
    if Path(options.network).suffix in TORCH_FILES:
        raise ConfigError(
            f"{options.network} contains only weights; name their network too: sbn export"
            f" FILE.py:NAME --checkpoint {options.network}"
        )
    if options.untrained:
        if int8 is not None:
            raise ConfigError("--int8 measures accuracy, which an untrained network does not have")
        from sbn_deploy.untrained import export_untrained

        return export_untrained(options.network, output, _form(options), engine=options.engine)
    from sbn_deploy.export import export_checkpoint

    return export_checkpoint(
        Path(options.network), output, _form(options), int8=int8, engine=options.engine
    )


def _is_own(options: argparse.Namespace) -> bool:
    """Whether a network is named, rather than a checkpoint or an architecture."""
    from sbn_deploy.networks import is_offered, names_code

    network = options.network
    return bool(options.checkpoint) or names_code(network) or is_offered(network)


def _form(options: argparse.Namespace) -> Form:
    """Which networks the file holds."""
    from sbn_deploy.materialize import Form

    return Form(
        options.weights,
        options.members,
        options.seed,
        options.activations,
        options.samples or (DEFAULT_SAMPLES if options.activations == "stochastic" else 1),
        options.noise_seed,
    )
