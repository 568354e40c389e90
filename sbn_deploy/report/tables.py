"""The tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sbn_deploy.engines.table import same_network, shown_as
from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.evaluation import CalibrationScores, SetScore
from sbn_deploy.tasks import find

from .content import Accuracy, Comparison, DeviceRow, Evaluated, Profiled, RatioRow, TaskEvaluated
from .figures import (
    NONE,
    count,
    interval,
    kilobytes,
    megabytes,
    microseconds,
    number,
    percent,
    percent_interval,
    quantity,
    times,
    way,
)

CONFIDENCE = "95 % confidence interval"
PREDICTION = "95 % prediction interval"
SHOWN_COVERAGE = 0.9


@dataclass(frozen=True)
class Cell:
    """A cell's text, and the number by which its column is sorted, if it is one of numbers."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A column; `header` marks the one that names the row."""

    title: str
    numeric: bool = True
    header: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `marked` are the rows to stand out."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    marked: frozenset[int] = frozenset()


def comparison_table(comparison: Comparison) -> Table:
    """All that is known of each point, the fastest first, numbered as in the chart."""
    columns = [
        Column("#"),
        Column("model", numeric=False, header=True),
        Column("engine", numeric=False),
        Column("front", numeric=False),
        *map(Column, ("threads", "batch", "accuracy", CONFIDENCE, "p50 ms", PREDICTION)),
        *map(Column, ("p90 ms", "p99 ms", "images/s", "file kB", "peak MB", "start ms", "J/image")),
        Column("made as", numeric=False),
    ]
    rows = []
    for i, point in enumerate(comparison.points):
        timing, accuracy = point.timing, point.accuracy
        front = NONE if accuracy is None else "on it" if point.on_front else "behind"
        rows.append(
            [
                Cell(str(i + 1), i + 1),
                Cell(point.model),
                Cell(shown_as(timing.engine)),
                Cell(front),
                *_load(timing),
                *_accuracy(accuracy),
                *_median(timing),
                Cell(number(timing.p90_ms), timing.p90_ms),
                Cell(number(timing.p99_ms), timing.p99_ms),
                Cell(count(timing.images_per_s), timing.images_per_s),
                Cell(kilobytes(timing.file_bytes), timing.file_bytes),
                Cell(megabytes(timing.peak_bytes), timing.peak_bytes),
                Cell(number(timing.start_ms), timing.start_ms),
                Cell(number(timing.joules_per_image), timing.joules_per_image),
                Cell(point.form),
            ]
        )
    size = "one image" if comparison.batch == 1 else f"{comparison.batch} images"
    return _without_empty(
        Table(
            f"Every point: calls of {size} on {comparison.machine}",
            columns,
            rows,
            frozenset(i for i, point in enumerate(comparison.points) if point.on_front),
        )
    )


def device_table(rows: Sequence[DeviceRow]) -> Table:
    """What devices take for the same; the fastest of each load stands out."""
    columns = [
        Column("machine", numeric=False, header=True),
        Column("device", numeric=False),
        Column("model", numeric=False),
        Column("engine", numeric=False),
        *map(Column, ("threads", "batch", "p50 ms", PREDICTION, "images/s")),
        *map(Column, ("ms/image", "J/image", "°C at end", "accuracy", "other labels than here")),
        Column("steady", numeric=False),
    ]
    cells, marked, before = [], set(), None
    for i, row in enumerate(rows):
        timing = row.timing
        load = (row.model, same_network(timing.engine) or timing.engine)
        if before != (before := (*load, timing.threads, timing.batch)):
            marked.add(i)
        labels = NONE
        if row.differing is not None:
            labels = f"{count(row.differing)} of {count(row.images)}"
        cells.append(
            [
                Cell(row.machine),
                Cell(row.device or NONE),
                Cell(row.model),
                Cell(shown_as(timing.engine)),
                *_load(timing),
                *_median(timing),
                Cell(count(timing.images_per_s), timing.images_per_s),
                Cell(number(timing.p50_ms / timing.batch), timing.p50_ms / timing.batch),
                Cell(number(timing.joules_per_image), timing.joules_per_image),
                Cell(count(row.temperature_c), row.temperature_c),
                Cell(percent(row.accuracy), row.accuracy),
                Cell(labels, row.differing),
                Cell("yes" if row.steady else "no"),
            ]
        )
    caption = "What was measured on more than one machine"
    return _without_empty(Table(caption, columns, cells, frozenset(marked)))


def ratio_table(rows: Sequence[RatioRow]) -> Table:
    """Each ratio with its interval."""
    columns = [
        Column("model", numeric=False, header=True),
        Column("engine", numeric=False),
        Column("relative to", numeric=False),
        *map(Column, ("threads", "batch", "time")),
        Column("which is", numeric=False),
        Column(PREDICTION),
        Column("measured in", numeric=False),
    ]
    cells = [
        [
            Cell(row.model),
            Cell(shown_as(row.engine)),
            Cell(base_of(row)),
            Cell(str(row.threads), row.threads),
            Cell(str(row.batch), row.batch),
            Cell(times(row.ratio), row.ratio),
            Cell(way(row.ratio)),
            Cell(interval(row.low, row.high), row.low),
            Cell(row.source),
        ]
        for row in rows
    ]
    return Table("Time relative to the first model of the same measurement", columns, cells)


def base_of(row: RatioRow) -> str:
    """What the time of a row is relative to."""
    return f"{row.base} in {shown_as(row.base_engine)}"


def score_table(evaluations: Sequence[Evaluated]) -> Table:
    """The scores of all evaluated models, one row each."""
    names = ("images", "correct", "accuracy", CONFIDENCE, "top 5", f"top-5 {CONFIDENCE}")
    columns = [
        Column("model", numeric=False, header=True),
        Column("made as", numeric=False),
        Column("engine", numeric=False),
        Column("data", numeric=False),
        *map(Column, (*names, "NLL, nats", "Brier", "ECE", "AURC")),
        *map(Column, ("NLL before calibration", "ECE before calibration")),
    ]
    rows = []
    for entry in evaluations:
        scores, aurc = entry.evaluation.scores, entry.evaluation.aurc
        known = entry.evaluation.calibration
        nll, ece = (None, None) if known is None else (known.before.nll, known.before.ece)
        rows.append(
            [
                Cell(entry.model),
                Cell(entry.form),
                Cell(shown_as(entry.evaluation.engine)),
                Cell(entry.evaluation.data.name),
                Cell(count(scores.samples), scores.samples),
                Cell(count(scores.correct), scores.correct),
                Cell(percent(scores.accuracy), scores.accuracy),
                Cell(
                    percent_interval(scores.confidence_low, scores.confidence_high),
                    scores.confidence_low,
                ),
                Cell(percent(scores.top5), scores.top5),
                Cell(
                    percent_interval(scores.top5_confidence_low, scores.top5_confidence_high),
                    scores.top5_confidence_low,
                ),
                Cell(number(scores.nll), scores.nll),
                Cell(number(scores.brier), scores.brier),
                Cell(percent(scores.ece), scores.ece),
                Cell(number(aurc), aurc),
                Cell(number(nll), nll),
                Cell(percent(ece), ece),
            ]
        )
    return _without_empty(Table("Scores of each model", columns, rows))


def shown_sets(found: CalibrationScores) -> SetScore | None:
    """The sets whose sizes and classes are shown: those at 90 %, else the largest."""
    at_90 = (entry for entry in found.sets if entry.asked == SHOWN_COVERAGE)
    return next(at_90, found.sets[-1] if found.sets else None)


def set_table(found: CalibrationScores) -> Table:
    """How the prediction sets of a calibrated model do."""
    columns = [Column("asked for", header=True)]
    columns += map(Column, ("covered", CONFIDENCE, "classes in a set", f"{CONFIDENCE} of the mean"))
    rows = [
        [
            Cell(percent(entry.asked, 1), entry.asked),
            Cell(percent(entry.coverage), entry.coverage),
            Cell(
                percent_interval(entry.confidence_low, entry.confidence_high),
                entry.confidence_low,
            ),
            Cell(number(entry.size), entry.size),
            Cell(interval(entry.size_low, entry.size_high), entry.size_low),
        ]
        for entry in found.sets
    ]
    return Table(
        f"Prediction sets, calibrated on {count(found.images)} inputs of {found.data},"
        f" {found.split}",
        columns,
        rows,
    )


def task_table(entries: Sequence[TaskEvaluated]) -> Table:
    """The metrics of models of one task on the same data; the best in the main one stands out."""
    body = entries[0].evaluation
    metrics = find(body.task).metrics
    columns = [
        Column("model", numeric=False, header=True),
        Column("made as", numeric=False),
        Column("inputs"),
        *(Column(metric.title) for metric in metrics),
        Column("mean standard deviation"),
    ]
    rows = [
        [
            Cell(entry.model),
            Cell(entry.form),
            Cell(count(entry.evaluation.data.images), entry.evaluation.data.images),
            *(
                Cell(NONE if found.value is None else metric.show(found.value), found.value)
                for metric, found in zip(metrics, entry.evaluation.metrics, strict=True)
            ),
            Cell(number(entry.evaluation.standard_deviation), entry.evaluation.standard_deviation),
        ]
        for entry in entries
    ]
    values = [entry.evaluation.metrics[0].value for entry in entries]
    known = [value for value in values if value is not None]
    best = (max if metrics[0].better == "higher" else min)(known, default=None)
    marked = frozenset(i for i, value in enumerate(values) if value == best and best is not None)
    caption = f"{body.task[:1].upper()}{body.task[1:]} on {body.data.name}"
    return _without_empty(
        Table(caption, columns, rows, marked if len(entries) > 1 else frozenset())
    )


def named_table(entry: TaskEvaluated) -> Table:
    """How well each label, or each class of pixels, is answered."""
    body = entry.evaluation
    columns = [
        Column("name", numeric=False, header=True),
        Column("pixels" if body.task == "segmentation" else "inputs"),
        *map(Column, ("average precision", "F1", "IoU")),
    ]
    rows = [
        [
            Cell(score.name),
            Cell(count(score.count), score.count),
            Cell(percent(score.average_precision, 1), score.average_precision),
            Cell(percent(score.f1, 1), score.f1),
            Cell(percent(score.iou, 1), score.iou),
        ]
        for score in body.per_class
    ]
    return _without_empty(Table(f"Each of them: {entry.model}", columns, rows))


def class_table(entry: Evaluated) -> Table:
    """How well each class is recognised, and how often it is in its prediction set."""
    known = entry.evaluation.calibration
    sets = shown_sets(known) if known is not None else None
    columns = [
        Column("class", numeric=False, header=True),
        *map(Column, ("images", "accuracy", CONFIDENCE, "precision")),
        *([] if sets is None else [Column(f"in sets at {percent(sets.asked, 0)}")]),
    ]
    rows = [
        [
            Cell(found.name),
            Cell(count(found.images), found.images),
            Cell(percent(found.accuracy, 1), found.accuracy),
            Cell(
                percent_interval(found.confidence_low, found.confidence_high, 1),
                found.confidence_low,
            ),
            Cell(percent(found.precision, 1), found.precision),
            *([] if sets is None else [Cell(percent(sets.per_class[k], 1), sets.per_class[k])]),
        ]
        for k, found in enumerate(entry.evaluation.per_class)
    ]
    return Table(f"Classes: {entry.model}", columns, rows)


def confused_table(entry: Evaluated) -> Table:
    """The pairs of classes most often confused."""
    columns = [
        Column("true class", numeric=False, header=True),
        Column("classified as", numeric=False),
        Column("images"),
    ]
    rows = [
        [Cell(true), Cell(predicted), Cell(count(images), images)]
        for true, predicted, images in entry.confused
    ]
    return Table(f"Most often confused: {entry.model}", columns, rows)


def layer_table(entry: Profiled) -> Table:
    """Every layer in the order of execution."""
    first = entry.profile.bottleneck
    columns = [
        Column("#"),
        Column("layer", numeric=False, header=True),
        Column("op", numeric=False),
        Column("kind", numeric=False),
        Column("input", numeric=False),
        Column("output", numeric=False),
        *map(Column, ("binary MACs", "int8 MACs", "float MACs", "time", "share", "MAC/cycle")),
        Column("of peak"),
        Column("bytes"),
        Column("why", numeric=False),
    ]
    rows = []
    for i, layer in enumerate(entry.profile.layers):
        peak = layer.percent_of_peak
        rows.append(
            [
                Cell(str(i + 1), i + 1),
                Cell(layer.name),
                Cell(layer.op),
                Cell(layer.kind),
                Cell(_shape(layer.input_shape)),
                Cell(_shape(layer.output_shape)),
                *(
                    Cell(quantity(macs) if macs else NONE, macs)
                    for macs in (layer.binary_macs, layer.int8_macs, layer.float_macs)
                ),
                Cell(microseconds(layer.us), layer.us),
                Cell(percent(layer.share, 1), layer.share),
                Cell(number(layer.macs_per_cycle), layer.macs_per_cycle),
                Cell(NONE if peak is None else f"{peak:.1f} %", peak),
                Cell(count(layer.bytes), layer.bytes),
                Cell(layer.why or NONE),
            ]
        )
    marked = [i for i, x in enumerate(entry.profile.layers) if first and x.name == first.name]
    caption = f"Layers: {entry.model}"
    return _without_empty(Table(caption, columns, rows, frozenset(marked)))


def _load(timing: Timing) -> tuple[Cell, Cell]:
    return Cell(str(timing.threads), timing.threads), Cell(str(timing.batch), timing.batch)


def _median(timing: Timing) -> tuple[Cell, Cell]:
    """With the interval in which the next measurement is expected."""
    low = timing.prediction_low_ms
    bounds = Cell(interval(low, timing.prediction_high_ms), low)
    return Cell(number(timing.p50_ms), timing.p50_ms), bounds


def _accuracy(accuracy: Accuracy | None) -> tuple[Cell, Cell]:
    if accuracy is None:
        return Cell(NONE), Cell(NONE)
    bounds = percent_interval(accuracy.low, accuracy.high)
    return Cell(percent(accuracy.value), accuracy.value), Cell(bounds, accuracy.low)


def _shape(shape: Sequence[object] | None) -> str:
    return NONE if not shape else "×".join(map(str, shape))


def _without_empty(table: Table) -> Table:
    """Without the columns that hold nothing."""
    kept = [i for i in range(len(table.columns)) if any(row[i].text != NONE for row in table.rows)]
    return Table(
        table.caption,
        [table.columns[i] for i in kept],
        [[row[i] for i in kept] for row in table.rows],
        table.marked,
    )
