"""What a comparison with torch found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

# Relative to the largest logit. Float stages differ in the order of sums only.
LOGITS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class EngineResult:
    """One engine against torch on the same inputs.

    `tied_samples` are those whose first differing bits are all ties; they are
    left out of the other counts from there on. `tied_draws` are drawn signs that
    the error of the noise's table decided. `logits_difference` is the
    largest absolute difference; `first_layer` names the first layer whose bits
    differ, empty if none does.
    """

    engine: str
    samples: int
    compared_bits: int
    differing_bits: int
    differing_labels: int
    tied_samples: int
    tied_draws: int
    logits_difference: float
    first_layer: str
    ok: bool


@dataclass(frozen=True)
class ValidationReport:
    """All engines; `ok` if every one agrees with torch."""

    model: str
    checkpoint: str
    inputs: str
    tolerance: float
    results: list[EngineResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every engine agrees."""
        return all(result.ok for result in self.results)

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return asdict(self) | {"ok": self.ok}


def verdict(
    engine: str,
    count: int,
    compared: int,
    differing: int,
    first: str,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    *,
    tied_samples: int = 0,
    tied_draws: int = 0,
) -> EngineResult:
    """The verdict on one engine; logits are [M, N, K]."""
    difference = float(np.abs(logits - reference).max(initial=0.0))
    labels = int((logits.argmax(-1) != reference.argmax(-1)).sum())
    ok = not differing and not labels and within_tolerance(logits, reference)
    return EngineResult(
        engine,
        count,
        compared,
        differing,
        labels,
        tied_samples,
        tied_draws,
        difference,
        first or ("" if ok else "logits"),
        ok,
    )


def within_tolerance(logits: NDArray[np.float32], reference: NDArray[np.float32]) -> bool:
    """Whether logits are those of torch but for the order of sums."""
    limit = LOGITS_TOLERANCE * max(1.0, float(np.abs(reference).max(initial=0.0)))
    return float(np.abs(logits - reference).max(initial=0.0)) <= limit
