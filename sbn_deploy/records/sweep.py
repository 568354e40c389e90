"""What `sbn sweep` found: the forms of a checkpoint, and which one to ship."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.measurement import Measurement
from sbn_deploy.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class Limits(Record):
    """What the user asks of the model to ship."""

    budget_ms: float | None = None
    """The upper end of the prediction interval of its median must not be above it."""
    min_accuracy: float | None = None
    """Its accuracy must not be below it, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Candidate(Record):
    """A model in one engine with one number of threads."""

    model: str
    sha256: str
    engine: str
    threads: int
    batch: int
    accuracy: float | None
    """Null for engines that run another network, as the fp32 baseline."""
    p50_ms: float
    on_front: bool
    """No other is both as fast and as accurate, and better in one of the two."""


@dataclass(frozen=True, kw_only=True)
class Sweep(Measurement):
    """The answer of a sweep; its figures are in the measurements beside it."""

    kind: Literal["sweep"] = "sweep"
    device: str | None = None
    """Where forms were timed, HOST[:PORT] or adb:SERIAL; null for this machine."""
    checkpoint_sha256: str
    limits: Limits
    candidates: tuple[Candidate, ...]
    """The fastest first."""
    ship: Candidate | None
    """Null where nothing keeps within the limits."""
