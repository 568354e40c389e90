"""What an export reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_converters.onnx.layers import Layer

if TYPE_CHECKING:
    from .eight_bits import EightBits

# Kinds of layers that compute on bits or bytes.
_PACKED = ("binary", "pixels")


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    `samples` is how many noise samples are taken of each member by default, 1
    where activations are deterministic. `layers` lists each layer of one member
    and what it became; `float_layers` names those that stayed float and why.
    `notes` says what holds but for rounding, or costs time. `has_signs` is whether the
    network has any sign at all. `run_in` is the engine of `engines.table` that ran
    the file before it appeared, empty where that is not installed. `eight_bits` is what became of
    the float layers, if they were to be computed in 8 bits.
    """

    path: Path
    members: int
    samples: int
    weights: str
    file_bytes: int
    layers: list[Layer]
    run_in: str
    task: str = "classification"
    notes: list[str] = field(default_factory=list)
    has_signs: bool = True
    eight_bits: EightBits | None = None

    @property
    def float_layers(self) -> dict[str, str]:
        """Layers that stayed float, each with the reason."""
        return {layer.name: layer.why for layer in self.layers if layer.kind == "float"}

    @property
    def binary_layers(self) -> int:
        """How many layers have weights of two values, packed or not."""
        return len(self._candidates())

    @property
    def packed_layers(self) -> int:
        """How many of them compute on packed bits."""
        return sum(layer.kind in _PACKED for layer in self._candidates())

    @property
    def packed_share(self) -> float:
        """Their share of the multiply-accumulates of all of these layers, 0 to 1."""
        candidates = self._candidates()
        whole = sum(layer.macs for layer in candidates)
        packed = sum(layer.macs for layer in candidates if layer.kind in _PACKED)
        return packed / whole if whole else 0.0

    def _candidates(self) -> list[Layer]:
        """One for each layer of the network, which may be several in the file."""
        found: dict[str, Layer] = {}
        for layer in self.layers:
            if layer.candidate and found.get(layer.name, layer).kind in _PACKED:
                found[layer.name] = layer
        return list(found.values())

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return {
            "path": str(self.path),
            "members": self.members,
            "samples": self.samples,
            "weights": self.weights,
            "task": self.task,
            "file_bytes": self.file_bytes,
            "layers": [asdict(layer) for layer in self.layers],
            "float_layers": self.float_layers,
            "binary_layers": self.binary_layers,
            "packed_layers": self.packed_layers,
            "packed_share": self.packed_share,
            "notes": self.notes,
            "run_in": self.run_in,
            "int8": self.eight_bits.to_json() if self.eight_bits is not None else None,
        }
