"""The device that a measurement was made on from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sbn_deploy.records.machine import Machine
from sbn_deploy.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class Remote(Record):
    """The device that was reached over ssh or adb, and what was done there."""

    host: str
    """HOST or HOST:PORT, or the serial number of a phone."""
    device: dict[str, Any]
    """What it says about itself."""
    load_average_before: float | None
    program: str
    """The wheel that was installed, or the program that was run."""
    program_sha256: str
    commands: tuple[str, ...]
    differing_labels: int | None = None
    """Images that got another label there than here."""
    here: Machine
    """The machine that asked."""
