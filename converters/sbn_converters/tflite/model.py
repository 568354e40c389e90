"""A TFLite model in memory: what the writer takes and the reader gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# An input that an operator goes without.
ABSENT = -1

Option = int | float | bool | tuple[int, ...]


@dataclass
class Tensor:
    """A value of the graph; a constant if it has `data`.

    shape: all sizes known, at least 0. dtype: a numpy type that TFLite has.
    data: an array of that shape and type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data: NDArray[np.generic] | None = None


@dataclass
class Operator:
    """One operator: "CONV_2D" as TFLite's schema calls it, or "LceBconv2d", one of LCE's own.

    inputs, outputs: indices of tensors, `ABSENT` for an input that is left out.
    options: named as in TFLite's schema ("stride_w"), or as LCE names them ("channels_in").
    """

    name: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Option] = field(default_factory=dict)


@dataclass
class Model:
    """A model of one graph. Operators come in the order in which they run.

    inputs, outputs: indices of tensors. metadata: named byte strings of the file.
    output_names: what its signature calls the outputs; empty if tensors' names are all there is.
    """

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    description: str = ""
    metadata: dict[str, bytes] = field(default_factory=dict)
    output_names: list[str] = field(default_factory=list)
