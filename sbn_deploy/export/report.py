"""What an export tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from sbn_converters.onnx.layers import Layer


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    `samples` is how many networks are drawn from each member by default, 1
    where activations are deterministic. `layers` lists each layer of one member
    and what it became; `float_layers` names those that stayed float and why.
    `run_in` is the engine that ran the file before it appeared, empty where the
    engine is not installed.
    """

    path: Path
    members: int
    samples: int
    weights: str
    file_bytes: int
    layers: list[Layer]
    run_in: str

    @property
    def float_layers(self) -> dict[str, str]:
        """Layers that stayed float, each with the reason."""
        return {layer.name: layer.why for layer in self.layers if layer.kind == "float"}

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return {
            "path": str(self.path),
            "members": self.members,
            "samples": self.samples,
            "weights": self.weights,
            "file_bytes": self.file_bytes,
            "layers": [asdict(layer) for layer in self.layers],
            "float_layers": self.float_layers,
            "run_in": self.run_in,
        }
