"""How a task interprets the output of a network in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sbn_deploy.tasks import Objective

# What changes neither the numbers nor their meaning.
_COPIES = ("_to_copy", "alias", "clone", "contiguous", "detach")


class Head:
    """Reads a network's output: the first one, if it has several.

    A network that ends in softmax (for labels, in sigmoid) gives probabilities already;
    they are not normalised again. Log-softmax needs no care: its softmax is the same.

    Attributes:
        objective: what the output is for.
        probabilities: whether it is normalised already.
    """

    def __init__(self, objective: Objective, *, probabilities: bool = False) -> None:
        self.objective = objective
        self.probabilities = probabilities

    @classmethod
    def of(cls, run: Callable[[], Any], objective: Objective) -> Head:
        """The head of a network, of which `run` is one run.

        Raises TypeError where its answer is not a tensor, and what `run` raises.
        """
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _Steps() as steps:
            output = first(run())
        return cls(objective, probabilities=steps.normalised(output, objective.task.activation))

    def raw(self, output: Any) -> Tensor:
        """What the loss takes, float32 [N, ...]: the output before the task's activation."""
        values = first(output).float()
        if not self.probabilities:
            return values
        if self.objective.task.activation == "sigmoid":
            return values.logit(eps=1e-7)
        return values.clamp_min(torch.finfo(values.dtype).tiny).log()

    def answer(self, output: Any) -> Tensor:
        """What is averaged over networks, float32 [N, ...]."""
        values = first(output).float()
        task = self.objective.task
        if self.probabilities or not task.activation:
            return values
        return values.sigmoid() if task.activation == "sigmoid" else values.softmax(task.axis)


def first(output: Any) -> Tensor:
    """The first output of a network that may have several.

    Raises TypeError where that is not a tensor.
    """
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    elif isinstance(output, Sequence) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(f"answers {type(output).__name__} instead of a tensor")
    return output


class _Steps(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers which operation made which tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Tensors are kept, so that no other one gets the number of one that is gone.
        self.made: dict[int, tuple[str, tuple[Any, ...], Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.made[id(result)] = (func.overloadpacket.__name__, args, result)
        return result

    def normalised(self, output: Tensor, activation: str) -> bool:
        """Whether the output is a softmax over its second axis, or a sigmoid."""
        name, args = self._step(output)
        if activation == "sigmoid":
            return name == "sigmoid"
        if activation == "softmax" and name == "exp":
            name, args = self._step(args[0])
            return name == "_log_softmax" and args[1] in (1, 1 - args[0].ndim)
        return activation == "softmax" and name == "_softmax" and args[1] in (1, 1 - args[0].ndim)

    def _step(self, tensor: Tensor) -> tuple[str, tuple[Any, ...]]:
        name, args, _ = self.made.get(id(tensor), ("", (), tensor))
        return self._step(args[0]) if name in _COPIES else (name, args)
