"""`sbn evaluate --sweep-samples`: what averaging more networks is worth."""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import say, show_json, show_table, writable
from .data import test_images

if TYPE_CHECKING:
    from sbn_deploy.data import Dataset
    from sbn_deploy.measure.accuracy.sweep import Images, Sweep, Variant

CHECKPOINT = ".safetensors"
SHIFT = "noise"
CONFIDENCE = 0.99


def run_sweep(options: argparse.Namespace) -> int:
    """Scores models, or the forms of a checkpoint, by the number of networks averaged."""
    from sbn_deploy.measure.accuracy.sweep import Images
    from sbn_runtime import InputError
    from sbn_runtime.anytime import check_confidence
    from sbn_runtime.sampling import check_samples, check_seed

    if options.samples is not None:
        raise InputError("--samples and --sweep-samples exclude each other; give one of them")
    if options.ood is not None and options.shift is not None:
        raise InputError("--ood and --shift exclude each other; give one of them")
    confidence = check_confidence(CONFIDENCE if options.confidence is None else options.confidence)
    for count in options.sweep_samples:
        check_samples(count, "number of samples")
    if options.seed is not None:
        check_seed(options.seed)
    if options.plot is not None:
        writable(options.plot)
        import_module("matplotlib")  # if it is missing, better now than after the work
    dataset = test_images(options.data, options.images)
    foreign = _foreign(options, dataset)
    images = Images(dataset.images, dataset.labels, foreign.images)
    with tempfile.TemporaryDirectory() as folder:
        variants = _variants(options, Path(folder))
        say(f"classifying {len(dataset)} images of {dataset.name}, and of {foreign.name}")
        result = _measured(variants, images, options, confidence)
    record = {
        "data": dataset.name,
        "images": result.images,
        "foreign": foreign.name,
        "seed": options.seed,
        "rows": result.rows,
        "anytime": result.anytime,
        "curves": result.curves,
    }
    if options.plot is not None:
        from sbn_deploy.measure.accuracy.sweep_plot import draw

        draw(options.plot, f"{len(dataset)} images of {dataset.name}", result)
        say(f"written: {options.plot}")
    if options.json:
        show_json(record)
    else:
        _show(result)
    return 0


def _measured(
    variants: list[Variant], images: Images, options: argparse.Namespace, confidence: float
) -> Sweep:
    from sbn_deploy.measure.accuracy.sweep import steps, sweep
    from sbn_deploy.train.progress import progress

    counts = options.sweep_samples
    with progress("batches", steps(variants, images, counts)) as report:
        return sweep(
            variants, images, counts, seed=options.seed, confidence=confidence, report=report
        )


def _variants(options: argparse.Namespace, folder: Path) -> list[Variant]:
    from sbn_deploy.measure.accuracy.sweep import Variant
    from sbn_deploy.measure.accuracy.variants import MEMBERS, export_variants
    from sbn_runtime import InputError, Session

    checkpoints = [path for path in options.models if path.suffix == CHECKPOINT]
    if not checkpoints:
        if options.members is not None:
            raise InputError("--members is for checkpoints; a model has the members it has")
        return [
            Variant(path.stem, Session(path, threads=options.threads)) for path in options.models
        ]
    if len(options.models) > 1:
        raise InputError("give either one checkpoint or models; a checkpoint has four forms")
    return export_variants(
        checkpoints[0],
        folder,
        options.sweep_samples[-1],
        members=options.members or MEMBERS,
        seed=options.seed or 0,
        threads=options.threads,
        report=say,
    )


def _foreign(options: argparse.Namespace, dataset: Dataset) -> Dataset:
    from sbn_deploy.measure.accuracy.shift import shifted

    if options.ood is not None:
        return test_images(options.ood, options.images)
    return shifted(dataset, options.shift or SHIFT)


def _show(result: Sweep) -> None:
    show_table(
        (
            "variant",
            "networks",
            "accuracy",
            "95 % interval",
            "Brier",
            "AURC",
            "AUROC entropy",
            "AUROC MI",
        ),
        [
            (
                row.variant,
                row.networks,
                f"{row.accuracy:.2%}",
                f"{row.low:.2%} to {row.high:.2%}",
                f"{row.brier:.4f}",
                f"{row.aurc:.4f}",
                _fraction(row.auroc_entropy),
                _fraction(row.auroc_mutual_information),
            )
            for row in result.rows
        ],
    )
    print()
    show_table(
        (
            "variant",
            "networks",
            "NLL",
            "change, 95 % interval",
            "ECE",
            "change, 95 % interval",
            "temperature",
            "NLL there",
            "ECE there",
        ),
        [
            (
                row.variant,
                row.networks,
                f"{row.nll:.4f}",
                f"{row.nll_change_low:+.4f} to {row.nll_change_high:+.4f}",
                f"{row.ece:.2%}",
                f"{row.ece_change_low:+.2%} to {row.ece_change_high:+.2%}",
                _fraction(row.temperature),
                None if row.calibrated_nll is None else f"{row.calibrated_nll:.4f}",
                None if row.calibrated_ece is None else f"{row.calibrated_ece:.2%}",
            )
            for row in result.rows
        ],
    )
    if result.anytime:
        print()
        show_table(
            ("anytime", "confidence", "samples used", "of", "accuracy", "with all", "changed"),
            [
                (
                    row.variant,
                    row.confidence,
                    f"{row.mean_samples:.2f}",
                    row.max_samples,
                    f"{row.accuracy:.2%}",
                    f"{row.full_accuracy:.2%}",
                    f"{row.changed:.2%}",
                )
                for row in result.anytime
            ],
        )


def _fraction(value: float | None) -> Any:
    return None if value is None else f"{value:.3f}"
