"""How networks answer: one class for each task, used by everything that handles it.

The graph of a file ends as its task says (`sbn_converters.onnx.ensemble`), and
`Session` reads its outputs with the same object.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError
from .base import STANDARD_DEVIATION, Dims, Task, average
from .classes import Classification, Segmentation
from .labels import Multilabel
from .values import ImageToImage, Regression

__all__ = [
    "CLASSIFICATION",
    "MEMBER",
    "NAMES",
    "NONE",
    "STANDARD_DEVIATION",
    "TASKS",
    "Task",
    "average",
    "find",
    "infer_task",
    "member_name",
]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (Classification(), Multilabel(), Regression(), Segmentation(), ImageToImage())
}
CLASSIFICATION = Classification.name
NONE = "none"
"""For networks whose outputs only the user interprets; they keep their names."""
MEMBER = "member_"
"""What names of outputs with rows begin with."""
NAMES = (*TASKS, NONE)


def find(name: str) -> Task | None:
    """The task of this name; None for "none". Raises ConfigError for another name."""
    if name not in NAMES:
        raise ConfigError(f"unknown task {name!r}; choose one of {', '.join(NAMES)}")
    return TASKS.get(name)


def infer_task(shapes: Sequence[Dims]) -> str:
    """The task that a network has unless it is said, from the shapes of its outputs.

    One output [N, K] with K of at least 2 is taken for classification, [N] and [N, 1] for
    regression. Everything else is ambiguous: "none".

    Args:
        shapes: of each output, batch first; sizes that are not known may be anything
            but a number.
    """
    if len(shapes) != 1:
        return NONE
    (shape,) = shapes
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return Regression.name
    return CLASSIFICATION if len(shape) == 2 else NONE


def member_name(output: str) -> str:
    """The output that holds the rows [R, N, ...] of an output that no task applies to."""
    return f"{MEMBER}{output}"
