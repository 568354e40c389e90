"""`sbn validate`: does an exported file compute what its network computes?"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_deploy.names import now_called
from sbn_runtime.errors import ConfigError

from .common import at_least, new_parser, say, show_json, show_table
from .own_network import add_checkpoint_option

if TYPE_CHECKING:
    from sbn_deploy.validate import ValidationReport

    from .common import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "validate",
        description="Runs the same inputs through torch and every engine that runs the file:"
        " ONNX files in our kernels with every instruction set of this CPU, our own runtime, stock"
        " onnxruntime and onnx's reference evaluator, TFLite files in each of Larq"
        " Compute Engine's kernel sets. The exit status is 1 if any of them disagrees with torch.",
        example="sbn validate digits.onnx --against runs/digits/checkpoint.safetensors\n"
        "  sbn validate net.onnx --against net.py:build --checkpoint net.pt",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="ONNX or TFLite file of `sbn export`"
    )
    parser.add_argument(
        "--against",
        metavar="NETWORK",
        required=True,
        help="what it was made from: a checkpoint of `sbn train`, or FILE.py:NAME",
    )
    add_checkpoint_option(parser)
    parser.add_argument(
        "--data",
        metavar="SET",
        help="test images as inputs for FILE.py:NAME, as `sbn evaluate` takes them (default:"
        " random ones)",
    )
    parser.add_argument(
        *("--inputs", "--samples"),
        action=_Inputs,
        type=at_least(1),
        default=32,
        metavar="N",
        help="number of inputs (default: 32); --samples is its old name",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="seed of the inputs (default: 0)"
    )


class _Inputs(argparse.Action):
    """Says that an option was given under its old name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        options: argparse.Namespace,
        value: object,
        name: str | None = None,
    ) -> None:
        if name == "--samples":
            say(f"warning: {now_called(name, '--inputs')}")
        options.inputs = value


def run(options: argparse.Namespace) -> int:
    """Validates; returns 1 when an engine disagrees."""
    say(f"comparing {options.model} with {options.against}")
    report = _validate(options)
    if options.json:
        show_json(report.to_json())
    else:
        shown = [{**asdict(result)} for result in report.results]
        for row in shown:
            row.pop("first_difference")
        show_table(
            [name.replace("_", " ") for name in shown[0]], [list(row.values()) for row in shown]
        )
        for line in dict.fromkeys(x.first_difference for x in report.results):
            if line:
                say(f"first difference: {line}")
    if report.not_in_native:
        say(f"not run by engine native: {report.not_in_native}")
    if report.layers_in_8_bits:
        say(
            f"{report.layers_in_8_bits} layers are in 8 bits: codes may be {report.code_tolerance}"
            " steps from torch's floats; everything computed from them is compared as usual"
        )
    say("every engine agrees" if report.ok else "the engines disagree")
    return 0 if report.ok else 1


def _validate(options: argparse.Namespace) -> ValidationReport:
    from sbn_deploy.networks import is_offered, names_code

    against = options.against
    if options.checkpoint or names_code(against) or is_offered(against):
        from sbn_deploy.validate import validate_network

        return validate_network(
            options.model,
            against,
            checkpoint=options.checkpoint,
            images=options.data,
            count=options.inputs,
            seed=options.seed,
        )
    if options.data:
        raise ConfigError(f"--data is for FILE.py:NAME; {against} already defines it")
    from sbn_deploy.validate import validate

    return validate(options.model, Path(against), count=options.inputs, seed=options.seed)
