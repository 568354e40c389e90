"""The machine that a measurement was made on."""

from __future__ import annotations

from dataclasses import dataclass

from sbn_deploy.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class CpuState(Record):
    """The state of the cores in use at one moment; what the machine does not tell is null."""

    governor: str | None = None
    """What chooses the frequency, as "performance" or "ondemand"."""
    mhz: float | None = None
    """Frequency of the slowest of the cores."""
    max_mhz: float | None = None
    """The highest frequency that the governor may choose."""
    temperature_c: float | None = None
    """Of the hottest thermal zone, in degrees Celsius."""
    limit_c: float | None = None
    """The lowest temperature at which the system slows the CPU down."""
    throttled: tuple[str, ...] | None = None
    """Flags of a Raspberry Pi that are set: none on a board that is well."""
    throttle_count: int | None = None
    """How often cores of an x86 CPU were slowed down since the system started."""
    load_average: float | None = None
    """Processes that wanted to run, mean over the last minute."""


@dataclass(frozen=True, kw_only=True)
class Machine(Record):
    """A machine, its state and its versions."""

    cpu: str
    """Model of the CPU; board and cores of an ARM machine."""
    architecture: str
    """As `uname -m` names it."""
    isa: str
    """Kernel set in use."""
    state: CpuState
    """When the measurement began."""
    id: str | None = None
    """12 digits that distinguish machines with the same CPU: a digest of host name and system."""
    cores: int | None = None
    """That this process may use."""
    memory_bytes: int | None = None
    extensions: tuple[str, ...] = ()
    """Extensions of the instruction set that decide how fast integer networks are."""
    sme_bits: int | None = None
    """Length of a vector of SME."""
    lacks: tuple[str, ...] = ()
    """What measurements cannot have on this system, a sentence each."""
    core: int | None = None
    """The core that a phone measured on."""
    core_name: str | None = None
    core_max_mhz: float | None = None
    system: str | None = None
    python: str | None = None
    numpy: str | None = None
    onnxruntime: str | None = None
    sbn_deploy: str | None = None
    sbn_kernels: str | None = None
