"""From a TFLite model with LCE operators to standard ONNX, as the lowering takes it.

Signs become floats of +1 and -1, binary convolutions become Conv with weights
of +1 and -1: what the model computes, written in operators that any ONNX engine
has. `sbn_converters.onnx.lower` then packs it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from sbn_runtime.errors import UnsupportedLayerError

from ..model import ABSENT, Model, Operator
from .constants import split_constants, with_values
from .onnx_graph import BatchIsMixed, OnnxGraph
from .operators import SUPPORTED, convert

BATCH = "N"
INPUT, LOGITS = "input", "logits"
# Operators of which only the first input says what they compute: shapes are known.
_SHAPED = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def to_onnx(model: Model) -> ir.Model:
    """The model in standard ONNX; batches of any size where no operator mixes images.

    Its input is called `input` and has the layout and element type of the file. If
    the model is a classifier, with one output [N, K] of floats, that is called
    `logits`, and is what a softmax at its end is taken of. Other outputs keep the names
    that the file's signature has, or else their tensors; a name that is taken gets a number.

    Raises UnsupportedLayerError for an operator that has no exact counterpart, and
    for quantised models; ModelError where tensors do not fit together.
    """
    if len(model.inputs) != 1:
        raise UnsupportedLayerError(
            f"the model has {len(model.inputs)} inputs; only models with one can be imported"
        )
    needed = _needed(model)
    _check_types(model, needed)
    fixed, needed = split_constants(model, needed)
    if fixed:
        model = with_values(model, fixed, needed)
    try:
        return _converted(model, needed, BATCH)
    except BatchIsMixed:
        return _converted(model, needed, None)


def is_classifier(model: Model) -> bool:
    """Whether the only output is [N, K] with K classes, and no probabilities of one each."""
    if len(model.outputs) != 1:
        return False
    tensor = model.tensors[model.outputs[0]]
    last = _producer(model, model.outputs[0])
    logistic = last is not None and last.name == "LOGISTIC"
    return len(tensor.shape) == 2 and tensor.shape[1] > 1 and not logistic


def _converted(model: Model, needed: list[tuple[int, Operator]], batch: str | None) -> ir.Model:
    names = _output_names(model)
    onnx = OnnxGraph(model, batch, {INPUT, *names})
    onnx.add_input(model.inputs[0], INPUT)
    last = _producer(model, model.outputs[0])
    logits = None
    if is_classifier(model):
        logits = model.outputs[0]
        if last is not None and last.name == "SOFTMAX":
            logits = last.inputs[0]
            needed = [(number, operator) for number, operator in needed if operator is not last]
    for number, operator in needed:
        convert(onnx, number, operator)
    outputs = model.outputs if logits is None else [logits]
    for index, name in zip(outputs, names, strict=True):
        if index in onnx.signs:
            raise UnsupportedLayerError(
                f"output {model.tensors[index].name} is packed; unpack it with LceDequantize"
            )
        onnx.add_output(index, name)
    converted = onnx.ir_model()
    common.RemoveUnusedNodesPass()(converted)
    return converted


def _output_names(model: Model) -> list[str]:
    """A name for each output: its own, or with a number where that is taken."""
    if is_classifier(model):
        return [LOGITS]
    said = model.output_names or [""] * len(model.outputs)
    own = [
        _name(model.tensors[index].name, name) or f"output_{position}"
        for position, (index, name) in enumerate(zip(model.outputs, said, strict=True))
    ]
    names: list[str] = []
    taken, numbers = {INPUT}, dict.fromkeys(own, 1)
    for wanted in own:
        name = wanted
        while name in taken or (name != wanted and name in numbers):
            numbers[wanted] += 1
            name = f"{wanted}_{numbers[wanted]}"
        taken.add(name)
        names.append(name)
    return names


def _name(tensor: str, said: str) -> str:
    """What an output is called: as the signature says, which may only repeat the tensor."""
    name = said if said != tensor else ""
    shown = (c if c.isprintable() else "\ufffd" for c in name or _plain(tensor))
    return "".join(shown)


def _plain(name: str) -> str:
    """A tensor's name without TensorFlow's additions."""
    return name.partition(";")[0].partition(":")[0].rpartition("/")[2]


def _producer(model: Model, index: int) -> Operator | None:
    return next((op for op in model.operators if index in op.outputs), None)


def _needed(model: Model) -> list[tuple[int, Operator]]:
    """The operators on which outputs depend, with their numbers, in order."""
    wanted, found = set(model.outputs), []
    for number, operator in reversed(list(enumerate(model.operators))):
        if wanted.isdisjoint(operator.outputs):
            continue
        inputs = operator.inputs[:1] if operator.name in _SHAPED else operator.inputs
        wanted.update(index for index in inputs if index != ABSENT)
        found.append((number, operator))
    return found[::-1]


def _check_types(model: Model, needed: list[tuple[int, Operator]]) -> None:
    """Refuses operators that are not known and element types that are not computed with."""
    for number, operator in needed:
        where = f"operator {number} ({operator.name})"
        indices = [index for index in (*operator.inputs, *operator.outputs) if index != ABSENT]
        tensors = [model.tensors[index] for index in indices]
        half = operator.name == "DEQUANTIZE" and tensors[0].dtype == np.float16
        quantised = (operator.name in ("QUANTIZE", "DEQUANTIZE") and not half) or any(
            tensor.dtype in (np.int8, np.int16) for tensor in tensors
        )
        if quantised:
            raise UnsupportedLayerError(
                f"{where}: the model is quantised to 8 or 16 bits, which is not supported;"
                " convert it again without `inference_input_type` and"
                " `experimental_default_int8_range`, so that what is not binary stays float32"
            )
        if operator.name not in SUPPORTED:
            raise UnsupportedLayerError(
                f"{where} is not supported; replace that layer before converting"
                f" the model to TFLite (supported: {', '.join(SUPPORTED)})"
            )
        for tensor in tensors:
            if tensor.dtype in (np.float32, np.int32) or tensor.data is not None:
                continue
            if operator.name == "CAST" or tensor.dtype == np.int64:
                continue
            raise UnsupportedLayerError(
                f"{where}: it computes with {tensor.dtype}; only float32 is supported"
            )
