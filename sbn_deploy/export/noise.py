"""How a file samples its signs."""

from __future__ import annotations

from dataclasses import dataclass

from sbn_converters.onnx.layers import Layer
from sbn_converters.onnx.noise import Draw
from sbn_runtime.errors import ConfigError, UnsupportedLayerError

# More do not change answers, and only let a file ask for too much memory.
MAX_SAMPLES = 65536


@dataclass(frozen=True)
class Noise:
    """How a file samples its signs: those of which modules how, and its defaults.

    signs: by module name, see `sbn_deploy.materialize.stochastic_signs`. samples: of each
    member. seed: 0 to 2^63 - 1.
    """

    signs: dict[str, Draw]
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.signs:
            raise ConfigError(
                "this network has no noise on its activations;"
                " export it with deterministic activations"
            )
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise ConfigError(f"samples is {self.samples}; it must be 1 to {MAX_SAMPLES}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"the noise's seed is {self.seed}; it must be 0 to 2^63 - 1")


def check_stochastic(signs: dict[str, Draw], layers: list[Layer]) -> None:
    """Raises UnsupportedLayerError if the noise of a module found no operator."""
    found = {layer.name for layer in layers if layer.kind == "draw"}
    missing = sorted(set(signs) - found)
    if missing:
        raise UnsupportedLayerError(
            f"the noise of {missing[0]} cannot be exported: it does not follow a value of shape"
            " [N, C] or [N, C, H, W]; export with deterministic activations"
        )
