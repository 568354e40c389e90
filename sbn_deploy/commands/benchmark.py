"""`sbn benchmark`: latency and throughput on this machine or on a device."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_deploy.engines.table import COMPARED, takes
from sbn_runtime.errors import ConfigError, InputError

from .common import (
    at_least,
    new_parser,
    positive_seconds,
    say,
    show_json,
    whole_numbers,
)
from .data import test_images
from .own_network import add_network_options
from .remote_options import (
    add_remote_options,
    check_complete,
    outputs,
    phone_kernels,
    remote_devices,
)
from .show_times import show_benchmarks

if TYPE_CHECKING:
    from sbn_deploy.benchmark.own import Own
    from sbn_deploy.data import Dataset
    from sbn_deploy.engines.look import Loaded
    from sbn_deploy.records.benchmark import Benchmark, Settings
    from sbn_deploy.records.measurement import Model

    from .common import Subparsers

INT8 = "int8"
# For each engine with each number of threads and each batch, unless it is precise before.
SECONDS = 20.0


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "benchmark",
        description="Measures how long one call takes, until the medians are known to ± 5 % or"
        " time is up. Engines run in turns, one at a time, so that a change of the machine's speed"
        " affects all of them, and start several times, so that the intervals cover the next"
        " measurement too: its median falls inside with 95 % probability. With --data:"
        " accuracy as well. With --remote: on a device, over the system's ssh, which leaves"
        " nothing behind there. With --remote adb: on a phone, in our own runtime. With several"
        " --remote: on all of them at the same time; one that fails leaves the others alone. Warns"
        " if a machine was not steady.",
        example="sbn benchmark digits.onnx --compare fp32,int8,lce,torch\n"
        "  sbn benchmark small.onnx large.onnx --threads 1,2 --batch 1,8,32 -o speed.json\n"
        "  sbn benchmark digits.onnx --data digits --remote ssh://pi@raspberrypi.local",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="ONNX file of `sbn export`; after the first, any ONNX file, or TFLite file, which"
        " runs in Larq Compute Engine; or a network with random weights, unless --checkpoint has"
        " its own: FILE.py:NAME, or the name of an architecture",
    )
    add_network_options(parser)
    parser.add_argument(
        "--compare",
        type=_baselines,
        default=(),
        metavar="LIST",
        help=f"one or more of {', '.join(COMPARED)}: the same file in our own runtime, without"
        " onnxruntime; the same architecture with real weights in"
        " onnxruntime (for FILE.py:NAME, the same module with its signs as floats), the same"
        " quantised to 8 bits, the same model in Larq Compute Engine, in the faster of its modes"
        " (needs larq-compute-engine; one image at a time), and the binary"
        " network in torch; fp32, int8 and torch need the training packages",
    )
    for name, text in (
        ("--threads", "threads that share a call"),
        ("--batch", "samples in a call"),
    ):
        parser.add_argument(
            name,
            type=whole_numbers(1),
            default=(1,),
            metavar="LIST",
            help=f"{text}; in a list such as 1,2,4, each is measured (default: 1)",
        )
    parser.add_argument(
        "--runs",
        type=at_least(1),
        metavar="N",
        help="timed calls of each engine, if time allows (default: until the medians are precise)",
    )
    parser.add_argument(
        "--warmup",
        type=at_least(0),
        default=30,
        metavar="N",
        help="calls before the timed ones, each time an engine is started (default: 30)",
    )
    parser.add_argument(
        "--max-seconds",
        type=positive_seconds,
        metavar="S",
        help="when to stop measuring, however imprecise (default:"
        f" {SECONDS:g} for each engine with each number of threads and each batch)",
    )
    parser.add_argument(
        "--data", metavar="SET", help="test images to classify as well, as `sbn evaluate` takes"
    )
    parser.add_argument(
        "--images", type=at_least(1), metavar="N", help="use N evenly spaced images"
    )
    add_remote_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write all figures to this file, for `sbn report`; with several --remote, a folder"
        " for a file of each",
    )


def run(options: argparse.Namespace) -> int:
    """Measures the models and what they are compared with, here or on devices."""
    _check(options)
    devices = remote_devices(options)
    with tempfile.TemporaryDirectory() as folder, phone_kernels(options) as isa:
        options.own = _export_own(options, Path(folder))
        files = outputs(options.output, devices)
        dataset = None
        if options.data is not None:
            dataset = test_images(options.data, options.images, options.models[0])
        if devices:
            from .benchmark_remote import measure_there

            found = measure_there(options, devices, dataset, isa, files)
        else:
            found = {"": _measure_here(options, dataset)}
            if files:
                from sbn_deploy.records.files import save

                save(files[""], found[""])
    records = list(found.values())
    if options.json:
        show_json(records if len(devices) > 1 else records[0])
    else:
        show_benchmarks(records)
    check_complete(devices, found)
    return 0


def _export_own(options: argparse.Namespace, folder: Path) -> dict[Path, Own]:
    """Files in place of the networks among the models, and what else there is of these.

    Architectures of ours are files of random weights like those of `sbn export --untrained`.
    """
    from sbn_deploy.networks import names_code

    # Files have a suffix; names of architectures and of entry points have none.
    named = [text for text in options.models if names_code(text) or not Path(text).suffix]
    if not named and (options.checkpoint or options.input):
        raise InputError("--checkpoint and --input go with FILE.py:NAME")
    own, files = {}, []
    for text in options.models:
        file = Path(text)
        if text in named:
            from sbn_deploy.benchmark.own import export_own, export_random
            from sbn_deploy.nn import models

            say(f"exporting {text}")
            if text in models.names() and not options.checkpoint:
                file = export_random(text, folder)
            elif INT8 in options.compare:
                raise ConfigError(
                    f"int8 is not for {text}: compare it with the same module as floats, fp32"
                )
            else:
                file, own_network = export_own(
                    text, folder, checkpoint=options.checkpoint, shapes=options.input
                )
                own[file] = own_network
        files.append(file)
    options.models = files
    return own


def _check(options: argparse.Namespace) -> None:
    if options.images is not None and options.data is None:
        raise InputError("--images goes with --data, as in --data digits")
    if options.data is not None and len(options.models) > 1:
        raise InputError("--data goes with one model; use `sbn evaluate` for the others")
    for row in (COMPARED[name] for name in options.compare):
        if not any(takes(row.name, batch) for batch in options.batch):
            raise ConfigError(f"{row.shown} runs one image at a time: compare with it at --batch 1")


def _measure_here(options: argparse.Namespace, dataset: Dataset | None) -> Benchmark:
    from sbn_deploy.benchmark.baselines import Baselines
    from sbn_deploy.benchmark.measure import measure
    from sbn_deploy.engines.look import load
    from sbn_deploy.evaluate.scores import classified
    from sbn_runtime import Session

    models = [load(model) for model in options.models]
    facts = facts_of(models)
    if not models[0].exported:
        raise InputError(
            f"{models[0].path}: has no sbn operators; the first model, which the others are"
            " compared with, must be a file of `sbn export`"
        )
    with tempfile.TemporaryDirectory() as folder:
        baselines = Baselines(options.compare, Path(folder), say, options.own)
        specs = [
            spec
            for model, fact in zip(models, facts, strict=True)
            for spec in baselines.of(model, fact.name)
        ]
        record = measure(specs, facts, settings_of(options), say=say, progress=_show_progress)
    if dataset is None:
        return record
    say(f"classifying {len(dataset)} images of {dataset.name}")
    scores, _ = classified(Session(models[0].path), dataset.images, dataset.labels)
    return replace(record, data=dataset.name, accuracy=scores)


def settings_of(options: argparse.Namespace) -> Settings:
    """How to measure."""
    from sbn_deploy.records.benchmark import Settings

    engines = len(options.models) * (1 + len(options.compare))
    seconds = options.max_seconds or SECONDS * engines * len(options.threads) * len(options.batch)
    return Settings(
        threads=options.threads,
        batch=options.batch,
        runs=options.runs,
        warmup=options.warmup,
        max_seconds=seconds,
    )


def facts_of(models: Sequence[Loaded]) -> list[Model]:
    """What the models are; where two files have one name, names say their folders too."""
    from sbn_deploy.records.measurement import describe_model

    if len({model.path.resolve() for model in models}) < len(models):
        raise InputError("a model is given twice")
    facts = [describe_model(model.path, model.metadata) for model in models]
    shared = Counter(fact.name for fact in facts)
    return [
        replace(fact, name=str(model.path.with_suffix(""))) if shared[fact.name] > 1 else fact
        for model, fact in zip(models, facts, strict=True)
    ]


def _show_progress(share: float) -> None:
    """A line on a terminal that is written over; the last one is removed."""
    if sys.stderr.isatty():
        text = "" if share >= 1 else f"{share:.0%} "
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _baselines(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in COMPARED:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(COMPARED)}")
    return names
