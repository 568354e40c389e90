"""What `sbn benchmark` measures: how long calls take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.evaluation import Scores
from sbn_deploy.records.machine import CpuState
from sbn_deploy.records.measurement import Measurement, Model
from sbn_deploy.records.remote import Remote
from sbn_deploy.records.schema import Record, check

FEWEST_CALLS = 10
"""Of fewer, no median, throughput, interval or ratio is said."""
FEWEST_FOR = {90: 50, 99: 500}
"""Calls that a percentile needs: five lie beyond it."""


@dataclass(frozen=True, kw_only=True)
class Settings(Record):
    """How to measure: the options of `sbn benchmark`."""

    threads: tuple[int, ...]
    """Every number of threads is measured with every batch."""
    batch: tuple[int, ...]
    runs: int | None
    """Timed calls of each engine; null for as many as a precise median takes."""
    warmup: int
    """Calls before the timed ones, each time that an engine is started."""
    max_seconds: float | None
    """For everything together."""


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """The figures of one engine with one number of threads and one batch.

    The prediction interval is where the median of the next measurement falls with a probability
    of about 95 % (`sbn_deploy.benchmark.bootstrap`); null where too few sessions were measured.
    """

    model: str
    """Name of one of `models`."""
    engine: str
    """Its name in `sbn_deploy.engines.table`, as "sbn", "onnxruntime-fp32", "lce"."""
    mode: str | None = None
    """For LCE, which of its modes was the faster."""
    threads: int
    batch: int
    sessions: int | None = None
    """How often the engine was started."""
    runs: int
    """Timed calls."""
    p50_ms: float
    """Median time of a call; of fewer than `FEWEST_CALLS` it says little, and is not shown."""
    prediction_low_ms: float | None = None
    prediction_high_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    """Null where there were fewer calls than `FEWEST_FOR` it."""
    min_ms: float | None = None
    images_per_s: float | None = None
    """Inputs per second, at the median."""
    start_ms: float | None = None
    """From the file to a session that can be called, median over the sessions; for torch, from
    drawing random weights."""
    peak_bytes: int | None = None
    """By how much the process grew while it loaded the model and ran it once."""
    process_bytes: int | None = None
    """The largest size of the whole process."""
    file_bytes: int | None = None
    """Of the file that the engine runs."""
    joules_per_image: float | None = None
    """Energy of the processor; null where it cannot be read."""
    spread: float | None = None
    """Half the interquartile range, as a share of the median."""
    drift: float | None = None
    """How much longer the median of the last quarter of the calls is than that of the first."""
    overhead_us: float | None = None
    """What measuring adds to a call, contained in the times."""

    def __post_init__(self) -> None:
        check(self.p50_ms > 0, "a time is not above zero")

    @property
    def enough(self) -> bool:
        """Whether there were as many calls as figures need."""
        return self.runs >= FEWEST_CALLS


@dataclass(frozen=True, kw_only=True)
class Ratio(Record):
    """How many times as long as the first result another engine or model takes.

    The prediction interval is where the ratio of the next measurement falls.
    """

    model: str
    engine: str
    threads: int
    batch: int
    ratio: float
    prediction_low: float | None = None
    prediction_high: float | None = None

    def __post_init__(self) -> None:
        check(self.ratio > 0 and (self.prediction_low or 1) > 0, "a ratio is not above zero")


@dataclass(frozen=True, kw_only=True)
class Operator(Record):
    """An operator of a model."""

    name: str
    op: str
    kind: str
    """"binary", "int8", "float" or "other"."""
    macs: int
    """Multiply-accumulates for one sample."""


@dataclass(frozen=True, kw_only=True)
class TimedOperator(Operator):
    """An operator that was timed by itself."""

    agree: bool
    """Whether it gave the bits of the scalar kernels there and of this machine."""
    min_ms: float
    p50_ms: float
    p90_ms: float


@dataclass(frozen=True, kw_only=True)
class Operators(Record):
    """The operators of a model, one by one, as phones were measured before `sbn profile` did."""

    timed: tuple[TimedOperator, ...]
    not_timed: tuple[Operator, ...]
    """Those that onnxruntime computes."""
    scope: str
    """What that means for the times."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(Measurement):
    """Latency and throughput; with --data, accuracy too."""

    kind: Literal["benchmark"] = "benchmark"
    models: tuple[Model, ...]
    settings: Settings
    before: CpuState | None = None
    """While the cores were busy, before the first timed call."""
    after: CpuState | None = None
    results: tuple[Timing, ...]
    ratios: tuple[Ratio, ...] = ()
    unstable: tuple[str, ...] = ()
    """Why the figures should be read with care; none on a steady machine."""
    rule: str | None = None
    """What counts as unsteady."""
    data: str | None = None
    """Test images that the first model has classified."""
    accuracy: Scores | None = None
    operators: Operators | None = None
    """In older measurements of phones; not written any more."""
    remote: Remote | None = None

    def __post_init__(self) -> None:
        names = {model.name for model in self.models}
        used = {timing.model for timing in self.results} | {ratio.model for ratio in self.ratios}
        missing = ", ".join(sorted(used - names))
        check(not missing, f"model {missing!r} is not described")
