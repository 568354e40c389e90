"""A network in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from sbn_deploy.engines.engine import Feed
from sbn_deploy.engines.table import TORCH
from sbn_runtime import TensorInfo

Shape = tuple[int, ...]


class TorchEngine:
    """A network in evaluation mode, run eagerly with channels last in memory.

    torch is set to use `threads` threads from now on.

    Args:
        shapes: of the inputs, batch first.
    """

    def __init__(
        self, network: nn.Module, shapes: Sequence[Shape], *, threads: int, name: str = TORCH
    ) -> None:
        torch.set_num_threads(threads)
        self.name, self.threads = name, threads
        self.inputs = [
            TensorInfo(f"input{index}", "float32", ("N", *shape[1:]))
            for index, shape in enumerate(shapes)
        ]
        self._network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        given = [torch.from_numpy(feed[node.name]) for node in self.inputs]
        with torch.inference_mode():
            found = self._network(
                *(
                    x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
                    for x in given
                )
            )
        outputs = found if isinstance(found, tuple | list) else [found]
        return {f"output{index}": output.numpy() for index, output in enumerate(outputs)}
