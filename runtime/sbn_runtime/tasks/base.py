"""What every task has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..uncertainty import Estimate, Prediction

Array = NDArray[Any]
Outputs = Mapping[str, Array]
Dims = Sequence[object]


class Task(ABC):
    """What the first output of a network means: how it is averaged and read.

    A file holds one network, or several rows: one for each member and noise sample.

    Attributes:
        name: how metadata, configurations and the command line call it.
        answer: the output that holds the answer, averaged over rows.
        rows: the output [R, N, ...] that holds what each row answers.
        raw: the output of a single network before `activation`, "" where there is none.
        activation: what turns a network's output into what is averaged, "" for nothing.
        axis: the axis of classes in the output of one network.
        spread: whether a file with rows also has the output `standard_deviation`.
        wanted: the shape of the network's output, for messages.
    """

    name: ClassVar[str]
    answer: ClassVar[str]
    rows: ClassVar[str]
    raw: ClassVar[str] = ""
    activation: ClassVar[Literal["", "softmax", "sigmoid"]] = ""
    axis: ClassVar[int] = 1
    spread: ClassVar[bool] = False
    wanted: ClassVar[str]

    def output_names(self, several: bool) -> list[str]:
        """The outputs of a file, in order, with rows or without."""
        if several:
            names = [self.rows, self.answer]
        else:
            names = [*([self.raw] if self.raw else []), self.answer]
        return [*names, STANDARD_DEVIATION] if several and self.spread else names

    @abstractmethod
    def fits(self, shape: Dims) -> bool:
        """Whether a network whose output has this shape, batch first, can have the task."""

    @abstractmethod
    def average(self, rows: NDArray[np.float32]) -> dict[str, Array]:
        """The outputs that follow from `rows`, float32 [R, N, ...], and `rows` itself.

        Added in float64 in the order of the rows.
        """

    @abstractmethod
    def predict(self, outputs: Outputs) -> Array:
        """The answer in the form that users want it, from the outputs of a file."""

    @abstractmethod
    def uncertainty(self, outputs: Outputs) -> Prediction | Estimate:
        """The answer and how sure it is, from the outputs of a file."""


STANDARD_DEVIATION = "standard_deviation"


def average(rows: NDArray[Any]) -> NDArray[np.float32]:
    """The mean over rows [R, ...] as float32, added in float64."""
    found: NDArray[np.float32] = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return found
