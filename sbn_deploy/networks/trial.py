"""Running somebody's network once, to know what it answers before longer work."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .cuda import without_cuda
from .failure import user_error
from .reference import Built


def answer(built: Built, inputs: Sequence[Tensor]) -> object:
    """What the network returns for the inputs, in evaluation mode; it is left as it was.

    Raises:
        ConfigError: it raises, as for inputs of another shape; `__cause__` is then what.
    """
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), without_cuda():
            return _copy(built.module).float().eval()(*inputs)
    except Exception as error:
        shapes = ", ".join(str(list(x.shape)) for x in inputs)
        raise user_error(f"{built.reference}, given {shapes},", error) from error


def _copy(module: nn.Module) -> nn.Module:
    """A copy whose state a forward may rewrite; the module where it has none."""
    try:
        return copy.deepcopy(module)
    except RuntimeError:
        # It holds a computed tensor, which cannot be copied.
        return module
