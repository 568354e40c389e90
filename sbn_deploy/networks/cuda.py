"""Code written for a GPU, on a machine without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


def without_cuda() -> AbstractContextManager[object]:
    """Inside it, everything stays on the CPU, whatever device the code names.

    `.cuda()` returns the tensor itself, `.to("cuda")` and `device="cuda"` mean the
    CPU; modules follow, since they move their tensors. It may be entered while a
    module is built, loaded, run or traced.
    """
    return _OnCpu()


class _OnCpu(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.cuda:
            return args[0]
        if func is Tensor.to:
            args = (args[0], *map(_on_cpu, args[1:]))
        return func(*args, **{name: _on_cpu(value) for name, value in (kwargs or {}).items()})


def _on_cpu(value: Any) -> Any:
    """The CPU for a GPU, anything else as it is."""
    names_gpu = isinstance(value, torch.device | str) and str(value).partition(":")[0] == "cuda"
    return CPU if names_gpu else value
