"""Reading a calibration from the metadata of a file, strictly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import conformal, ood
from .calibration import CLASSIFICATION, REGRESSION, TASKS, VERSION, Calibration, Unknown
from .errors import ModelError

Floats = NDArray[np.float64]
# Nothing that is measured comes near them, and no arithmetic overflows within them.
_LARGEST, _LARGEST_OFFSET = 1e12, 1e3
_TEMPERATURES = (1e-3, 1e3)


def read(said: Any, path: Path) -> Calibration:
    """A calibration from the metadata of the file at `path`.

    Raises ModelError, one line, for another version, a missing or unknown entry, an entry of
    another type or shape, and numbers that are not finite or out of range.
    """
    if isinstance(said, dict) and said.get("version") not in (None, VERSION):
        raise ModelError(
            f"{path}: its calibration has version {said['version']!r}, this program reads"
            f" {VERSION}; calibrate it again with `sbn calibrate`, or use the version that wrote it"
        )
    try:
        return _read(said)
    except _Damaged as damage:
        raise ModelError(
            f"{path}: its calibration is damaged: {damage}; calibrate it again with `sbn calibrate`"
        ) from damage


def check(calibration: Calibration, task: str, outputs: int | None, path: Path) -> None:
    """Raises ModelError unless a calibration is for this task and as many outputs, if known."""
    count = len(calibration.offsets)
    if calibration.intervals is not None:
        count = calibration.intervals.shape[2]
    if calibration.task == task and outputs in (None, count):
        return
    raise ModelError(
        f"{path}: its calibration is for {calibration.task} with {count} outputs, the model is for"
        f" {task}{'' if outputs is None else f' with {outputs}'}; calibrate it again with"
        " `sbn calibrate`"
    )


class _Damaged(Exception):
    pass


def _read(said: Any) -> Calibration:
    entries = _Entries(said, "")
    task = entries.text("task")
    if task not in TASKS:
        raise _Damaged(f"task is {task!r}")
    networks = entries.numbers("networks", whole=True)
    levels = entries.numbers("levels", low=0, high=1)
    for name, values in (("networks", networks), ("levels", levels)):
        if not values or sorted(set(values)) != list(values) or values[0] <= 0:
            raise _Damaged(f"{name} do not rise from above 0")
    if levels[-1] >= 1:
        raise _Damaged("levels are not below 1")
    counts, count = len(networks), len(levels)
    offsets = entries.table("offsets", (None,))
    classes = len(offsets)
    temperatures = entries.table("temperatures", (counts,))
    least, most = _TEMPERATURES
    if not ((least <= temperatures) & (temperatures <= most)).all():
        raise _Damaged(f"a temperature is not from {least:g} to {most:g}")
    if (np.abs(offsets) > _LARGEST_OFFSET).any():
        raise _Damaged(f"an offset is larger than {_LARGEST_OFFSET:g}")
    quantiles = _Entries(entries.get("quantiles"), "quantiles.")
    intervals = entries.optional("intervals", (counts, count, None))
    if task == REGRESSION and (intervals is None or classes):
        raise _Damaged("regression needs intervals, and has no classes")
    if task == CLASSIFICATION and (intervals is not None or classes < 2):
        raise _Damaged("classification needs classes, and has no intervals")
    methods = conformal.METHODS[:3] if task == CLASSIFICATION else ()
    found = Calibration(
        task=task,
        weights_sha256=entries.text("weights_sha256"),
        data=entries.text("data"),
        split=entries.text("split"),
        images=entries.whole("images"),
        networks=tuple(map(int, networks)),
        measured=_named(entries.get("measured"), "measured"),
        levels=levels,
        temperatures=temperatures,
        offsets=offsets,
        quantiles={name: quantiles.table(name, (counts, count)) for name in methods},
        by_class=entries.optional("by_class", (count, classes)),
        class_networks=entries.whole("class_networks"),
        unknown=_unknown(entries.get("unknown"), counts),
        intervals=intervals,
    )
    quantiles.finish()
    entries.finish("version")
    if not re.fullmatch("[0-9a-f]{64}", found.weights_sha256):
        raise _Damaged("weights_sha256 is not a digest")
    return found


def _unknown(said: Any, counts: int) -> Unknown | None:
    if said is None:
        return None
    entries = _Entries(said, "unknown.")
    score, shares = entries.text("score"), entries.numbers("shares", low=0, high=1)
    if score not in ood.SCORES:
        raise _Damaged(f"unknown.score is {score!r}")
    auroc = entries.get("auroc")
    if not isinstance(auroc, dict):
        raise _Damaged("unknown.auroc is not a table")
    found = Unknown(
        score,
        shares,
        entries.table("thresholds", (counts, len(shares))),
        {name: _named(scores, f"unknown.auroc.{name}") for name, scores in auroc.items()},
    )
    entries.finish()
    return found


class _Entries:
    """The entries of a JSON object; each is asked for once."""

    def __init__(self, said: Any, place: str) -> None:
        if not isinstance(said, dict):
            raise _Damaged(f"{place.rstrip('.') or 'it'} is not a table")
        self.left = dict(said)
        self.place = place

    def get(self, name: str) -> Any:
        if name not in self.left:
            raise _Damaged(f"{self.place}{name} is missing")
        return self.left.pop(name)

    def finish(self, *others: str) -> None:
        """Raises unless everything was asked for, but for `others`."""
        if rest := [name for name in self.left if name not in others]:
            raise _Damaged(f"{self.place}{rest[0]} is not known")
        if missing := [name for name in others if name not in self.left]:
            raise _Damaged(f"{self.place}{missing[0]} is missing")

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str):
            raise _Damaged(f"{self.place}{name} is not a text")
        return value

    def whole(self, name: str) -> int:
        value = self.get(name)
        if type(value) is not int or value < 0:
            raise _Damaged(f"{self.place}{name} is not a count")
        return value

    def numbers(
        self, name: str, *, whole: bool = False, low: float = 0, high: float = 2**32
    ) -> tuple[float, ...]:
        values = self.table(name, (None,))
        if whole and (values != np.floor(values)).any():
            raise _Damaged(f"{self.place}{name} are not whole")
        if len(values) and not (low <= values.min() and values.max() <= high):
            raise _Damaged(f"{self.place}{name} are out of range")
        return tuple(values.tolist())

    def optional(self, name: str, shape: Sequence[int | None]) -> Floats | None:
        if self.left.get(name, 0) is None:
            del self.left[name]
            return None
        return self.table(name, shape)

    def table(self, name: str, shape: Sequence[int | None]) -> Floats:
        """Finite numbers of this shape; None is any size, the same in every row."""
        value = self.get(name)
        found = _array(value, len(shape))
        fits = found is not None and all(
            size in (None, has) for size, has in zip(shape, found.shape, strict=True)
        )
        if found is None or not fits:
            wanted = " × ".join("n" if size is None else str(size) for size in shape)
            raise _Damaged(f"{self.place}{name} are not {wanted} finite numbers")
        if found.size and np.abs(found).max() > _LARGEST:
            raise _Damaged(f"{self.place}{name} are larger than {_LARGEST:g}")
        return found


def _array(value: Any, rank: int) -> Floats | None:
    """Nested lists of finite numbers as an array of this rank; None where they are not that."""
    if rank == 0:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Whole numbers of JSON may be too large for a float.
        return np.float64(value) if is_number and _is_finite(value) else None  # type: ignore[return-value]
    if not isinstance(value, list):
        return None
    rows = [_array(entry, rank - 1) for entry in value]
    if any(row is None for row in rows) or len({row.shape for row in rows if row is not None}) > 1:
        return None
    inner = rows[0].shape if rows else (0,) * (rank - 1)  # type: ignore[union-attr]
    return np.array(rows, np.float64).reshape(len(rows), *inner)


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _named(said: Any, place: str) -> dict[str, float]:
    if not isinstance(said, dict):
        raise _Damaged(f"{place} is not a table")
    for name, value in said.items():
        if _array(value, 0) is None:
            raise _Damaged(f"{place}.{name} is not a finite number")
    return {name: float(value) for name, value in said.items()}
