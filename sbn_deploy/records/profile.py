"""What `sbn profile` measures: where the time of a model goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbn_deploy.records.measurement import Measurement, Model
from sbn_deploy.records.remote import Remote
from sbn_deploy.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class Layer(Record):
    """One node of the running model."""

    name: str
    op: str
    kind: str
    """"binary", "int8", "float" or "other"."""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    binary_macs: int = 0
    """Multiply-accumulates for the whole batch."""
    int8_macs: int = 0
    float_macs: int = 0
    us: float
    """Microseconds of a call."""
    share: float
    """Of all layers, 0 to 1."""
    macs_per_cycle: float | None = None
    """Of all kinds together; null without any."""
    percent_of_peak: float | None = None
    """Binary MACs a cycle against the machine's peak; null for other layers."""
    bytes: int | None = None
    """Read and written."""
    why: str = ""
    """Why a layer that could have been binary stayed float."""

    @property
    def macs(self) -> int:
        """Of all kinds."""
        return self.binary_macs + self.int8_macs + self.float_macs


@dataclass(frozen=True, kw_only=True)
class Bottleneck(Record):
    """The layer that would gain most time if it ran at the binary peak."""

    name: str
    lost_us: float | None = None
    why: str


@dataclass(frozen=True, kw_only=True)
class Peak(Record):
    """How fast this machine multiplies bits."""

    binary_macs_per_cycle: float
    """All threads together."""
    ghz: float
    """Clock of the core, measured between the calls."""
    measured_on: str


@dataclass(frozen=True, kw_only=True)
class Profile(Measurement):
    """A model's layers in the order of execution."""

    kind: Literal["profile"] = "profile"
    model: Model
    engine: str = "sbn"
    """Its name in `sbn_deploy.engines.table`."""
    threads: int
    batch: int
    runs: int | None = None
    isa: str | None = None
    call_us: float | None = None
    """A call without the profiler; the layers sum to it where the profiler's own cost could be
    told from theirs."""
    profiler_us: float | None = None
    """What the profiler adds to each node, left out of its time."""
    peak: Peak | None = None
    layers: tuple[Layer, ...]
    bottleneck: Bottleneck | None = None
    remote: Remote | None = None
    """With --remote."""
