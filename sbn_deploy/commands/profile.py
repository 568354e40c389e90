"""`sbn profile`: where the time of a model goes, layer by layer."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, show_table, writable

if TYPE_CHECKING:
    from sbn_deploy.measure.layers.profile import LayerTime, Profile

    from .common import Subparsers

BAR = 24
EIGHTHS = " ▏▎▍▌▋▊▉"


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "profile",
        description="Times each layer of a model: operator, shapes, multiply-accumulates (MACs),"
        " time and share, MACs a cycle, percent of what this machine reaches on a binary"
        " convolution that suits it, bytes moved. Names the layer to mend first.",
        example="sbn profile digits.onnx\n  sbn profile digits.onnx -o profile.json"
        " && sbn report profile.json -o report.html",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    numbers = (
        ("--threads", 1, "threads that share a call"),
        ("--batch", 1, "samples in a call"),
        ("--runs", 200, "timed calls"),
    )
    for name, default, text in numbers:
        parser.add_argument(
            name,
            type=at_least(1),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="measurement to write, for `sbn report`"
    )


def run(options: argparse.Namespace) -> int:
    """Profiles one model."""
    import numpy as np

    from sbn_deploy.measure import measurement
    from sbn_deploy.measure.latency.engines import sbn_engine
    from sbn_deploy.measure.latency.timing import image_shape
    from sbn_deploy.measure.layers import peak
    from sbn_deploy.measure.layers.profile import profile_model

    if options.output is not None:
        writable(options.output)
    engine = sbn_engine("sbn", options.model, threads=options.threads)
    shape = options.batch, *image_shape(engine.session)
    x = engine.adapt(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
    record = measurement.head("profile")
    say(f"{options.runs} calls of {options.model.name}")
    profile = profile_model(options.model, engine, x, runs=options.runs)
    record["model"] = asdict(measurement.describe_model(options.model, engine.session.metadata))
    record |= asdict(profile)
    record["peak"] = {
        "binary_macs_per_cycle": record.pop("peak_macs_per_cycle"),
        "ghz": record.pop("ghz"),
        "measured_on": peak.DESCRIPTION,
    }
    if options.output is not None:
        measurement.save(options.output, record)
        say(f"written: {options.output}")
    if options.json:
        show_json(record)
    else:
        _show(profile)
    return 0


def _show(profile: Profile) -> None:
    longest = max(layer.share for layer in profile.layers)
    show_table(
        (
            *("layer", "op", "input", "output", "MACs", "µs", "share", "", "MACs/cycle"),
            *("% of peak", "kB moved"),
        ),
        [
            (
                layer.name,
                layer.op,
                layer.input_shape,
                layer.output_shape,
                _macs(layer),
                f"{layer.us:.1f}",
                f"{layer.share:.1%}",
                _bar(layer.share / longest if longest else 0.0),
                None if layer.macs_per_cycle is None else f"{layer.macs_per_cycle:,.1f}",
                None if layer.percent_of_peak is None else f"{layer.percent_of_peak:.0f}",
                f"{layer.bytes / 1000:,.1f}",
            )
            for layer in profile.layers
        ],
    )
    print(
        f"\n{profile.call_us:,.1f} µs a call on {profile.isa} kernels at {profile.ghz:.2f} GHz,"
        f" threads: {profile.threads}; the peak is {profile.peak_macs_per_cycle:,.0f} binary MACs"
        " a cycle"
    )
    print(f"mend first: {profile.mend_first.name}, {profile.mend_first.why}")
    if profile.profiler_us:
        say(
            f"{profile.profiler_us:.1f} µs of each layer were the profiler's own and are left out;"
            " for layers as short as that, a larger --batch tells more"
        )


def _macs(layer: LayerTime) -> str | None:
    kinds = {"binary": layer.binary_macs, "8-bit": layer.int8_macs, "float": layer.float_macs}
    return next((f"{macs:,} {kind}" for kind, macs in kinds.items() if macs), None)


def _bar(share: float) -> str:
    """A bar of up to BAR characters, in steps of an eighth of one."""
    eighths = round(share * BAR * 8)
    rest = EIGHTHS[eighths % 8].strip()
    return "█" * (eighths // 8) + rest
