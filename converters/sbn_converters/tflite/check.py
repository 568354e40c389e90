"""What has to hold of a TFLite model before it is written or used.

Everything a consumer would otherwise have to doubt: indices, the order of the
operators, sizes of constants, ranges of options, and shapes that fit together.
"""

from __future__ import annotations

import math

import numpy as np

from sbn_runtime.errors import ModelError

from .model import ABSENT, Model, Option, Tensor
from .operands import check_operands
from .placed import Placed, Seen, is_new, quoted
from .schema import CUSTOM, DTYPES, LARGEST_SIZE, MAX_RANK, OPERATORS, Field, Kind
from .shapes import check_shapes


def check(model: Model, name: str) -> None:
    """Check a model.

    name: what messages call it.

    Raises:
        ModelError: what is wrong, at which operator or tensor.
    """
    # Constants whose bits have been looked at: many tensors may share one.
    seen: Seen = set()
    try:
        for index, tensor in enumerate(model.tensors):
            _check_tensor(index, tensor, seen)
        _check_order(model)
        for number, operator in enumerate(model.operators):
            _check_operator(
                Placed(
                    f"operator {number} ({operator.name})",
                    operator,
                    [None if i == ABSENT else model.tensors[i] for i in operator.inputs],
                    [model.tensors[i] for i in operator.outputs],
                    seen,
                )
            )
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None


def _check_tensor(index: int, tensor: Tensor, seen: Seen) -> None:
    where = f"tensor {index} ({quoted(tensor.name)})"
    if len(tensor.shape) > MAX_RANK:
        raise ModelError(f"{where} has {len(tensor.shape)} dimensions, more than {MAX_RANK}")
    if any(not 0 <= size <= LARGEST_SIZE for size in tensor.shape):
        raise ModelError(f"{where} has the shape {list(tensor.shape)}")
    if math.prod(tensor.shape) > LARGEST_SIZE:
        raise ModelError(f"{where} of shape {list(tensor.shape)} is too large for TFLite")
    if tensor.dtype not in DTYPES.values():
        raise ModelError(f"{where}: TFLite has no type {tensor.dtype}")
    if tensor.data is None:
        return
    if tensor.data.shape != tensor.shape or tensor.data.dtype != tensor.dtype:
        raise ModelError(
            f"{where} is {tensor.dtype}{list(tensor.shape)}, "
            f"its data {tensor.data.dtype}{list(tensor.data.shape)}"
        )
    if tensor.dtype != np.bool_ or not is_new(tensor.data, 0, seen):
        return
    if tensor.data.view(np.uint8).max(initial=0) > 1:
        raise ModelError(f"{where} is boolean and holds other values than 0 and 1")


def _check_order(model: Model) -> None:
    """Every value has one source, which comes before its first use."""
    count = len(model.tensors)
    known = [tensor.data is not None for tensor in model.tensors]

    def label(index: int) -> str:
        return f"tensor {index} ({quoted(model.tensors[index].name)})"

    for kind, indices in (("input", model.inputs), ("output", model.outputs)):
        for index in indices:
            if not 0 <= index < count:
                raise ModelError(f"{kind} {index} of the model: there are {count} tensors")
    if not model.outputs:
        raise ModelError("the model has no outputs")
    for index in model.inputs:
        if known[index]:
            raise ModelError(f"{label(index)} is an input twice, or an input and a constant")
        known[index] = True
    for number, operator in enumerate(model.operators):
        where = f"operator {number} ({operator.name})"
        for index in operator.inputs:
            if index == ABSENT:
                continue
            if not 0 <= index < count:
                raise ModelError(f"{where} reads tensor {index}: there are {count}")
            if not known[index]:
                raise ModelError(f"{where} reads {label(index)}, which nothing before it computes")
        for index in operator.outputs:
            if not 0 <= index < count:
                raise ModelError(f"{where} writes tensor {index}: there are {count}")
            if known[index]:
                raise ModelError(
                    f"{where} writes {label(index)}, which is a constant, an input of the model, "
                    "or another operator's output"
                )
            known[index] = True
    for index in model.outputs:
        if not known[index]:
            raise ModelError(f"{label(index)} is an output of the model, but nothing computes it")


def _check_operator(op: Placed) -> None:
    spec = OPERATORS.get(op.operator.name)
    if spec is None:
        op.fail("it is none of the operators that are supported: " + ", ".join(OPERATORS))
    for kind, given, (least, most) in (
        ("inputs", len(op.inputs), spec.inputs),
        ("outputs", len(op.outputs), spec.outputs),
    ):
        if not least <= given <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            op.fail(f"it has {given} {kind}, and needs {wanted}")
    for position, tensor in enumerate(op.inputs):
        if tensor is None and position not in spec.absent:
            op.fail(f"input {position} is left out")
    options = op.operator.options
    if unknown := options.keys() - spec.options.by_name.keys():
        op.fail(f"no option is called {', '.join(map(quoted, sorted(unknown)))}")
    for field in spec.options.fields:
        if field.name in options:
            _check_option(op, field, options[field.name])
        elif spec.code == CUSTOM:
            op.fail(f"the option {field.name} is missing")
        elif field.kind is not Kind.INTS:
            _check_option(op, field, field.default)
    check_shapes(op)
    check_operands(op)


def _check_option(op: Placed, field: Field, value: Option) -> None:
    if field.kind is Kind.INTS:
        if not isinstance(value, tuple):
            op.fail(f"{field.name} is {value!r}, and has to be a tuple")
        if len(value) > MAX_RANK:
            op.fail(f"{field.name} has {len(value)} entries, more than {MAX_RANK}")
        for entry in value:
            _check_range(op, field, entry)
        return
    if isinstance(value, tuple) or not isinstance(value, int | float) or not math.isfinite(value):
        op.fail(f"{field.name} is {value!r}, and has to be a number")
    if field.kind is Kind.BOOL and value not in (0, 1):
        op.fail(f"{field.name} is {value!r}, and has to be True or False")
    if field.kind is not Kind.FLOAT32 and value != int(value):
        op.fail(f"{field.name} is {value!r}, and has to be a whole number")
    if field.values is not None and value not in set(field.values):
        known = ", ".join(f"{int(entry)} ({entry.name})" for entry in field.values)
        op.fail(f"{field.name} is {value}, and has to be one of {known}")
    _check_range(op, field, value)


def _check_range(op: Placed, field: Field, value: int | float) -> None:
    low, high = field.low, field.high
    if (low is not None and value < low) or (high is not None and value > high):
        op.fail(f"{field.name} is {value}, and has to be from {low} to {high}")
