"""`sbn benchmark`: latency and throughput on this machine or on a device."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_runtime.errors import ConfigError, InputError

from .common import at_least, new_parser, say, show_json, show_table
from .data import test_images

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset
    from sbn_deploy.measure.engines import Engine, SbnEngine
    from sbn_deploy.measure.record import Settings

    from .common import Subparsers

LCE = "lce"
RIVALS = ("fp32", "int8", LCE)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "benchmark",
        description="Measures how long one call takes. Engines are run in turns, so that a change"
        " of the machine's speed meets all of them. With --data: accuracy as well. With --remote:"
        " on a device, over the system's ssh and scp; nothing is left behind there. A phone with"
        " --remote adb: times the sbn operators of the model one by one. Says when the machine was"
        " not steady.",
        example="sbn benchmark digits.onnx --threads 1 --batch 1 --compare fp32,int8\n"
        "  sbn benchmark digits.onnx --data digits --remote ssh://pi@raspberrypi.local",
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
    parser.add_argument(
        "--data", metavar="SET", help="test images to classify as well, as `sbn evaluate` takes"
    )
    parser.add_argument(
        "--images", type=at_least(1), metavar="N", help="take N of them, evenly spread"
    )
    parser.add_argument(
        "--remote",
        metavar="DEVICE",
        help="measure there: ssh://[USER@]HOST[:PORT][/FOLDER], or adb:[SERIAL] for a phone",
    )
    parser.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="wheel to install on the device (default: the one in dist/ that fits it)",
    )


def run(options: argparse.Namespace) -> int:
    """Measures the model and its rivals, here or on a device."""
    if options.wheel is not None and options.remote is None:
        raise InputError("--wheel goes with --remote, as in --remote ssh://pi@raspberrypi.local")
    if options.images is not None and options.data is None:
        raise InputError("--images goes with --data, as in --data digits")
    if options.remote is not None and options.remote.startswith("adb:"):
        return _measure_phone(options)
    if options.data is not None:
        dataset: Dataset | None = test_images(options.data, options.images)
    else:
        dataset = None
    record = (_measure_here if options.remote is None else _measure_there)(options, dataset)
    if options.json:
        show_json(record)
    else:
        _show(record)
    return 0


def _measure_here(options: argparse.Namespace, dataset: Dataset | None) -> dict[str, Any]:
    from sbn_deploy.measure.record import classified, timed
    from sbn_runtime import Session

    if LCE in options.compare and options.batch != 1:
        raise ConfigError("LCE runs one image at a time: compare with it at --batch 1")
    with tempfile.TemporaryDirectory() as folder:
        record = timed(
            options.model,
            _settings(options),
            lambda sbn: _rival_engines(sbn, options, Path(folder)),
            say=say,
        )
    if LCE in options.compare:
        from sbn_deploy.measure.lce import faster_mode

        record["results"] = faster_mode(record["results"])
    if dataset is not None:
        say(f"classifying {len(dataset)} images of {dataset.name}")
        record["data"] = dataset.name
        record["accuracy"], _ = classified(Session(options.model), dataset.images, dataset.labels)
    return record


def _measure_there(options: argparse.Namespace, dataset: Dataset | None) -> dict[str, Any]:
    from sbn_deploy.measure.machine import describe
    from sbn_deploy.measure.record import classified
    from sbn_deploy.measure.remote.steps import Material, measure_remotely
    from sbn_deploy.measure.remote.target import Target, parse
    from sbn_runtime import Session

    target = parse(options.remote)
    assert isinstance(target, Target)
    if LCE in options.compare:
        raise ConfigError("LCE is compared with here only; leave it out with --remote")
    session = Session(options.model)
    local: dict[str, Any] = {"machine": describe()}
    found = None
    if dataset is not None:
        say(f"classifying {len(dataset)} images of {dataset.name} here")
        local["accuracy"], found = classified(session, dataset.images, dataset.labels)
    with tempfile.TemporaryDirectory() as folder:
        material = Material(
            model=options.model,
            rivals=_rival_files(options.compare, session.metadata, Path(folder)),
            images=None if dataset is None else dataset.images,
            labels=None if dataset is None else dataset.labels,
            wheel=options.wheel,
        )
        record = measure_remotely(target, material, _settings(options), say)
    record["local"] = local
    if dataset is not None:
        there = record.pop("labels")
        record["data"] = dataset.name
        record["differing_labels"] = int((found != there).sum())
    return record


def _measure_phone(options: argparse.Namespace) -> int:
    from sbn_deploy.measure.remote.phone import measure_on_phone
    from sbn_deploy.measure.remote.target import Phone, parse

    from .layers import show_layers

    for name, unfit, instead in (
        ("--data", options.data is not None, "accuracy is the same on every device: leave it out"),
        ("--compare", bool(options.compare), "compare on a device with --remote ssh://"),
        ("--wheel", options.wheel is not None, "a phone's shell has no Python: leave it out"),
        ("--threads", options.threads != 1, "it is timed on one thread: leave it out"),
    ):
        if unfit:
            raise InputError(f"{name} does not go with --remote adb:; {instead}")
    phone = parse(options.remote)
    assert isinstance(phone, Phone)
    record = measure_on_phone(phone, options.model, _settings(options), say)
    if options.json:
        show_json(record)
    else:
        show_layers(record)
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    from sbn_deploy.measure.record import Settings

    return Settings(options.threads, options.batch, options.runs, options.warmup)


def _rival_files(
    compare: Sequence[str], metadata: Mapping[str, Any], folder: Path
) -> dict[str, Path]:
    """The files of the float models to compare with, by engine name."""
    real = [rival for rival in compare if rival != LCE]
    if not real:
        return {}
    from sbn_deploy.measure.rivals import untrained_rivals

    say("building the same architecture with real weights")
    files = untrained_rivals(metadata, real, folder)
    return {_engine_name(rival): files[rival] for rival in real}


def _engine_name(rival: str) -> str:
    return f"onnxruntime-{rival}"


def _show(record: Mapping[str, Any]) -> None:
    machine, results = record["machine"], record["results"]
    where = f"{record['remote']['host']}: " if "remote" in record else ""
    say(f"{where}{machine['cpu']}, {machine['isa']} kernels, onnxruntime {machine['onnxruntime']}")
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
    if "accuracy" in record:
        accuracy = record["accuracy"]
        print(
            f"\naccuracy {accuracy['accuracy']:.2%} of {accuracy['samples']:,} images of"
            f" {record['data']} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"
        )
    if "differing_labels" in record:
        print(f"labels that differ from those found here: {record['differing_labels']:,}")
    for reason in record["unstable"]:
        say(f"unstable: {reason}")


def _rival_engines(sbn: SbnEngine, options: argparse.Namespace, folder: Path) -> Iterator[Engine]:
    """Engines in the order in which they were asked for, two for LCE's modes."""
    from sbn_deploy.measure.engines import stock_engine

    files = _rival_files(options.compare, sbn.session.metadata, folder)
    for rival in options.compare:
        if rival == LCE:
            from sbn_deploy.measure.lce import translated_engines

            say("translating the model for Larq Compute Engine")
            yield from translated_engines(options.model, threads=options.threads)
        else:
            name = _engine_name(rival)
            yield stock_engine(name, files[name], threads=options.threads)


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in RIVALS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RIVALS)}")
    return names
