"""What `sbn evaluate` shows of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .common import printable, say, show_table

# What a terminal has room for.
CLASSES = 20
WORST = 10
MISTAKES = 10
FILES = 10


def warn(data: Mapping[str, Any]) -> None:
    """Says which images of the data were skipped, if any."""
    skipped = data["skipped"]
    if not skipped:
        return
    verb = "was" if len(skipped) == 1 else "were"
    say(f"warning: {len(skipped):,} of {data['images']:,} images {verb} skipped")
    for one in skipped[:FILES]:
        say(printable(f"  {one['file']}: {' '.join(one['reason'].split())}"))
    if len(skipped) > FILES:
        say(f"  and {len(skipped) - FILES:,} more")


def show(measurement: Mapping[str, Any]) -> None:
    """The scores first, then the classes, then what is taken for what."""
    names, confusion = measurement["data"]["classes"], measurement["confusion"]
    _show_scores(measurement["scores"], measurement["aurc"])
    _show_classes(measurement["per_class"])
    if len(names) <= CLASSES:
        _show_confusion(confusion, names)
    _show_mistakes(confusion, names)


def _show_scores(scores: Mapping[str, Any], aurc: float) -> None:
    rows = [
        (
            f"accuracy, {scores['correct']:,} of {scores['samples']:,} images",
            f"{scores['accuracy']:.2%}",
            _interval(scores["low"], scores["high"]),
        )
    ]
    if scores["top5"] is not None:
        interval = _interval(scores["top5_low"], scores["top5_high"])
        rows.append(("true class among the top 5", f"{scores['top5']:.2%}", interval))
    for name, value in (
        ("negative log-likelihood (NLL)", f"{scores['nll']:.4f}"),
        ("Brier score", f"{scores['brier']:.4f}"),
        ("expected calibration error (ECE)", f"{scores['ece']:.2%}"),
        ("area under risk-coverage (AURC)", f"{aurc:.4f}"),
    ):
        rows.append((name, value, ""))
    show_table(("score", "value", "95 % interval"), rows)


def _show_classes(per_class: Sequence[Mapping[str, Any]]) -> None:
    """All classes, or the worst of many."""
    from sbn_deploy.measure.accuracy.confusion import ClassScore, worst

    scores = [ClassScore(**score) for score in per_class]
    title = "class"
    if len(scores) > CLASSES:
        scores = worst(scores, WORST)
        title = "worst classes"
    if not scores:
        return
    print()
    show_table(
        (title, "images", "accuracy", "95 % interval", "precision"),
        [
            (
                score.name,
                score.images,
                None if score.accuracy is None else f"{score.accuracy:.2%}",
                "" if score.low is None else _interval(score.low, score.high),
                None if score.precision is None else f"{score.precision:.2%}",
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
        ("taken for", *numbers),
        [
            (row, *(count or None for count in counts))
            for row, counts in zip(rows, confusion, strict=True)
        ],
    )


def _show_mistakes(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    import numpy as np

    from sbn_deploy.measure.accuracy.confusion import mistakes

    found = mistakes(np.array(confusion), names, MISTAKES)
    if found:
        print()
    for mistake in found:
        print(
            printable(f"{mistake.true} taken for {mistake.predicted}: {mistake.count:,}")
            + f" ({mistake.share:.1%} of its images)"
        )


def _interval(low: float, high: float | None) -> str:
    return f"{low:.2%} to {high:.2%}"
