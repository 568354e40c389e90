"""Whether a model and a data set have the same classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import Dataset, Stream
from sbn_runtime import InputError

SHOWN = 5


def class_names(metadata: Mapping[str, Any], data: Stream | Dataset, count: int) -> list[str]:
    """Names of a model's classes: its own, else those of the data, else numbers."""
    numbers = _numbers(count)
    for names in (_own(metadata, count), data.classes):
        if names is not None and len(names) == count and list(names) != numbers:
            return list(names)
    return numbers


def matched_labels(
    metadata: Mapping[str, Any], data: Stream | Dataset, count: int
) -> NDArray[np.int64]:
    """The labels of `data`, [N] or [N, H, W], as numbers of the model's classes.

    Labels that are not a class of the data are left unchanged. Classes with the same names in
    another order are matched by name; where one side has numbers only, by number.

    Args:
        metadata: of the model.
        count: how many classes it tells apart.

    Raises:
        InputError: the data names other classes, or another number of them.
    """
    theirs, own = data.classes, _own(metadata, count)
    if theirs is None:
        return data.labels
    if len(theirs) != count:
        raise InputError(
            f"{data.name} has {_listed(theirs)}, but the model has"
            f" {f'{count} classes' if own is None else _listed(own)}"
        )
    if own is None or list(theirs) == own:
        return data.labels
    if sorted(theirs) != sorted(own) or len(set(own)) < count:
        if _numbers(count) in (own, list(theirs)):
            return data.labels
        differing = [name for name in (*theirs, *own) if (name in theirs) != (name in own)]
        raise InputError(
            f"{data.name} has {_listed(theirs)}, but the model has {_listed(own)}; only one of"
            f" them has {', '.join(differing[:SHOWN]) or 'each name once'}"
        )
    number = np.array([own.index(name) for name in theirs])
    inside = (data.labels >= 0) & (data.labels < count)
    return np.where(inside, number[np.where(inside, data.labels, 0)], data.labels)


def _own(metadata: Mapping[str, Any], count: int) -> list[str] | None:
    names = metadata.get("classes")
    return (
        [str(name) for name in names] if isinstance(names, list) and len(names) == count else None
    )


def _numbers(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def _listed(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return f"{len(names)} classes ({', '.join(names[:SHOWN])}{more})"
