"""One layer of a model file, whatever the format."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a model file.

    Shapes are without the batch, -1 for an unknown dimension. MACs are for one
    input. `kind` is "binary", "int8" (such as a first layer on pixels), "float" or
    "other"; `why` says why a layer that could have been binary stayed float;
    `fused` names the steps it contains.
    """

    name: str
    op: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    binary_macs: int
    int8_macs: int
    float_macs: int
    packed_bytes: int
    float_bytes: int
    fused: tuple[str, ...]
    why: str

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return asdict(self)
