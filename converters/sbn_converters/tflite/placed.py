"""An operator with its tensors at hand, for those who check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

from .model import Operator, Tensor

# What has been asked of which bytes: address, size, row length, number of bits.
Seen = set[tuple[int, int, tuple[int, ...], int]]


@dataclass(frozen=True)
class Placed:
    """An operator with its tensors. where: names it in messages.

    inputs: None for one that is left out. seen: constants that have been looked at.
    """

    where: str
    operator: Operator
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    seen: Seen

    def fail(self, what: str) -> NoReturn:
        """Raises:
        ModelError: always, naming the operator.
        """
        raise ModelError(f"{self.where}: {what}")

    def input(self, position: int) -> Tensor:
        """An input that has to be there."""
        tensor = self.inputs[position]
        if tensor is None:
            self.fail(f"input {position} is left out")
        return tensor

    def optional(self, position: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def integer(self, *names: str) -> int:
        """The option that has one of the names."""
        for name in names:
            value = self.operator.options.get(name)
            if value is not None and not isinstance(value, tuple):
                return int(value)
        self.fail(f"the option {names[0]} is missing")

    def expect(
        self, what: str, tensor: Tensor, dtype: np.dtype[np.generic] | type, shape: Sequence[int]
    ) -> None:
        """Refuse another type or shape."""
        if tensor.dtype != dtype or tensor.shape != tuple(shape):
            self.fail(
                f"{what} {described(tensor)} has to be {np.dtype(dtype)}{list(shape)}",
            )

    def images(self, dtype: np.dtype[np.generic] | type) -> Tensor:
        """The first input, images [N, H, W, C]."""
        return self.filter("the input", 0, dtype)

    def filter(self, what: str, position: int, dtype: np.dtype[np.generic] | type) -> Tensor:
        """An input of four dimensions, none of them 0."""
        tensor = self.input(position)
        if tensor.dtype != dtype or len(tensor.shape) != 4 or 0 in tensor.shape:
            self.fail(
                f"{what} {described(tensor)} has to be {np.dtype(dtype)} of four dimensions, "
                "none of them 0"
            )
        return tensor


def quoted(name: str) -> str:
    """A name that a file gives, on one line, and not too long."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


def described(tensor: Tensor) -> str:
    """A tensor's name, type and shape."""
    return f"{quoted(tensor.name)}, {tensor.dtype}{list(tensor.shape)},"


def is_new(data: NDArray[np.generic], bits: int, seen: Seen) -> bool:
    """Whether this has not been asked of the same bytes, rows and number of bits before."""
    if not data.flags.c_contiguous:
        return True
    key = (data.__array_interface__["data"][0], data.nbytes, data.shape[-1:], bits)
    if key in seen:
        return False
    seen.add(key)
    return True
