"""What the lowering knows about values and layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .graph import dims
from .layout import Layout


@dataclass
class Layer:
    """What one layer of the network became.

    `source` names the traced values whose signs the node's output number `output`
    holds, which lets a validator compare the two bit for bit; empty where there are
    none, with "-" in front where the sign is +1 for arguments up to zero, see
    `normalise.levels`. `rounded` says that torch computes these arguments with
    roundings that the file does not have. `codes` names the traced value that a layer in
    8 bits computes. `macs` is the number of multiply-accumulates
    for one sample, and `candidate` whether the layer has signs or weights of two values.
    """

    name: str
    op: str
    node: str
    kind: str
    fused: list[str] = field(default_factory=list)
    source: str = ""
    codes: str = ""
    output: int = 0
    why: str = ""
    rounded: bool = False
    macs: int = 0
    candidate: bool = False

    def to_json(self) -> dict[str, object]:
        """What a file records: the node and what its graph does not say, empty parts left out."""
        said = ("name", "op", "kind", "macs", "candidate")
        return {key: value for key, value in asdict(self).items() if value and key not in said}


@dataclass
class Packed:
    """The packed form of a value of signs.

    `value` is uint64, channels last. `height` and `width` are set if the float
    value was [N, C, H, W]; `flattened` if it then became [N, C * H * W]: the layout in
    which its elements followed each other. Each pixel then fills whole words.
    """

    value: ir.Value
    channels: int
    height: int | None = None
    width: int | None = None
    flattened: Layout | None = None
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0

    @property
    def is_image(self) -> bool:
        """Whether the float value is [N, C, H, W]."""
        return len(dims(self.value)) == 4

    @property
    def products(self) -> int:
        """Elements of one flattened row."""
        return self.channels * (self.height or 1) * (self.width or 1)


@dataclass
class Accumulator:
    """A binary convolution or dense layer before anything that follows it.

    `weights` are +1 or -1: [O, C / group, kh, kw] or [O, K].
    """

    node: ir.Node
    packed: Packed
    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    attributes: dict[str, int | list[int]]

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, else a dense layer."""
        return self.weights.ndim == 4

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weights.shape[0])

    @property
    def products(self) -> int:
        """Number of products in one sum."""
        return int(np.prod(self.weights.shape[1:]))


@dataclass
class PixelLayer:
    """A convolution or dense layer on bytes before anything that follows it.

    `weights` are whole numbers from -127 to 127, [O, C, kh, kw]. The layer's sums are
    `factor` * sum(w p) - `offset` * sum(w) for bytes p: pixels of the image, or, where there is
    a `source`, round(source / step) + offset, saturated, which the traced value `codes` is
    rounded from.
    """

    node: ir.Node
    weights: NDArray[np.float32]
    attributes: dict[str, int | list[int]]
    factor: int = 2
    offset: int = 255
    source: ir.Value | None = None
    step: float = 0.0
    codes: str = ""

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weights.shape[0])
