"""What a comparison with torch found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.engines.onnx import native_lacks
from sbn_deploy.engines.table import NATIVE
from sbn_runtime.errors import ModelError

# By how much floats may differ from torch's, relative to the largest answer or, where a sign
# is taken of them, to the root mean square of its arguments. Engines add in different orders:
# a sum of n float32 terms moves by about sqrt(n) 2^-24 of its size, 1e-5 for the 30,000 terms
# of the largest layers; ten times that leaves room for what layers in a row add up.
TOLERANCE = 1e-4
# How far an 8-bit code may be from torch's float, in steps: half of one, for it is rounded, and
# a bit, for a float that is nearly in the middle of two codes may become either.
CODE_TOLERANCE = 0.52
# Beyond the tolerance, how many times as far from torch as torch is from itself in float64.
_OWN_ROUNDINGS = 4


def mismatch(file: str, layer: str) -> ModelError:
    """The error of a file with other layers than the network's."""
    return ModelError(
        f"{file}: the values of {layer} are not those of the network; export it again with"
        " this version from the same network"
    )


@dataclass(frozen=True)
class EngineResult:
    """One engine against torch on the same inputs.

    Signs are compared given those that the file has before them. `tied_inputs` are
    those with a sign that differs where its argument is zero but for the order of
    sums. `tied_stochastic` are sampled signs that the error of the noise's table decided.
    `logits_difference` is the largest absolute difference of floats; `first_layer`
    names the first layer with a wrong sign, empty if there is none; `first_difference`
    says in words where signs differ first, ties included.
    """

    engine: str
    inputs: int
    compared_bits: int
    differing_bits: int
    differing_labels: int
    tied_inputs: int
    tied_stochastic: int
    logits_difference: float
    first_layer: str
    ok: bool
    first_difference: str = ""


@dataclass(frozen=True)
class ValidationReport:
    """All engines; `ok` if every one agrees with torch.

    Attributes:
        tolerance: by how much floats may differ, as a share of the largest.
        layers_in_8_bits: how many layers are compared given the file's own 8-bit codes.
        not_in_native: why our own runtime did not run the file; "" where it did, or TFLite.
        code_tolerance: how far these may be from torch's floats, in steps.
    """

    model: str
    checkpoint: str
    inputs: str
    results: list[EngineResult]
    layers_in_8_bits: int
    not_in_native: str = ""
    tolerance: float = TOLERANCE
    code_tolerance: float = CODE_TOLERANCE

    @classmethod
    def of(
        cls,
        model: Path,
        against: object,
        metadata: Mapping[str, Any],
        inputs: str,
        results: list[EngineResult],
    ) -> ValidationReport:
        """The report of a file that says this of its layers."""
        coded = sum(bool(layer.get("codes")) for layer in metadata["layers"])
        ran = model.suffix == ".tflite" or any(result.engine == NATIVE for result in results)
        lacks = "" if ran else native_lacks(model)
        return cls(str(model), str(against), inputs, results, coded, lacks)

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
    wrong: Mapping[str, int],
    answers: Sequence[NDArray[np.float32]],
    references: Sequence[NDArray[np.float32]],
    moved: Sequence[float],
    *,
    axis: int | None,
    ties: int,
    tied_inputs: int,
    stochastic: bool,
    first_difference: str,
) -> EngineResult:
    """The verdict on one engine.

    wrong: by layer, in order, how many signs are wrong. answers, references: of each
    output, the rows [M, N, ...]; moved: by how much torch's own roundings move each.
    `axis` is that of classes in the first, if it has any.
    """
    difference, labels, same = 0.0, 0, True
    for index, (found, reference) in enumerate(zip(answers, references, strict=True)):
        if found.shape != reference.shape:
            raise ModelError(
                f"the file's answers have shape {list(found.shape)}, the network's"
                f" {list(reference.shape)}; export it again"
            )
        difference = max(difference, float(np.abs(found - reference).max(initial=0.0)))
        limit = max(tolerance(reference), _OWN_ROUNDINGS * moved[index])
        same &= float(np.abs(found - reference).max(initial=0.0)) <= limit
        if index == 0 and axis is not None:
            labels = _differing_labels(found, reference, axis, limit)
    first = next((name for name, number in wrong.items() if number), "")
    differing = sum(wrong.values())
    ok = not differing and not labels and same
    return EngineResult(
        engine,
        count,
        compared,
        differing,
        labels,
        0 if stochastic else tied_inputs,
        ties if stochastic else 0,
        difference,
        first or ("" if ok else "logits"),
        ok,
        first_difference,
    )


def _differing_labels(
    found: NDArray[np.float32], reference: NDArray[np.float32], axis: int, limit: float
) -> int:
    """Labels whose logit in torch is below the largest by more than the limit."""
    chosen = np.expand_dims(found.argmax(axis), axis)
    lost = reference.max(axis) - np.take_along_axis(reference, chosen, axis).squeeze(axis)
    return int((lost > limit).sum())


def tolerance(reference: NDArray[np.float32]) -> float:
    """How far floats may be from torch's because sums are added in another order."""
    return TOLERANCE * max(1.0, float(np.abs(reference).max(initial=0.0)))


def within_tolerance(found: NDArray[np.float32], reference: NDArray[np.float32]) -> bool:
    """Whether floats are those of torch but for the order of sums."""
    return float(np.abs(found - reference).max(initial=0.0)) <= tolerance(reference)
