"""What calibration data must be like."""

from __future__ import annotations

from sbn_deploy.data.dataset import Dataset
from sbn_runtime.calibration import TASKS
from sbn_runtime.errors import InputError

FEWEST, FEW = 100, 1000
"""Fewer inputs are refused, or warned of. At 90 %, the coverage of one calibration with n inputs
has a standard deviation of sqrt(0.9 · 0.1 / n): 3 points with 100, 1 with 1,000."""


def check(data: Dataset) -> None:
    """Raises InputError for too few inputs, and targets of a task without calibration."""
    if data.task not in TASKS:
        raise InputError(
            f"{data.name} has targets for {data.task}; calibration is for {' and '.join(TASKS)}"
        )
    if len(data) < FEWEST:
        raise InputError(
            f"{data.name} has {len(data)} inputs to calibrate on; at least {FEWEST} are needed, and"
            f" {FEW:,} are better: with n of them the coverage at 90 % has a standard deviation"
            " of sqrt(0.09 / n); give more images that were not trained on with --data"
        )
