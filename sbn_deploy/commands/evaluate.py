"""`sbn evaluate`: accuracy, calibration, and what averaging is worth."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_noise_options, at_least, new_parser, say, share, show_json, writable
from .evaluate_sweep import CHECKPOINT, CONFIDENCE, SHIFT

if TYPE_CHECKING:
    from sbn_deploy.data import Stream
    from sbn_deploy.measure.accuracy.classifier import Classifier
    from sbn_deploy.measure.accuracy.partial import Partial
    from sbn_deploy.measure.measurement import ModelFacts

    from .common import Subparsers

BATCH = 64


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "evaluate",
        description="Measures accuracy with a 95 % interval, negative log-likelihood, Brier score"
        " and expected calibration error on the test split of a data set, for each class too,"
        " and which classes are taken for one another. Images are read as they are needed;"
        " those that cannot be used are listed, the others evaluated. With -o, an interrupted"
        " run goes on where it was. A model with another task is measured by the metrics of its"
        " task, and inputs that are no images are read whole. With --sweep-samples:"
        " the scores by the number of networks averaged, with the area under the risk-coverage"
        " curve and how well doubt tells shifted images from the others (AUROC). A checkpoint"
        " is swept thresholded, with sampled members only, with noise only, and with both.",
        example="sbn evaluate digits.onnx --data digits -o evaluation.json\n"
        "  sbn evaluate runs/digits/checkpoint.safetensors --data digits"
        " --sweep-samples 1,2,4,8,16,32 --plot sweep.png",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="ONNX file of `sbn export`, or another classifier of images; with --sweep-samples"
        " several files of `sbn export`, or one checkpoint",
    )
    parser.add_argument(
        "--data", default="digits", metavar="SET", help="data set (default: digits)"
    )
    parser.add_argument(
        "--images", type=at_least(1), metavar="N", help="take N of them, evenly spread"
    )
    add_noise_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.json",
        help="measurement to write, for `sbn report`; the answers so far are in FILE.json.part",
    )
    parser.add_argument(
        "--batch",
        type=at_least(1),
        metavar="N",
        help=f"images classified at once (default: {BATCH})",
    )
    parser.add_argument(
        "--sweep-samples",
        type=_counts,
        metavar="N,N,…",
        help="numbers of networks to average, as 1,2,4,8,16,32",
    )
    parser.add_argument(
        "--members",
        type=at_least(1),
        metavar="M",
        help="members of the checkpoint's form with both members and noise (default: 8)",
    )
    parser.add_argument(
        "--confidence",
        type=share,
        metavar="C",
        help=f"at which anytime inference stops (default: {CONFIDENCE})",
    )
    parser.add_argument(
        "--shift",
        metavar="NAME[:STRENGTH]",
        help="shifted images to tell apart: noise, blur, rotate or contrast, strength 0 to 1"
        f" (default: {SHIFT})",
    )
    parser.add_argument(
        "--ood", metavar="SET", help="foreign images to tell apart instead, any data set"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG to write")
    parser.add_argument(
        "--threads", type=at_least(1), metavar="T", help="threads (default: one for each core)"
    )


def run(options: argparse.Namespace) -> int:
    """Evaluates one model, or sweeps."""
    from sbn_runtime import InputError

    if options.sweep_samples is not None:
        for name in ("output", "batch"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name} and --sweep-samples exclude each other")
        from .evaluate_sweep import run_sweep

        return run_sweep(options)
    for name in ("members", "confidence", "shift", "ood", "plot"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} goes with --sweep-samples, as in --sweep-samples 1,8,32")
    if len(options.models) > 1:
        raise InputError("several models are compared with --sweep-samples, as 1,8,32")
    if options.models[0].suffix == CHECKPOINT:
        raise InputError(
            f"{options.models[0]} is a checkpoint; export it with `sbn export`, or give"
            " --sweep-samples, as 1,8,32, to compare its forms"
        )
    return _one(options)


def _one(options: argparse.Namespace) -> int:
    from . import evaluate_task
    from .evaluate_show import show, warn

    if options.output is not None:
        writable(options.output)
    if evaluate_task.applies(options.models[0], options.data):
        measurement = evaluate_task.measured(options)
    else:
        measurement = _measured(options)
    if options.output is not None:
        from sbn_deploy.measure.measurement import save

        save(options.output, measurement)
        _part(options.output).unlink(missing_ok=True)
    warn(measurement["data"])
    if options.json:
        show_json(measurement)
    elif "task" in measurement:
        evaluate_task.show(measurement)
    else:
        show(measurement)
    if options.output is not None:
        say(f"written: {options.output}")
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    from sbn_deploy.measure.accuracy.classes import class_names, matched_labels
    from sbn_deploy.measure.accuracy.classifier import load_classifier
    from sbn_deploy.measure.accuracy.evaluation import Evaluator, figures
    from sbn_deploy.measure.measurement import describe_model, head
    from sbn_deploy.train.progress import progress

    path = options.models[0]
    data = _data(options)
    with warnings.catch_warnings():
        # Pillow warns of what it mends; what it cannot mend is listed.
        warnings.filterwarnings("ignore", module="PIL")
        model = load_classifier(
            path, data, threads=options.threads, samples=options.samples, seed=options.seed
        )
        facts = describe_model(path, model.metadata)
        count = model.classes()
        labels = matched_labels(model.metadata, data, count)
        if labels is not data.labels:
            say("the classes have another order than the model's: they are matched by name")
        partial = None if options.output is None else _partial(options.output, facts, model, data)
        evaluator = Evaluator(
            model, data, labels, count, batch=options.batch or BATCH, partial=partial
        )
        so_far = f", {evaluator.done:,} of them before: going on" if evaluator.done else ""
        say(f"classifying {len(data):,} images of {data.name}{so_far}")
        first = -(-evaluator.done // (options.batch or BATCH))
        try:
            with progress("batches", first + evaluator.steps, first=first) as report:
                outcome = evaluator.run(report)
        except KeyboardInterrupt:
            if partial is not None:
                say(f"the same command goes on from here; answers so far: {partial.path}")
            raise
        finally:
            if partial is not None:
                partial.close()
    return {
        **head("evaluation"),
        "model": asdict(facts),
        "engine": model.engine,
        "samples": model.samples,
        "seed": model.seed,
        **figures(outcome, data, options.data, class_names(model.metadata, data, count)),
    }


def _data(options: argparse.Namespace) -> Stream:
    from sbn_deploy.data import stream_test

    data = stream_test(options.data)
    return data if options.images is None else data.evenly(options.images)


def _partial(output: Path, facts: ModelFacts, model: Classifier, data: Stream) -> Partial:
    from sbn_deploy.measure.accuracy.partial import Partial

    partial = Partial(
        _part(output),
        {
            "model": facts.sha256,
            "data": data.fingerprint,
            "engine": model.engine,
            "samples": model.samples,
            "seed": model.seed,
        },
    )
    if partial.dropped:
        say(f"{partial.path} is of another model, data set or noise: starting anew")
    return partial


def _part(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


def _counts(text: str) -> list[int]:
    """An argparse type: whole numbers from 1 up, separated by commas, in rising order."""
    numbers = [at_least(1)(part) for part in text.split(",")]
    if sorted(set(numbers)) != numbers:
        raise argparse.ArgumentTypeError(f"{text!r} does not rise; give numbers such as 1,2,4,8")
    return numbers
