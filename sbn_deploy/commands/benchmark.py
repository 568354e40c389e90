"""`sbn benchmark`: latency and throughput on this machine."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError

from .common import at_least, new_parser, say, show_json, show_table

if TYPE_CHECKING:
    from sbn_deploy.measure.engines import Engine, SbnEngine

    from .common import Subparsers

RIVALS = ("fp32", "int8", "lce")


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
        help="one or more of fp32, int8 and lce: the same architecture with real weights in"
        " onnxruntime, the same quantised to 8 bits (these need the training packages), and this"
        " very model in Larq Compute Engine, in the faster of its modes (needs"
        " larq-compute-engine and --batch 1)",
    )


def run(options: argparse.Namespace) -> int:
    """Measures the model and its rivals."""
    from sbn_deploy.measure.benchmark import example_input, measure, pinned
    from sbn_deploy.measure.engines import sbn_engine
    from sbn_deploy.measure.lce import faster_mode
    from sbn_deploy.measure.machine import describe

    if "lce" in options.compare and options.batch != 1:
        raise ConfigError("LCE runs one image at a time: compare with it at --batch 1")
    with tempfile.TemporaryDirectory() as folder, pinned(options.threads):
        sbn = sbn_engine("sbn", options.model, threads=options.threads)
        x = example_input(sbn.session, options.batch)
        engines = [sbn, *_rival_engines(sbn, options, Path(folder))]
        say(f"{options.runs} runs of {', '.join(engine.name for engine in engines)}")
        results = faster_mode(measure(engines, x, runs=options.runs, warmup=options.warmup))
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


def _rival_engines(sbn: SbnEngine, options: argparse.Namespace, folder: Path) -> Iterator[Engine]:
    """Engines in the order in which they were asked for, two for LCE's modes."""
    from sbn_deploy.measure.engines import stock_engine
    from sbn_deploy.measure.lce import translated_engines

    real = [rival for rival in options.compare if rival != "lce"]
    files: dict[str, Path] = {}
    if real:
        from sbn_deploy.measure.rivals import untrained_rivals

        say("building the same architecture with real weights")
        files = untrained_rivals(sbn.session.metadata, real, folder)
    for rival in options.compare:
        if rival == "lce":
            say("translating the model for Larq Compute Engine")
            yield from translated_engines(options.model, threads=options.threads)
        else:
            yield stock_engine(f"onnxruntime-{rival}", files[rival], threads=options.threads)


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in RIVALS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RIVALS)}")
    return names
