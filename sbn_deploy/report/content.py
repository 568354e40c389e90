"""The content of a report, from which the page and the JSON beside it are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.benchmark import Timing
from sbn_deploy.records.evaluation import Evaluation, TaskEvaluation
from sbn_deploy.records.machine import Machine
from sbn_deploy.records.measurement import Model as ModelFile
from sbn_deploy.records.profile import Profile

FORMAT = "sbn-report"
VERSION = 2


@dataclass(frozen=True)
class Accuracy:
    """Share of `images` of `data` classified correctly, with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    data: str
    images: int


@dataclass(frozen=True)
class Point:
    """A model in an engine on one machine: how long a call takes, and how accurate it is.

    Attributes:
        model: name to show, one for each model file of the report.
        form: how the model's weights and activations were made, for people.
        accuracy: None where it was not measured, or the engine runs another network.
        on_front: no other point of the comparison is as fast and more accurate, or faster and
            as accurate.
    """

    model: str
    sha256: str
    form: str
    timing: Timing
    accuracy: Accuracy | None
    on_front: bool
    source: str


@dataclass(frozen=True)
class Comparison:
    """Points that may be compared: one machine, one set of images, calls of one size."""

    machine: str
    data: str | None
    images: int | None
    batch: int
    points: list[Point]


@dataclass(frozen=True)
class Choice:
    """The answer of a comparison.

    Attributes:
        kind: "ship": what `decide` chose; "none": nothing is within the limits;
            "fastest": accuracies are not known; "best": times are not known; "bottleneck": neither.
        text: the answer in one sentence.
        detail: what stands against it, in one or more sentences.
        comparison: index of the comparison that it answers.
        model, engine, threads: chosen.
        figures: name, value and what stands behind it.
    """

    kind: Literal["ship", "none", "fastest", "best", "bottleneck"]
    text: str
    detail: str
    comparison: int | None
    model: str
    engine: str
    threads: int | None
    figures: list[tuple[str, str, str]]


@dataclass(frozen=True)
class RatioRow:
    """Time of `model` in `engine` over that of `base` in `base_engine`, measured in turns."""

    machine: str
    base: str
    base_engine: str
    model: str
    engine: str
    threads: int
    batch: int
    ratio: float
    low: float | None
    high: float | None
    source: str


@dataclass(frozen=True)
class DeviceRow:
    """A device with a load that was measured on others too.

    Attributes:
        device: how it was reached; None for the machine that measured itself.
        temperature_c: at the end.
        accuracy: of its own answers to `images` images, of which `differing` had another label
            on the machine that asked; None where no images were classified there.
        steady: whether nothing says that its figures should be read with care.
    """

    device: str | None
    machine: str
    model: str
    timing: Timing
    temperature_c: float | None
    accuracy: float | None
    images: int | None
    differing: int | None
    steady: bool
    source: str


@dataclass(frozen=True)
class Evaluated:
    """A model that was evaluated; `confused` are the largest counts off the diagonal."""

    model: str
    form: str
    evaluation: Evaluation
    confused: list[tuple[str, str, int]]
    source: str


@dataclass(frozen=True)
class TaskEvaluated:
    """A model of another task than classification that was evaluated."""

    model: str
    form: str
    evaluation: TaskEvaluation
    source: str


@dataclass(frozen=True)
class Profiled:
    """A model whose layers were timed."""

    model: str
    machine: str
    profile: Profile
    source: str


@dataclass(frozen=True)
class Warned:
    """A reason to read figures with care, and the file that they are from."""

    text: str
    source: str


@dataclass(frozen=True)
class Place:
    """A machine that figures come from, and the settings of the measurements made on it."""

    name: str
    machine: Machine
    settings: list[str]
    sources: list[str]


@dataclass(frozen=True)
class Source:
    """A measurement file: where each figure comes from."""

    file: str
    kind: str
    created: str
    command: str
    machine: str
    models: list[str]
    sha256: str
    versions: str


@dataclass(frozen=True)
class Model:
    """A model file and the name that the report gives it."""

    name: str
    form: str
    facts: ModelFile


@dataclass(frozen=True)
class Report:
    """Everything in a report."""

    format: str
    version: int
    created: str
    title: str
    choices: list[Choice]
    unstable: list[Warned]
    rules: list[str]
    notes: list[str]
    places: list[Place]
    models: list[Model]
    comparisons: list[Comparison]
    devices: list[DeviceRow]
    ratios: list[RatioRow]
    evaluations: list[Evaluated]
    tasks: list[TaskEvaluated]
    profiles: list[Profiled]
    sources: list[Source]
