"""`sbn benchmark`: latency and throughput on this machine or on a device."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_runtime.errors import ConfigError, InputError

from .common import (
    at_least,
    new_parser,
    positive_seconds,
    say,
    show_json,
    show_table,
    whole_numbers,
    writable,
)
from .data import test_images
from .layers import show_layers
from .own_network import add_network_options

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset
    from sbn_deploy.measure.latency.loaded import Loaded
    from sbn_deploy.measure.latency.own import Own
    from sbn_deploy.measure.latency.record import Settings
    from sbn_deploy.measure.measurement import ModelFacts

    from .common import Subparsers

INT8, LCE, TORCH = "int8", "lce", "torch"
RIVALS = ("fp32", INT8, LCE, TORCH)
# For each engine with each number of threads and each batch.
SECONDS = 5.0


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "benchmark",
        description="Measures how long one call takes. Engines run in turns, so that a change of"
        " the machine's speed meets all of them, and start several times, so that the intervals"
        " hold for the next measurement too. With --data: accuracy as well. With --remote: on a"
        " device, over the system's ssh and scp; nothing is left behind there. A phone with"
        " --remote adb: times the sbn operators of the model one by one. Says when the machine was"
        " not steady.",
        example="sbn benchmark digits.onnx --compare fp32,int8,lce,torch\n"
        "  sbn benchmark small.onnx large.onnx --threads 1,2 --batch 1,8,32 -o speed.json\n"
        "  sbn benchmark digits.onnx --data digits --remote ssh://pi@raspberrypi.local",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="ONNX file of `sbn export`; after the first, any; or a network with random weights,"
        " unless --checkpoint has its own: FILE.py:NAME, or the name of an architecture",
    )
    add_network_options(parser)
    parser.add_argument(
        "--compare",
        type=_rivals,
        default=(),
        metavar="LIST",
        help="one or more of fp32, int8, lce and torch: the same architecture with real weights in"
        " onnxruntime (for FILE.py:NAME, the same module with its signs as floats), the same"
        " quantised to 8 bits, this very model in Larq Compute Engine, in"
        " the faster of its modes (needs larq-compute-engine; one image at a time), and the binary"
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
            help=f"{text}; each of a list as 1,2,4 is measured (default: 1)",
        )
    numbers = (
        ("--runs", 1, 1000, "timed calls for each engine, if time allows"),
        ("--warmup", 0, 30, "calls before the timed ones, each time an engine is started"),
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
        "--max-seconds",
        type=positive_seconds,
        metavar="S",
        help="when to stop measuring, whatever --runs says (default:"
        f" {SECONDS:g} for each engine with each number of threads and each batch)",
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
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.json",
        help="write all figures there, for `sbn report`",
    )


def run(options: argparse.Namespace) -> int:
    """Measures the models and their rivals, here or on a device."""
    _check(options)
    with tempfile.TemporaryDirectory() as folder:
        options.own = _export_own(options, Path(folder))
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    output: Path | None = options.output and writable(options.output)
    on_phone = options.remote is not None and options.remote.startswith("adb:")
    if on_phone:
        record = _measure_phone(options)
    else:
        dataset = None if options.data is None else test_images(options.data, options.images)
        measure = _measure_here if options.remote is None else _measure_there
        record = measure(options, dataset)
    if output is not None:
        from sbn_deploy.measure import measurement

        measurement.save(output, record)
    if options.json:
        show_json(record)
    elif on_phone:
        show_layers(record)
    else:
        _show(record)
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
            from sbn_deploy.measure.latency.own import export_own, export_random
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
    if options.wheel is not None and options.remote is None:
        raise InputError("--wheel goes with --remote, as in --remote ssh://pi@raspberrypi.local")
    if options.images is not None and options.data is None:
        raise InputError("--images goes with --data, as in --data digits")
    if options.data is not None and len(options.models) > 1:
        raise InputError("--data goes with one model; `sbn evaluate` classifies with the others")
    if LCE in options.compare and 1 not in options.batch:
        raise ConfigError("LCE runs one image at a time: compare with it at --batch 1")


def _measure_here(options: argparse.Namespace, dataset: Dataset | None) -> dict[str, Any]:
    from sbn_deploy.measure.latency.candidates import Candidates
    from sbn_deploy.measure.latency.loaded import load
    from sbn_deploy.measure.latency.record import classified, timed
    from sbn_runtime import Session

    models = [load(model) for model in options.models]
    facts = _facts(models)
    if models[0].engine != "sbn":
        raise InputError(
            f"{models[0].path}: has no sbn operators; give first what others are compared with,"
            " a file of `sbn export`"
        )
    with tempfile.TemporaryDirectory() as folder:
        candidates = Candidates(options.compare, Path(folder), say, options.own)
        specs = [
            spec
            for model, fact in zip(models, facts, strict=True)
            for spec in candidates.of(model, fact.name)
        ]
        record = timed(specs, _settings(options), say=say, progress=_show_progress)
    if dataset is not None:
        say(f"classifying {len(dataset)} images of {dataset.name}")
        (model,) = options.models
        record["data"] = dataset.name
        record["accuracy"], _ = classified(Session(model), dataset.images, dataset.labels)
    return _measurement(facts, record)


def _measure_there(options: argparse.Namespace, dataset: Dataset | None) -> dict[str, Any]:
    from sbn_deploy.measure.latency.candidates import Candidates
    from sbn_deploy.measure.latency.loaded import load
    from sbn_deploy.measure.latency.record import classified
    from sbn_deploy.measure.machine import describe
    from sbn_deploy.measure.remote.steps import Material, measure_remotely
    from sbn_deploy.measure.remote.target import Target, parse
    from sbn_runtime import Session

    target = parse(options.remote)
    assert isinstance(target, Target)
    for rival, name in ((LCE, "LCE"), (TORCH, "torch")):
        if rival in options.compare:
            raise ConfigError(f"{name} is compared with here only; leave it out with --remote")
    if len(options.models) > 1:
        raise InputError("--remote measures one model at a time")
    (model,) = options.models
    session = Session(model)
    facts = _facts([load(model)])
    local: dict[str, Any] = {"machine": describe()}
    found = None
    if dataset is not None:
        say(f"classifying {len(dataset)} images of {dataset.name} here")
        local["accuracy"], found = classified(session, dataset.images, dataset.labels)
    with tempfile.TemporaryDirectory() as folder:
        material = Material(
            model=model,
            rivals=Candidates(options.compare, Path(folder), say, options.own).float_files(
                model, session.metadata
            ),
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
    return _measurement(facts, record)


def _measure_phone(options: argparse.Namespace) -> dict[str, Any]:
    from sbn_deploy.measure.remote.phone import measure_on_phone
    from sbn_deploy.measure.remote.target import Phone, parse

    for name, unfit, instead in (
        ("--data", options.data is not None, "accuracy is the same on every device: leave it out"),
        ("--compare", bool(options.compare), "compare on a device with --remote ssh://"),
        ("--wheel", options.wheel is not None, "a phone's shell has no Python: leave it out"),
        ("--threads", options.threads != (1,), "it is timed on one thread: leave it out"),
        ("--batch", len(options.batch) > 1, "give one size"),
    ):
        if unfit:
            raise InputError(f"{name} does not go with --remote adb:; {instead}")
    if len(options.models) > 1:
        raise InputError("--remote measures one model at a time")
    phone = parse(options.remote)
    assert isinstance(phone, Phone)
    (model,) = options.models
    return measure_on_phone(phone, model, _settings(options), say)


def _settings(options: argparse.Namespace) -> Settings:
    from sbn_deploy.measure.latency.record import Settings

    engines = len(options.models) * (1 + len(options.compare))
    seconds = options.max_seconds or SECONDS * engines * len(options.threads) * len(options.batch)
    return Settings(options.threads, options.batch, options.runs, options.warmup, seconds)


def _facts(models: Sequence[Loaded]) -> list[ModelFacts]:
    """What the models are; where two files have one name, names say their folders too."""
    from sbn_deploy.measure.measurement import describe_model

    if len({model.path.resolve() for model in models}) < len(models):
        raise InputError("a model is given twice")
    facts = [describe_model(model.path, model.metadata) for model in models]
    shared = Counter(fact.name for fact in facts)
    return [
        replace(fact, name=str(model.path.with_suffix(""))) if shared[fact.name] > 1 else fact
        for model, fact in zip(models, facts, strict=True)
    ]


def _measurement(facts: Sequence[ModelFacts], record: Mapping[str, Any]) -> dict[str, Any]:
    from sbn_deploy.measure.measurement import head

    return head("benchmark") | {
        "models": [asdict(fact) for fact in facts],
        **record,
    }


def _show_progress(share: float) -> None:
    """A line on a terminal that is written over; the last one is removed."""
    if sys.stderr.isatty():
        text = "" if share >= 1 else f"{share:.0%} "
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _show(record: Mapping[str, Any]) -> None:
    machine, results = record["machine"], record["results"]
    where = f"{record['remote']['host']}: " if "remote" in record else ""
    say(f"{where}{machine['cpu']}, {machine['isa']} kernels, onnxruntime {machine['onnxruntime']}")
    columns = _columns(record)
    show_table(
        [name for name, _ in columns], list(zip(*(cells for _, cells in columns), strict=True))
    )
    if "accuracy" in record:
        accuracy = record["accuracy"]
        print(
            f"\naccuracy {accuracy['accuracy']:.2%} of {accuracy['samples']:,} images of"
            f" {record['data']} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"
        )
    if "differing_labels" in record:
        print(f"labels that differ from those found here: {record['differing_labels']:,}")
    fewest = min(result["runs"] for result in results)
    if fewest < record["settings"]["runs"]:
        say(
            f"time was up after {fewest} of {record['settings']['runs']} runs; --max-seconds gives"
            " more"
        )
    for reason in record["unstable"]:
        say(f"unstable: {reason}")


def _columns(record: Mapping[str, Any]) -> list[tuple[str, list[object]]]:
    """The table, column by column; those that say nothing are left out."""
    results = record["results"]
    columns: list[tuple[str, list[object]]] = [
        ("engine", [result["engine"] for result in results]),
        ("threads", [result["threads"] for result in results]),
        ("batch", [result["batch"] for result in results]),
        ("p50 ms", [f"{result['p50_ms']:.4f}" for result in results]),
        ("±", [_half_width(result) for result in results]),
        ("p90 ms", [f"{result['p90_ms']:.4f}" for result in results]),
        ("p99 ms", [f"{result['p99_ms']:.4f}" for result in results]),
        ("images/s", [round(result["images_per_s"]) for result in results]),
        ("start ms", [f"{result['start_ms']:.1f}" for result in results]),
    ]
    if any(result["peak_bytes"] is not None for result in results):
        columns.append(("peak MB", [_scaled(result["peak_bytes"], 1e-6, 1) for result in results]))
    if any(result["joules_per_image"] is not None for result in results):
        columns.append(
            ("mJ/image", [_scaled(result["joules_per_image"], 1e3, 3) for result in results])
        )
    if len(record["models"]) > 1:
        columns.insert(0, ("model", [result["model"] for result in results]))
    if record["ratios"]:
        columns.append(("time against sbn", [_ratio(record, result) for result in results]))
    return columns


def _half_width(result: Mapping[str, Any]) -> str:
    """Half the interval of the median, as a share of it."""
    low, high = result["p50_low_ms"], result["p50_high_ms"]
    return "-" if low is None else f"{(high - low) / 2 / result['p50_ms']:.1%}"


def _scaled(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _ratio(record: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The ratio of a result with its interval; nothing for what the others are compared with."""
    names = ("model", "engine", "threads", "batch")
    for entry in record["ratios"]:
        if all(entry[name] == result[name] for name in names):
            interval = (
                "" if entry["low"] is None else f" ({entry['low']:.2f} to {entry['high']:.2f})"
            )
            return f"{entry['ratio']:.2f}×{interval}"
    return "1"


def _rivals(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in RIVALS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RIVALS)}")
    return names
