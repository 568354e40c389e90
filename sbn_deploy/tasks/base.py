"""What every task has in common on the workstation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ConfigError
from sbn_runtime.tasks import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A number that says how good answers are.

    Attributes:
        key: its name in JSON.
        title: for people.
        form: "share" of 0 to 1, shown in percent; "number"; or "decibel".
        better: which direction is better.
    """

    key: str
    title: str
    form: Literal["share", "number", "decibel"] = "number"
    better: Literal["higher", "lower"] = "higher"

    def show(self, value: float | None) -> str:
        """The value for people."""
        if value is None or np.isnan(value):
            return "-"
        match self.form:
            case "share":
                return f"{value:.2%}"
            case "decibel":
                return f"{value:.2f} dB"
            case _:
                return f"{value:.4g}"


class Objective(ABC):
    """What training and measuring need to know of a task.

    Attributes:
        metrics: what answers are measured by, the one to choose by first.
        sample_wise: whether targets stay right when an image is shifted or mirrored.
        smoothed: whether label smoothing means something.
        counts_hits: whether single answers are right or wrong.
        weighted: whether classes can be weighed.
    """

    name: ClassVar[str]
    metrics: tuple[Metric, ...]
    sample_wise: ClassVar[bool] = True
    smoothed: ClassVar[bool] = False
    counts_hits: ClassVar[bool] = True
    weighted: ClassVar[bool] = False

    @property
    def task(self) -> Task:
        """How files answer."""
        return TASKS[self.name]

    @property
    def main(self) -> Metric:
        """The metric to choose by."""
        return self.metrics[0]

    @abstractmethod
    def targets(self, y: Array, inputs: tuple[int, ...], name: str) -> Array:
        """Targets as they are kept.

        Args:
            y: as they are found, [N, ...].
            inputs: shape of the batch of inputs, [N, C, ...].
            name: of the data, for messages.

        Raises:
            ConfigError: they are not targets of this task.
        """

    @abstractmethod
    def outputs(self, targets: Array, classes: int) -> tuple[int, ...]:
        """Shape of what a network answers to one input, `classes` of which have names."""

    @abstractmethod
    def loss(
        self, output: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None = None
    ) -> Tensor:
        """Mean loss of a network's float32 output [N, ...], before any activation.

        weights: float32 [K], of the classes, where they are `weighted`.
        """

    @abstractmethod
    def distance(self, output: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Mean distance of an output [N, ...] from that of a teacher, both before activation."""

    def hits(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Sum over inputs of the share of right answers; None where nothing is just right."""
        return None

    @abstractmethod
    def scores(self, answer: Array, targets: Array) -> dict[str, float]:
        """Each metric of averaged answers [N, ...], as the file's output of the task has them."""

    def _wrong(self, y: Array, name: str, wanted: str) -> ConfigError:
        return ConfigError(
            f"{name}: targets are {y.dtype} {list(y.shape)}; the task {self.name} needs {wanted}"
        )


def check_finite(y: Array, name: str) -> None:
    """Raises ConfigError if a target is NaN or infinite."""
    if not np.isfinite(y).all():
        wrong = int(np.argwhere(~np.isfinite(y))[0][0])
        raise ConfigError(f"{name}: target {wrong} is not finite; remove it")
