"""Runs a network once, to check its output before longer work."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import torch
from torch import Tensor

from .copied import copied
from .cuda import without_cuda
from .failure import user_error
from .reference import Built


def answer(built: Built, inputs: Sequence[Tensor]) -> object:
    """What the network returns for the inputs, in evaluation mode; it is left as it was.

    Raises:
        ConfigError: it raises, as for inputs of another shape; `__cause__` is then what.
        FileNotFoundError: there is no temporary folder, which torch needs.
    """
    # torch would say so within the network's run, as if that had failed.
    tempfile.gettempdir()
    try:
        with (
            copied(built.module) as module,
            torch.no_grad(),
            torch.random.fork_rng(devices=[]),
            without_cuda(),
        ):
            return module.float()(*inputs)
    except Exception as error:
        shapes = ", ".join(str(list(x.shape)) for x in inputs)
        raise user_error(f"{built.reference}, given {shapes},", error) from error
