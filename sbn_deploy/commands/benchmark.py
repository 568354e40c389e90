"""`sbn benchmark`: latency and throughput on this machine."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    from sbn_deploy.measure.engines import Engine

    from .common import Subparsers

RIVALS = ("fp32", "int8")


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "benchmark",
        description="Measures how long one call takes. Engines are run in turns, so that a change"
        " of the machine's speed meets all of them.",
        example="sbn benchmark digits.onnx --threads 1 --batch 1 --compare fp32,int8",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file of `sbn export`")
    numbers = (
        ("--threads", 1, 1, "threads that share a call"),
        ("--batch", 1, 1, "samples in a call"),
        ("--runs", 1, 300, "timed calls for each engine"),
        ("--warmup", 0, 30, "calls before the timed ones"),
    )
    for name, minimum, default, text in numbers:
        parser.add_argument(
            name,
            type=at_least(minimum),
            default=default,
            metavar="N",
            help=f"{text} (default: {default})",
        )
    parser.add_argument(
        "--compare",
        type=_rivals,
        default=(),
        metavar="LIST",
        help="fp32, int8 or both: the same architecture with real weights in onnxruntime, and"
        " quantised to 8 bits (needs the training packages)",
    )


def run(options: argparse.Namespace) -> int:
    """Measures the model and its rivals."""
    from sbn_deploy.measure.benchmark import example_input, measure, pinned
    from sbn_deploy.measure.engines import sbn_engine, stock_engine
    from sbn_deploy.measure.machine import describe

    with tempfile.TemporaryDirectory() as folder, pinned(options.threads):
        sbn = sbn_engine("sbn", options.model, threads=options.threads)
        x = example_input(sbn.session, options.batch)
        engines: list[Engine] = [sbn]
        if options.compare:
            from sbn_deploy.measure.rivals import untrained_rivals

            say("building the same architecture with real weights")
            files = untrained_rivals(sbn.session.metadata, options.compare, Path(folder))
            engines += [
                stock_engine(f"onnxruntime-{rival}", files[rival], threads=options.threads)
                for rival in options.compare
            ]
        say(f"{options.runs} runs of {', '.join(engine.name for engine in engines)}")
        results = measure(engines, x, runs=options.runs, warmup=options.warmup)
    machine = describe()
    if options.json:
        show_json({"machine": machine, "results": results})
        return 0
    say(f"{machine['cpu']}, {machine['isa']} kernels, onnxruntime {machine['onnxruntime']}")
    show_table(
        ("engine", "threads", "batch", "median ms", "p95 ms", "images/s", "time against sbn"),
        [
            (
                timing.engine,
                timing.threads,
                timing.batch,
                f"{timing.median_ms:.4f}",
                f"{timing.p95_ms:.4f}",
                round(timing.images_per_s),
                f"{timing.median_ms / results[0].median_ms:.2f}×",
            )
            for timing in results
        ],
    )
    return 0


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in RIVALS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RIVALS)}")
    return names
