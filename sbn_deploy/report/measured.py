"""The measurements that a report reads: what the measuring verbs write with -o.

Times are in milliseconds where the name says `ms`, intervals are of 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sbn_deploy.measure.accuracy.calibration import ReliabilityBin
from sbn_deploy.measure.accuracy.confusion import ClassScore
from sbn_deploy.measure.accuracy.scores import Evaluation as Scores
from sbn_deploy.measure.accuracy.tasks import MetricValue, NamedScore
from sbn_deploy.measure.measurement import ModelFacts


@dataclass(frozen=True)
class Machine:
    """What a machine said about itself; only what a reader of figures needs."""

    cpu: str
    isa: str
    cores: int | None = None
    governor: str | None = None
    mhz: float | None = None
    temperature_c: float | None = None
    load_average: float | None = None
    system: str | None = None
    python: str | None = None
    numpy: str | None = None
    onnxruntime: str | None = None
    sbn_deploy: str | None = None
    sbn_kernels: str | None = None


@dataclass(frozen=True)
class Head:
    """When a measurement was made, how and where."""

    created: str
    command: str
    machine: Machine


@dataclass(frozen=True)
class Timing:
    """What one engine took for a call with `batch` images."""

    model: str
    engine: str
    threads: int
    batch: int
    p50_ms: float
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_s: float | None = None
    start_ms: float | None = None
    peak_bytes: int | None = None
    file_bytes: int | None = None
    joules_per_image: float | None = None


@dataclass(frozen=True)
class Ratio:
    """Time of an engine over that of the first model, in the same rounds."""

    model: str
    engine: str
    threads: int
    batch: int
    ratio: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """A measurement of kind "benchmark"; `accuracy` of `data` is the first model's."""

    models: list[ModelFacts]
    results: list[Timing]
    settings: dict[str, Any] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    rule: str | None = None
    data: str | None = None
    accuracy: Scores | None = None


@dataclass(frozen=True)
class Data:
    """The images of an evaluation."""

    name: str
    images: int
    classes: list[str]
    spec: str | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """A measurement of kind "evaluation"."""

    model: ModelFacts
    engine: str
    data: Data
    scores: Scores
    samples: int | None = None
    seed: int | None = None
    per_class: list[ClassScore] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    reliability: list[ReliabilityBin] = field(default_factory=list)
    coverage: list[float] = field(default_factory=list)
    risk: list[float] = field(default_factory=list)
    aurc: float | None = None


@dataclass(frozen=True)
class TaskEvaluation:
    """A measurement of kind "evaluation" of another task than classification."""

    task: str
    model: ModelFacts
    engine: str
    data: Data
    metrics: list[MetricValue]
    samples: int | None = None
    seed: int | None = None
    per_class: list[NamedScore] = field(default_factory=list)
    standard_deviation: float | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of a profile, in the order of execution; `why` it is not binary."""

    name: str
    op: str
    kind: str
    us: float
    share: float
    input_shape: list[Any] | None = None
    output_shape: list[Any] | None = None
    binary_macs: int = 0
    int8_macs: int = 0
    float_macs: int = 0
    macs_per_cycle: float | None = None
    percent_of_peak: float | None = None
    bytes: int | None = None
    why: str = ""


@dataclass(frozen=True)
class MendFirst:
    """The layer that is most worth making faster."""

    name: str
    why: str


@dataclass(frozen=True)
class Profile:
    """A measurement of kind "profile"; `profiler_us` of each layer is left out of its time."""

    model: ModelFacts
    threads: int
    batch: int
    layers: list[Layer]
    runs: int | None = None
    total_us: float | None = None
    call_us: float | None = None
    profiler_us: float | None = None
    peak: dict[str, Any] = field(default_factory=dict)
    mend_first: MendFirst | None = None
