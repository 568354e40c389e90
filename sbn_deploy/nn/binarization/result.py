"""What `binarize` returns: the new network, and what was changed in it and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

What = Literal["binary", "float", "dropped", "kept", "moved", "note"]


@dataclass(frozen=True)
class Change:
    """What became of one module of the float network.

    name: of the module, as in `named_modules()`.
    what: "binary" or "float" for layers with weights, "dropped" or "kept" for
        activations and dropouts in front of binary layers, "moved" for pools
        there, "note" for the network as a whole.
    why: the reason, in a few words.
    """

    name: str
    what: What
    why: str


@dataclass(frozen=True)
class Binarized:
    """A stochastic binary network, and how it differs from the float one.

    Printing it shows `changes` as a table.
    """

    model: nn.Module
    changes: list[Change]

    @property
    def binary(self) -> list[str]:
        """Names of the layers that became binary."""
        return [change.name for change in self.changes if change.what == "binary"]

    def __str__(self) -> str:
        name = max((len(change.name) for change in self.changes), default=0)
        what = max((len(change.what) for change in self.changes), default=0)
        return "\n".join(
            f"{change.name:{name}}  {change.what:{what}}  {change.why}" for change in self.changes
        )
