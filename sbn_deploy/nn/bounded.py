"""Refuses networks that are too large before they are built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sbn_deploy.system import host
from sbn_runtime.errors import ConfigError

FACTORIES = frozenset({torch.empty, torch.full, torch.ones, torch.randn, torch.zeros})
"""What layers make their parameters with."""
FLOAT = 4


class Bounded(TorchFunctionMode):
    """Inside, new tensors have `most` bytes altogether; half of this machine's memory by default.

    Raises ConfigError where another one is asked for, before it is made.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = host.memory_bytes() // 2 if most is None else most
        self.size = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function in FACTORIES and args:
            shape = args if isinstance(args[0], int) else args[0]
            self.size += math.prod(shape) * FLOAT
            if self.size > self.most:
                raise ConfigError(
                    f"it needs {self.size:,} bytes or more, and may have {self.most:,}; make it"
                    " smaller"
                )
        return function(*args, **(kwargs or {}))
