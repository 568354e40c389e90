"""What `sbn evaluate` measures: how good a model's answers are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.measurement import Measurement, Model
from sbn_deploy.records.schema import Record, check


@dataclass(frozen=True, kw_only=True)
class Scores(Record):
    """How well a model classifies. The confidence intervals are Wilson's, at 95 %."""

    samples: int
    """Images."""
    correct: int
    accuracy: float
    confidence_low: float
    confidence_high: float
    top5: float | None = None
    """Share of images whose true class is among the five most probable; null with fewer than 20
    classes."""
    top5_confidence_low: float | None = None
    top5_confidence_high: float | None = None
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    brier: float
    """Brier score, 0 to 2."""
    ece: float
    """Expected calibration error over 15 bins, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin(Record):
    """Images whose confidence lies in (low, high]; the means are 0 for an empty bin."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean probability of the most probable class."""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class ClassScore(Record):
    """How well the images of one class are recognised."""

    name: str
    images: int
    correct: int
    accuracy: float | None
    """Share of them that is right (recall); null without images."""
    confidence_low: float | None
    confidence_high: float | None
    precision: float | None
    """Share that is right of the images that were given this class; null if none were."""


@dataclass(frozen=True, kw_only=True)
class SetScore(Record):
    """Prediction sets at one coverage. The confidence intervals are of 95 %."""

    asked: float
    """The coverage that was asked for."""
    coverage: float
    """Share of the images whose true class is in their set."""
    confidence_low: float
    """Wilson's, of the coverage."""
    confidence_high: float
    size: float
    """Mean number of classes in a set."""
    size_low: float
    size_high: float
    sizes: tuple[int, ...]
    """Images by the number of classes in their set, from 1 on."""
    per_class: tuple[float | None, ...]
    """Coverage of the images of each class; null without images."""


@dataclass(frozen=True, kw_only=True)
class CalibrationScores(Record):
    """What the calibration of a file is worth on the images of an evaluation."""

    data: str
    """What it was calibrated on, …"""
    split: str
    """… which part of it, …"""
    images: int
    """… and how much."""
    temperature: float
    """For the number of networks that were averaged."""
    before: Scores
    """Of the same answers without calibration."""
    reliability_before: tuple[ReliabilityBin, ...]
    sets: tuple[SetScore, ...]
    """By coverage, rising; the sets are those of "lac"."""


@dataclass(frozen=True, kw_only=True)
class Skipped(Record):
    """An image that was not classified, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Data(Record):
    """The inputs of an evaluation."""

    name: str
    spec: str | None = None
    """How the user named them."""
    images: int
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answered(Measurement):
    """What evaluations of all tasks have in common."""

    model: Model
    engine: str
    samples: int | None = None
    """Noise samples averaged for each answer."""
    seed: int | None = None
    """Of the noise."""
    data: Data
    seconds: float | None = None
    images_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(Answered):
    """Classification."""

    kind: Literal["evaluation"] = "evaluation"
    scores: Scores
    per_class: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Images by true class (row) and predicted class (column)."""
    reliability: tuple[ReliabilityBin, ...] = ()
    coverage: tuple[float, ...] = ()
    """Shares of the images that are answered, the most confident first, …"""
    risk: tuple[float, ...] = ()
    """… and the share of errors among them."""
    aurc: float | None = None
    """Area under the risk-coverage curve, 0 to 1."""
    calibration: CalibrationScores | None = None
    """Of a calibrated file, whose answers the other figures are of."""

    def __post_init__(self) -> None:
        classes = len(self.data.classes)
        sizes = {len(row) for row in self.confusion} | {len(self.confusion)} - {0}
        check(
            not self.confusion or sizes == {classes},
            f"the confusion matrix is not {classes} × {classes}",
        )
        check(len(self.coverage) == len(self.risk), "coverage and risk differ in length")


@dataclass(frozen=True, kw_only=True)
class Metric(Record):
    """A metric of `sbn_deploy.tasks`; its value is null where it is not defined."""

    key: str
    title: str
    form: str
    better: str
    value: float | None


@dataclass(frozen=True, kw_only=True)
class NamedScore(Record):
    """How well one label or class is answered."""

    name: str
    count: int
    average_precision: float | None = None
    f1: float | None = None
    iou: float | None = None
    """Intersection over union."""


@dataclass(frozen=True, kw_only=True)
class IntervalScore(Record):
    """The intervals of a calibrated regression at one coverage."""

    asked: float
    """The coverage that was asked for."""
    coverage: float
    """Share of the numbers that are in their interval."""
    confidence_low: float
    """Wilson's, at 95 %, with as many trials as there are inputs: numbers of one input depend on
    each other."""
    confidence_high: float
    width: float
    """Mean over the numbers of an answer."""


@dataclass(frozen=True, kw_only=True)
class TaskEvaluation(Answered):
    """Another task than classification."""

    kind: Literal["task-evaluation"] = "task-evaluation"
    task: str
    metrics: tuple[Metric, ...]
    """The main one first."""
    per_class: tuple[NamedScore, ...] = ()
    standard_deviation: float | None = None
    """Mean over the answers, where several networks answered."""
    intervals: tuple[IntervalScore, ...] = ()
    """Of a calibrated regression, by coverage, rising."""
