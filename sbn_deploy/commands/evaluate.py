"""`sbn evaluate`: accuracy, calibration, and what averaging is worth."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import SbnError

from .common import (
    add_engine_option,
    add_noise_options,
    at_least,
    new_parser,
    printable,
    say,
    share,
    show_json,
    writable,
)
from .data import form_of, test_images
from .show_answers import show_averaging, show_evaluation, show_task, warn

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset, Stream
    from sbn_deploy.evaluate.averaging import Variant
    from sbn_deploy.evaluate.classifier import Classifier
    from sbn_deploy.evaluate.partial import Partial
    from sbn_deploy.records.averaging import Averaging
    from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
    from sbn_deploy.records.measurement import Model

    from .common import Subparsers

BATCH = 64
CHECKPOINT = ".safetensors"
SHIFT = "noise"
CONFIDENCE = 0.99


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb's options."""
    parser = new_parser(
        subparsers,
        "evaluate",
        description="Measures accuracy with a 95 % confidence interval, negative log-likelihood,"
        " Brier score and expected calibration error on the test split of a data set, also for"
        " each class, and the most confused classes. Images are loaded as needed; those that"
        " cannot be used are listed, and the others evaluated. With -o, the same command resumes"
        " an interrupted run. Models for other tasks are measured by the metrics of their task;"
        " inputs other than images are loaded at once. With --sweep-samples:"
        " the scores by the number of networks averaged, with the area under the risk-coverage"
        " curve and how well uncertainty separates shifted images from the others (AUROC). Of a"
        " checkpoint, four forms are compared: thresholded, with sampled members only, with"
        " noise only, and with both.",
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
        "--images", type=at_least(1), metavar="N", help="use N evenly spaced images"
    )
    add_noise_options(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.json",
        help="measurement to write, for `sbn report`; until it is finished, answers are saved in"
        " FILE.json.part",
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
        help="number of members in the form with both members and noise (default: 8)",
    )
    parser.add_argument(
        "--confidence",
        type=share,
        metavar="C",
        help=f"confidence at which anytime inference stops (default: {CONFIDENCE})",
    )
    parser.add_argument(
        "--shift",
        metavar="NAME[:STRENGTH]",
        help="shift the images: noise, blur, rotate or contrast, strength 0 to 1; with"
        f" --sweep-samples those to detect (default there: {SHIFT})",
    )
    parser.add_argument(
        "--ood",
        metavar="SET",
        help="data set of out-of-distribution images to detect instead",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG to write")
    add_engine_option(parser)
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="T",
        help="threads (default: one for each core; engine native has one)",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluates one model, or sweeps."""
    record = _averaging(options) if options.sweep_samples is not None else _one(options)
    if options.output is not None:
        from sbn_deploy.records.files import save

        save(options.output, record)
        _part(options.output).unlink(missing_ok=True)
    if record.kind != "averaging":
        warn(record.data)
    if options.json:
        show_json(record)
    elif record.kind == "averaging":
        show_averaging(record)
    elif record.kind == "task-evaluation":
        show_task(record)
    else:
        show_evaluation(record)
    if options.output is not None:
        say(f"written: {options.output}")
    return 0


def _one(options: argparse.Namespace) -> Evaluation | TaskEvaluation:
    from sbn_runtime import InputError

    for name in ("members", "confidence", "ood", "plot"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} needs --sweep-samples, as in --sweep-samples 1,8,32")
    if len(options.models) > 1:
        raise InputError("several models need --sweep-samples, as in --sweep-samples 1,8,32")
    if options.models[0].suffix == CHECKPOINT:
        raise InputError(
            f"{options.models[0]} is a checkpoint; export it with `sbn export`, or use"
            " --sweep-samples 1,8,32 to compare its forms"
        )
    if options.output is not None:
        writable(options.output)
    if _is_of_task(options):
        return _on_data_in_memory(options)
    return _on_images(options)


def _is_of_task(options: argparse.Namespace) -> bool:
    """Whether the data or the model is not for classification of images.

    Raises what `Session` and `data` raise.
    """
    from sbn_deploy.data import is_classified_images
    from sbn_runtime import Session
    from sbn_runtime.modelfile import DOMAIN, imported_domains
    from sbn_runtime.tasks import CLASSIFICATION, NONE

    (model,) = options.models
    if not is_classified_images(options.data):
        return True
    if DOMAIN not in imported_domains(model):
        return False
    return Session(model, engine=options.engine).task not in (CLASSIFICATION, NONE)


def _on_data_in_memory(options: argparse.Namespace) -> Evaluation | TaskEvaluation:
    """Inputs other than images, and other tasks than classification."""
    from sbn_deploy.data import load
    from sbn_deploy.evaluate import tasks
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.train.progress import progress
    from sbn_runtime import InputError, Session, sampling

    path = options.models[0]
    if options.shift is not None:
        raise InputError("--shift is for images and their classes")
    session = Session(path, engine=options.engine, threads=options.threads)
    whole = tasks.fitted(session, load(options.data, "test", form_of(path)), str(path))
    data = whole if options.images is None else whole.evenly(options.images)
    batch = options.batch or BATCH
    say(f"measuring {len(data):,} inputs of {data.name}, task {session.task}")
    with progress("batches", -(-len(data) // batch)) as report:
        found = tasks.measure(
            session, data, batch=batch, samples=options.samples, seed=options.seed, report=report
        )
    default = sampling.defaults(session.metadata) if session.stochastic else None
    drawn = options.samples or (default.samples if default else 1)
    networks = int(session.metadata.get("members", 1)) * drawn
    figures = tasks.scored(session, data, found, options.data, networks)
    kind = TaskEvaluation if "task" in figures else Evaluation
    return kind(
        **head(describe()),
        model=describe_model(path, session.metadata),
        engine=session.engine,
        samples=drawn,
        seed=options.seed if options.seed is not None else default.seed if default else None,
        **figures,
    )


def _on_images(options: argparse.Namespace) -> Evaluation:
    """Images, read as they are needed."""
    from sbn_deploy.evaluate.classes import class_names, matched_labels
    from sbn_deploy.evaluate.classifier import load_classifier
    from sbn_deploy.evaluate.evaluation import Evaluator, figures
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.records.evaluation import Evaluation
    from sbn_deploy.records.measurement import describe_model, head
    from sbn_deploy.train.progress import progress

    path = options.models[0]
    data = _data(options, path)
    with warnings.catch_warnings():
        # Pillow warns of what it repairs; what it cannot repair is listed.
        warnings.filterwarnings("ignore", module="PIL")
        model = load_classifier(
            path,
            data,
            engine=options.engine,
            threads=options.threads,
            samples=options.samples,
            seed=options.seed,
        )
        facts = describe_model(path, model.metadata)
        count = model.classes()
        labels = matched_labels(model.metadata, data, count)
        if labels is not data.labels:
            say(
                "the data has the classes in another order than the model; they are matched by name"
            )
        partial = None if options.output is None else _partial(options.output, facts, model, data)
        evaluator = Evaluator(
            model, data, labels, count, batch=options.batch or BATCH, partial=partial
        )
        so_far = f", resuming after {evaluator.done:,} of them" if evaluator.done else ""
        say(f"classifying {len(data):,} images of {data.name}{so_far}")
        first = -(-evaluator.done // (options.batch or BATCH))
        try:
            with progress("batches", first + evaluator.steps, first=first) as report:
                outcome = evaluator.run(report)
        except KeyboardInterrupt:
            if partial is not None:
                say(f"run the same command to resume; answers so far: {partial.path}")
            raise
        except SbnError:
            # The same command would fail again.
            if partial is not None:
                partial.discard()
            raise
        finally:
            if partial is not None:
                partial.close()
    return Evaluation(
        **head(describe()),
        model=facts,
        engine=model.engine,
        samples=model.samples,
        seed=model.seed,
        **figures(outcome, data, options.data, class_names(model.metadata, data, count)),
    )


def _data(options: argparse.Namespace, model: Path) -> Stream:
    from sbn_deploy.data import stream_test

    if options.shift is not None:
        from sbn_deploy.data.stream import of_memory
        from sbn_deploy.evaluate.shift import shifted

        images = test_images(options.data, options.images, model)
        return of_memory(shifted(images, options.shift))
    data = stream_test(options.data)
    for note in data.notes:
        say(printable(note))
    return data if options.images is None else data.evenly(options.images)


def _partial(output: Path, facts: Model, model: Classifier, data: Stream) -> Partial:
    from sbn_deploy.evaluate.partial import Partial

    partial = Partial(
        _part(output),
        {
            "model": facts.sha256,
            "data": data.fingerprint(),
            "engine": model.engine,
            "samples": model.samples,
            "seed": model.seed,
        },
    )
    if partial.dropped:
        say(f"{partial.path} belongs to another model, engine, data set or noise: starting over")
    return partial


def _part(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


def _averaging(options: argparse.Namespace) -> Averaging:
    """Scores models, or the forms of a checkpoint, by the number of networks averaged."""
    from sbn_deploy.evaluate.averaging import Images, average, steps
    from sbn_deploy.machine.describe import describe
    from sbn_deploy.records.averaging import Averaging
    from sbn_deploy.records.measurement import head
    from sbn_deploy.train.progress import progress
    from sbn_runtime import InputError
    from sbn_runtime.anytime import check_confidence
    from sbn_runtime.sampling import check_samples, check_seed

    if options.batch is not None:
        raise InputError("--batch and --sweep-samples exclude each other")
    if options.samples is not None:
        raise InputError("--samples and --sweep-samples exclude each other; give one of them")
    if options.ood is not None and options.shift is not None:
        raise InputError("--ood and --shift exclude each other; give one of them")
    confidence = check_confidence(CONFIDENCE if options.confidence is None else options.confidence)
    counts = options.sweep_samples
    for count in counts:
        check_samples(count, "number of samples")
    if options.seed is not None:
        check_seed(options.seed)
    for path in filter(None, (options.output, options.plot)):
        writable(path)
    if options.plot is not None:
        import_module("matplotlib")  # if it is missing, better now than after the work
    dataset = test_images(options.data, options.images, options.models[0])
    ood = _ood(options, dataset)
    images = Images(dataset.images, dataset.labels, ood.images)
    with tempfile.TemporaryDirectory() as folder:
        variants = _variants(options, Path(folder))
        say(f"classifying {len(dataset)} images of {dataset.name}, and of {ood.name}")
        with progress("batches", steps(variants, images, counts)) as report:
            figures = average(
                variants, images, counts, seed=options.seed, confidence=confidence, report=report
            )
    record = Averaging(
        **head(describe()), data=dataset.name, ood=ood.name, seed=options.seed, **figures
    )
    if options.plot is not None:
        from sbn_deploy.evaluate.averaging_plot import draw

        draw(options.plot, f"{len(dataset)} images of {dataset.name}", record)
        say(f"written: {options.plot}")
    return record


def _variants(options: argparse.Namespace, folder: Path) -> list[Variant]:
    from sbn_deploy.evaluate.averaging import Variant
    from sbn_deploy.evaluate.variants import MEMBERS, export_variants
    from sbn_runtime import InputError, Session

    checkpoints = [path for path in options.models if path.suffix == CHECKPOINT]
    if not checkpoints:
        if options.members is not None:
            raise InputError(
                "--members is for checkpoints; the number of members in a model file is fixed"
            )
        return [
            Variant(path.stem, Session(path, engine=options.engine, threads=options.threads))
            for path in options.models
        ]
    if len(options.models) > 1:
        raise InputError("give either one checkpoint or models; a checkpoint has four forms")
    return export_variants(
        checkpoints[0],
        folder,
        options.sweep_samples[-1],
        members=options.members or MEMBERS,
        seed=options.seed or 0,
        engine=options.engine,
        threads=options.threads,
        report=say,
    )


def _ood(options: argparse.Namespace, dataset: Dataset) -> Dataset:
    from sbn_deploy.evaluate.shift import shifted

    if options.ood is not None:
        return test_images(options.ood, options.images, options.models[0])
    return shifted(dataset, options.shift or SHIFT)


def _counts(text: str) -> list[int]:
    """An argparse type: whole numbers from 1 up, separated by commas, in rising order."""
    numbers = [at_least(1)(part) for part in text.split(",")]
    if sorted(set(numbers)) != numbers:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not in ascending order; give numbers such as 1,2,4,8"
        )
    return numbers
