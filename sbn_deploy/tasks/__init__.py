"""How networks are trained and measured: one class for each task.

How files of a task answer is `sbn_runtime.tasks`. Torch is imported where a loss is
computed, not before.
"""

from __future__ import annotations

from sbn_runtime.errors import ConfigError

from .base import Array, Metric, Objective
from .classes import Classification, Segmentation
from .labels import Multilabel
from .values import ImageToImage, Regression

__all__ = ["OBJECTIVES", "Metric", "Objective", "find", "of_targets"]

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Classification(),
        Multilabel(),
        Regression(),
        Segmentation(),
        ImageToImage(),
    )
}


def find(name: str) -> Objective:
    """The objective of this task. Raises ConfigError if there is none to train for."""
    if name not in OBJECTIVES:
        raise ConfigError(f"cannot train for task {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


def of_targets(y: Array, name: str) -> str:
    """The task that targets are for.

    Integers [N] are classes, zeros and ones (uint8 or bool) [N, K] labels, integers
    [N, H, W] classes of pixels; floats [N, C, H, W] are images, others numbers.

    Raises:
        ConfigError: they could be anything.
    """
    kind, rank = y.dtype.kind, y.ndim
    if kind == "f" and rank >= 1:
        return "image" if rank == 4 else "regression"
    if kind in "iu" and rank in (1, 3):
        return "classification" if rank == 1 else "segmentation"
    if rank == 2 and (kind == "b" or y.dtype == "uint8"):
        return "multilabel"
    raise ConfigError(
        f"{name}: targets are {y.dtype} {list(y.shape)}, which do not determine the task; give"
        " integers [N] or [N, H, W], zeros and ones as uint8 [N, K], or floats"
    )
