"""What a core has done, as every system counts it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CoreTime:
    """Seconds since the system started.

    Attributes:
        busy: spent on programs and interrupts.
        stolen: for which the host of a virtual machine let the core wait; NaN if unknown.
    """

    busy: float
    stolen: float
