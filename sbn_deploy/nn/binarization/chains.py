"""Binary layers in a network whose forward cannot be followed: `nn.Sequential`s only."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sbn_deploy.nn.binarization.kinds import (
    ACTIVATIONS,
    DROPOUTS,
    MAX_POOLS,
    MOVES,
    NORMS,
    POOLS,
    WEIGHTED,
)

_SHORTCUT_NAMES = ("downsample", "shortcut", "skip")


def weighted_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Layers with weights by name, as they are registered; not those inside attention."""
    hidden = [
        f"{name}."
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    ]
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, WEIGHTED) and not name.startswith(tuple(hidden))
    }


def is_shortcut(name: str, layer: nn.Module) -> bool:
    """Whether a layer's name says that it is a 1x1 convolution on a shortcut."""
    return (
        isinstance(layer, (nn.Conv1d, nn.Conv2d))
        and set(layer.kernel_size) == {1}
        and any(word in name.lower() for word in _SHORTCUT_NAMES)
    )


class Place:
    """A layer among its neighbours.

    Attributes:
        normalised: a norm precedes it, at most before activations, dropouts,
            mean pools and changes of shape.
        absorbed: a batch-norm follows, at most behind pools.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        path, _, own = name.rpartition(".")
        self.parent = model.get_submodule(path)
        self.prefix = f"{path}." if path else ""
        self.own = own
        self.before: list[tuple[str, nn.Module]] = []
        self.normalised = self.absorbed = False
        if type(self.parent) is not nn.Sequential:
            return
        items = list(self.parent.named_children())
        index = [key for key, _ in items].index(own)
        for key, module in reversed(items[:index]):
            if not isinstance(module, ACTIVATIONS + DROPOUTS + POOLS + MOVES):
                # The largest of several normalised values is rarely negative.
                pooled = any(isinstance(m, MAX_POOLS) for _, m in self.before)
                self.normalised = isinstance(module, NORMS) and not pooled
                break
            self.before.append((key, module))
        after = (module for _, module in items[index + 1 :] if not isinstance(module, POOLS))
        self.absorbed = isinstance(next(after, None), _BatchNorm)

    def replace(self, layer: nn.Module) -> Iterator[str]:
        """Puts another layer there, and drops activations and dropouts before it; their names."""
        setattr(self.parent, self.own, layer)
        for key, module in self.before:
            if isinstance(module, ACTIVATIONS + DROPOUTS):
                setattr(self.parent, key, nn.Identity().train(module.training))
                yield f"{self.prefix}{key}"
