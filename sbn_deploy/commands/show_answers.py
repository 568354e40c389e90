"""How good answers are, as tables on a terminal: what `sbn evaluate` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common import printable, say, show_table

if TYPE_CHECKING:
    from sbn_deploy.records.averaging import Averaging
    from sbn_deploy.records.evaluation import (
        CalibrationScores,
        ClassScore,
        Data,
        Evaluation,
        Scores,
        TaskEvaluation,
    )

# What a terminal has room for.
CLASSES = 20
WORST = 10
WORST_NAMES = 20
MISTAKES = 10
FILES = 10
CONFIDENCE = "95 % confidence interval"
SHOWN_COVERAGE = 0.9


def warn(data: Data) -> None:
    """Says which images of the data were skipped, if any."""
    skipped = data.skipped
    if not skipped:
        return
    verb = "was" if len(skipped) == 1 else "were"
    say(f"warning: {len(skipped):,} of {data.images:,} images {verb} skipped")
    for one in skipped[:FILES]:
        say(printable(f"  {one.file}: {' '.join(one.reason.split())}"))
    if len(skipped) > FILES:
        say(f"  and {len(skipped) - FILES:,} more")


def show_evaluation(record: Evaluation) -> None:
    """The scores first, then the classes, then the confusions."""
    names, confusion = record.data.classes, record.confusion
    known = record.calibration
    before = None if known is None else known.before
    _show_scores(record.scores, record.per_class, record.aurc, before)
    if known is not None:
        _show_calibration(known, record.data)
    _show_classes(record.per_class, _class_coverage(known))
    if len(names) <= CLASSES:
        _show_confusion(confusion, names)
    _show_mistakes(confusion, names)


def _show_scores(
    scores: Scores,
    per_class: Sequence[ClassScore],
    aurc: float | None,
    before: Scores | None,
) -> None:
    rows = [
        (
            f"accuracy, {scores.correct:,} of {scores.samples:,} images",
            f"{scores.accuracy:.2%}",
            _interval(scores.confidence_low, scores.confidence_high),
            None if before is None else f"{before.accuracy:.2%}",
        )
    ]
    if scores.top5 is not None:
        interval = _interval(scores.top5_confidence_low, scores.top5_confidence_high)
        rows.append(("true class among the top 5", f"{scores.top5:.2%}", interval, ""))
    recalls = [found.accuracy for found in per_class if found.accuracy is not None]
    if recalls:
        mean = sum(recalls) / len(recalls)
        rows.append(("balanced accuracy, mean over classes", f"{mean:.2%}", "", ""))
    for name, key, form in (
        ("negative log-likelihood (NLL)", "nll", "{:.4f}"),
        ("Brier score", "brier", "{:.4f}"),
        ("expected calibration error (ECE)", "ece", "{:.2%}"),
    ):
        old = None if before is None else form.format(getattr(before, key))
        rows.append((name, form.format(getattr(scores, key)), "", old))
    rows.append(("area under risk-coverage (AURC)", f"{aurc:.4f}", "", ""))
    titles = ("score", "value", CONFIDENCE, "before calibration")
    shown = 3 if before is None else 4
    show_table(titles[:shown], [row[:shown] for row in rows])


def _show_calibration(found: CalibrationScores, data: Data) -> None:
    """How the prediction sets do."""
    print()
    show_table(
        ("sets with the true class in", "it was in", CONFIDENCE, "classes in a set", CONFIDENCE),
        [
            (
                f"{entry.asked:.1%}",
                f"{entry.coverage:.2%}",
                _interval(entry.confidence_low, entry.confidence_high),
                f"{entry.size:.2f}",
                f"{entry.size_low:.2f} to {entry.size_high:.2f}",
            )
            for entry in found.sets
        ],
    )
    print(
        printable(
            f"calibrated on {found.images:,} inputs of {found.data}, {found.split}; on other"
            " kinds of images the sets contain the true class less often"
        )
    )
    if (found.data, found.split) == (data.name, "test"):
        say(
            "warning: the file was calibrated on these images, or some of them; on others its"
            " calibration is slightly worse"
        )


def _class_coverage(found: CalibrationScores | None) -> Sequence[float | None] | None:
    """How often the sets at `SHOWN_COVERAGE` hold each class."""
    sets = () if found is None else found.sets
    return next((entry.per_class for entry in sets if entry.asked == SHOWN_COVERAGE), None)


def _show_classes(
    scores: Sequence[ClassScore], coverage: Sequence[float | None] | None = None
) -> None:
    """All classes, or the worst of many."""
    from sbn_deploy.evaluate.confusion import worst

    inside = dict(zip((s.name for s in scores), coverage or (), strict=False))
    title = "class"
    if len(scores) > CLASSES:
        scores = worst(scores, WORST)
        title = "worst classes"
    if not scores:
        return
    print()
    show_table(
        (
            *(title, "images", "accuracy", CONFIDENCE, "precision"),
            *([f"in sets at {SHOWN_COVERAGE:.0%}"] if inside else []),
        ),
        [
            (
                score.name,
                score.images,
                None if score.accuracy is None else f"{score.accuracy:.2%}",
                _interval(score.confidence_low, score.confidence_high),
                None if score.precision is None else f"{score.precision:.2%}",
                *([_percent(inside[score.name])] if inside else []),
            )
            for score in scores
        ],
    )


def _show_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Counts by true and predicted class, columns by number where names would not fit."""
    numbers = [str(index) for index in range(len(names))]
    rows = names if list(names) == numbers else [f"{i} {name}" for i, name in enumerate(names)]
    print()
    show_table(
        ("predicted", *numbers),
        [
            (row, *(count or None for count in counts))
            for row, counts in zip(rows, confusion, strict=True)
        ],
    )


def _show_mistakes(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    import numpy as np

    from sbn_deploy.evaluate.confusion import mistakes

    found = mistakes(np.array(confusion), names, MISTAKES)
    if found:
        print()
    for mistake in found:
        print(
            printable(f"{mistake.true} classified as {mistake.predicted}: {mistake.count:,}")
            + f" ({mistake.share:.1%} of its images)"
        )


def show_task(record: TaskEvaluation) -> None:
    """The metrics, then each label or class."""
    from sbn_deploy.tasks import find

    values = {metric.key: metric.value for metric in record.metrics}
    rows = [(metric.title, metric.show(values[metric.key])) for metric in find(record.task).metrics]
    if record.standard_deviation is not None:
        rows.append(("mean standard deviation of answers", f"{record.standard_deviation:.4g}"))
    show_table(("metric", f"on {record.data.images:,} inputs"), rows)
    if record.intervals:
        print()
        show_table(
            ("intervals with the true number in", "it was in", CONFIDENCE, "mean width"),
            [
                (
                    f"{entry.asked:.1%}",
                    f"{entry.coverage:.2%}",
                    _interval(entry.confidence_low, entry.confidence_high),
                    f"{entry.width:.4g}",
                )
                for entry in record.intervals
            ],
        )
    scores = list(record.per_class)
    titles = {"average_precision": "average precision", "f1": "F1", "iou": "IoU"}
    shown = [key for key in titles if any(getattr(score, key) is not None for score in scores)]
    if not shown:
        return
    title = "name"
    if len(scores) > WORST_NAMES:
        known = [score for score in scores if getattr(score, shown[0]) is not None]
        scores = sorted(known, key=lambda score: getattr(score, shown[0]))[:WORST_NAMES]
        title = "worst"
    print()
    counted = "pixels" if record.task == "segmentation" else "inputs"
    show_table(
        (title, counted, *(titles[key] for key in shown)),
        [
            (score.name, score.count, *(_percent(getattr(score, k)) for k in shown))
            for score in scores
        ],
    )


def show_averaging(record: Averaging) -> None:
    """The scores by the number of networks averaged, and what anytime inference spares."""
    show_table(
        (
            *("variant", "networks", "accuracy", CONFIDENCE, "Brier", "AURC"),
            *("AUROC entropy", "AUROC MI"),
        ),
        [
            (
                row.variant,
                row.networks,
                f"{row.accuracy:.2%}",
                _interval(row.confidence_low, row.confidence_high),
                f"{row.brier:.4f}",
                f"{row.aurc:.4f}",
                _fraction(row.auroc_entropy),
                _fraction(row.auroc_mutual_information),
            )
            for row in record.rows
        ],
    )
    change = f"change, {CONFIDENCE}"
    print()
    show_table(
        (
            *("variant", "networks", "NLL", change, "ECE", change),
            *("temperature", "NLL there", "ECE there"),
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
                _percent(row.calibrated_ece),
            )
            for row in record.rows
        ],
    )
    if record.anytime:
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
                for row in record.anytime
            ],
        )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2%} to {high:.2%}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.2%}"


def _fraction(value: float | None) -> Any:
    return None if value is None else f"{value:.3f}"
