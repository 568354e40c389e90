"""Signs that rounding may decide otherwise than it does in TFLite."""

from __future__ import annotations

from ..model import Model, Operator
from ..schema import Padding

# Sums of floats, whose order of adding is each engine's own, and functions that each approximates.
_ROUNDED = (
    "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "ELU", "EXP", "FULLY_CONNECTED",
    "HARD_SWISH", "LOG", "LOGISTIC", "MEAN", "RSQRT", "SOFTMAX", "SQRT", "SUM", "TANH",
    "TRANSPOSE_CONV",
)  # fmt: skip


def rounded_signs(model: Model) -> list[str]:
    """Operators that take signs of floats that TFLite rounds otherwise, as "LceQuantize_4".

    Where such a float is zero but for rounding, its sign may be another. All other signs
    are those of the file, bit for bit.
    """
    scaled: set[int] = set()
    rounded: set[int] = set()
    found = []
    for number, operator in enumerate(model.operators):
        has_scaled, has_rounded = (not of.isdisjoint(operator.inputs) for of in (scaled, rounded))
        if operator.name == "LceQuantize":
            if has_rounded:
                found.append(f"{operator.name}_{number}")
            continue
        if operator.name == "MUL" or has_scaled:
            scaled.update(operator.outputs)
        # A scale and a bias that no sign follows at once are one rounding.
        joins = operator.name in ("ADD", "SUB") and has_scaled and _computed(model, operator) > 1
        if operator.name in _ROUNDED or joins or has_rounded or _corrects_borders(operator):
            rounded.update(operator.outputs)
    return found


def _computed(model: Model, operator: Operator) -> int:
    """How many inputs are no constants."""
    return sum(index >= 0 and model.tensors[index].data is None for index in operator.inputs)


def _corrects_borders(operator: Operator) -> bool:
    """Whether LCE computes with a border of +1, and then adds what makes it one of 0."""
    options = operator.options
    return (
        operator.name == "LceBconv2d"
        and options["padding"] == Padding.SAME
        and not options["pad_values"]
    )
