"""What has to hold of a TFLite model before it is written or used.

Everything a consumer would otherwise have to doubt: indices, the order of the
operators, sizes of constants, ranges of options, and the shapes of LCE's operators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

from .model import ABSENT, Model, Operator, Option, Tensor
from .schema import DTYPES, LARGEST_SIZE, MAX_RANK, OPERATORS, Field, Kind, Padding

_WORD = 32
_Key = tuple[int, int, tuple[int, ...], int]


def check(model: Model, name: str) -> None:
    """Check a model.

    name: what messages call it.

    Raises:
        ModelError: what is wrong, at which operator or tensor.
    """
    # Constants whose bits have been looked at: many tensors may share one.
    seen: set[_Key] = set()
    try:
        for index, tensor in enumerate(model.tensors):
            _check_tensor(index, tensor, seen)
        _check_order(model)
        for number, operator in enumerate(model.operators):
            _OperatorCheck(model, number, operator, seen).run()
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None


def _check_tensor(index: int, tensor: Tensor, seen: set[_Key]) -> None:
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
    if tensor.dtype != np.bool_ or not _is_new(tensor.data, 0, seen):
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


class _OperatorCheck:
    """Checks of one operator. Its tensors' indices are in range already."""

    def __init__(self, model: Model, number: int, operator: Operator, seen: set[_Key]) -> None:
        self.operator = operator
        self.seen = seen
        self.where = f"operator {number} ({operator.name})"
        self.inputs = [None if i == ABSENT else model.tensors[i] for i in operator.inputs]
        self.outputs = [model.tensors[i] for i in operator.outputs]

    def fail(self, what: str) -> NoReturn:
        raise ModelError(f"{self.where}: {what}")

    def run(self) -> None:
        name = self.operator.name
        spec = OPERATORS.get(name)
        if spec is None:
            self.fail("is not among the operators that are supported: " + ", ".join(OPERATORS))
        for kind, given, (least, most) in (
            ("inputs", len(self.inputs), spec.inputs),
            ("outputs", len(self.outputs), spec.outputs),
        ):
            if not least <= given <= most:
                wanted = str(least) if least == most else f"{least} to {most}"
                self.fail(f"it has {given} {kind}, and needs {wanted}")
        for position, tensor in enumerate(self.inputs):
            if tensor is None and position not in spec.absent:
                self.fail(f"input {position} is left out")
        options = self.operator.options
        fields = {field.name: field for field in spec.options.fields}
        if unknown := options.keys() - fields.keys():
            self.fail(f"no option is called {', '.join(map(quoted, sorted(unknown)))}")
        for field in fields.values():
            self._check_option(field, options.get(field.name, _default(field)))
        match name:
            case "LceQuantize":
                self._check_packing(self._input(0), self.outputs[0])
            case "LceDequantize":
                self._check_packing(self.outputs[0], self._input(0))
            case "LceBconv2d":
                self._check_convolution()
            case "LceBMaxPool2d":
                self._check_pooling()
            case "SPLIT":
                self._check_count("num_splits", "outputs", len(self.outputs))
            case "PACK":
                self._check_count("values_count", "inputs", len(self.inputs))

    def _check_count(self, option: str, kind: str, count: int) -> None:
        if self._integer(option) != count:
            self.fail(f"{option} is {self._integer(option)}, and there are {count} {kind}")

    def _check_option(self, field: Field, value: Option) -> None:
        if field.kind is Kind.INTS:
            if not isinstance(value, tuple):
                self.fail(f"{field.name} is {value!r}, and has to be a tuple")
            if len(value) > MAX_RANK:
                self.fail(f"{field.name} has {len(value)} entries, more than {MAX_RANK}")
            for entry in value:
                self._check_range(field, entry)
            return
        if isinstance(value, tuple) or not isinstance(value, int | float):
            self.fail(f"{field.name} is {value!r}, and has to be a number")
        if not math.isfinite(value):
            self.fail(f"{field.name} is {value}")
        if field.kind is Kind.BOOL and value not in (0, 1):
            self.fail(f"{field.name} is {value!r}, and has to be True or False")
        if field.kind is not Kind.FLOAT32 and value != int(value):
            self.fail(f"{field.name} is {value!r}, and has to be a whole number")
        if field.values is not None and value not in set(field.values):
            known = ", ".join(f"{int(entry)} ({entry.name})" for entry in field.values)
            self.fail(f"{field.name} is {value}, and has to be one of {known}")
        self._check_range(field, value)

    def _check_range(self, field: Field, value: int | float) -> None:
        low, high = field.low, field.high
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            self.fail(f"{field.name} is {value}, and has to be {limits}")

    def _input(self, position: int) -> Tensor:
        tensor = self.inputs[position]
        if tensor is None:
            self.fail(f"input {position} is left out")
        return tensor

    def _integer(self, option: str) -> int:
        value = self.operator.options.get(option)
        if value is None or isinstance(value, tuple):
            self.fail(f"the option {option} is missing")
        return int(value)

    def _expect(self, what: str, tensor: Tensor, dtype: type, shape: Sequence[int]) -> None:
        if tensor.dtype != dtype or tensor.shape != tuple(shape):
            self.fail(
                f"{what} {quoted(tensor.name)} is {tensor.dtype}{list(tensor.shape)}, "
                f"and has to be {np.dtype(dtype)}{list(shape)}"
            )

    def _check_packing(self, values: Tensor, packed: Tensor) -> None:
        """values [..., C] float32, int8 or bool; packed [..., ceil(C / 32)] int32."""
        if values.dtype not in (np.float32, np.int8, np.bool_) or not values.shape:
            self.fail(
                f"{quoted(values.name)} is {values.dtype}{list(values.shape)}, "
                "and has to be float32, int8 or bool with at least one dimension"
            )
        *outer, channels = values.shape
        self._expect("the packed tensor", packed, np.int32, (*outer, _words(channels)))

    def _window(self, images: Tensor, kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
        """Output height and width of a window that slides over `images` [N, H, W, words]."""
        same = self._integer("padding") == Padding.SAME
        strides = (self._integer("stride_height"), self._integer("stride_width"))
        sizes = []
        for size, taps, dilation, stride in zip(
            images.shape[1:3], kernel, dilations, strides, strict=True
        ):
            reach = (taps - 1) * dilation + 1
            out = -(-size // stride) if same else (size - reach) // stride + 1
            if out < 1:
                self.fail(f"a window of {reach} does not fit in {quoted(images.name)} of {size}")
            sizes.append(out)
        return sizes

    def _packed_images(self) -> Tensor:
        images = self._input(0)
        if images.dtype != np.int32 or len(images.shape) != 4 or 0 in images.shape:
            self.fail(
                f"{quoted(images.name)} is {images.dtype}{list(images.shape)}, "
                "and has to be int32[N, H, W, words]"
            )
        return images

    def _check_pooling(self) -> None:
        images = self._packed_images()
        kernel = (self._integer("filter_height"), self._integer("filter_width"))
        height, width = self._window(images, kernel, (1, 1))
        shape = (images.shape[0], height, width, images.shape[3])
        self._expect("the output", self.outputs[0], np.int32, shape)

    def _check_convolution(self) -> None:
        images = self._packed_images()
        kernel = self._input(1)
        if kernel.dtype != np.int32 or len(kernel.shape) != 4 or 0 in kernel.shape:
            self.fail(
                f"the filter {quoted(kernel.name)} is {kernel.dtype}{list(kernel.shape)}, "
                "and has to be int32[outputs, height, width, words]"
            )
        channels = self._integer("channels_in")
        words = _words(channels)
        if words != images.shape[3]:
            self.fail(
                f"channels_in is {channels}, which is {words} words, "
                f"and {quoted(images.name)} has {images.shape[3]}"
            )
        outputs, height, width, kernel_words = kernel.shape
        groups = words // kernel_words
        if words % kernel_words or (
            groups > 1 and (channels % (groups * _WORD) or outputs % groups)
        ):
            self.fail(
                f"the filter {quoted(kernel.name)} of {outputs} outputs by {kernel_words} words "
                f"does not fit channels_in {channels}: groups need multiples of {_WORD} channels"
            )
        self._check_spare_bits(kernel, channels // groups)
        dilations = (
            self._integer("dilation_height_factor"),
            self._integer("dilation_width_factor"),
        )
        sizes = self._window(images, (height, width), dilations)
        self._check_output(outputs, (images.shape[0], *sizes))

    def _check_output(self, channels: int, outer: Sequence[int]) -> None:
        """Either floats, of a multiplier and a bias, or bits, of a threshold."""
        multiplier, bias, threshold = self.inputs[2:]
        output = self.outputs[0]
        if threshold is None and multiplier is not None and bias is not None:
            self._expect("the multiplier", multiplier, np.float32, (channels,))
            self._expect("the bias", bias, np.float32, (channels,))
            self._expect("the output", output, np.float32, (*outer, channels))
        elif threshold is not None and multiplier is None and bias is None:
            self._expect("the threshold", threshold, np.int32, (channels,))
            self._expect("the output", output, np.int32, (*outer, _words(channels)))
        else:
            self.fail("it needs a multiplier and a bias (inputs 2 and 3), or a threshold (input 4)")
        for position, tensor in enumerate(self.inputs[1:], 1):
            if tensor is not None and tensor.data is None:
                self.fail(f"input {position} {quoted(tensor.name)} has to be a constant")

    def _check_spare_bits(self, kernel: Tensor, channels: int) -> None:
        """Bits of the last word that stand for no channel have to be 0."""
        used = channels % _WORD
        if not used or kernel.data is None or not _is_new(kernel.data, used, self.seen):
            return
        last = kernel.data[..., -1].view(np.uint32)
        if (last >> np.uint32(used)).any():
            self.fail(f"the filter {quoted(kernel.name)} sets bits beyond its {channels} channels")


def quoted(name: str) -> str:
    """A name that a file gives, on one line, and not too long."""
    return repr(name if len(name) <= 80 else name[:77] + "...")


def _is_new(data: NDArray[np.generic], bits: int, seen: set[_Key]) -> bool:
    """Whether this has not been asked of the same bytes, rows and number of bits before."""
    if not data.flags.c_contiguous:
        return True
    key = (data.__array_interface__["data"][0], data.nbytes, data.shape[-1:], bits)
    if key in seen:
        return False
    seen.add(key)
    return True


def _default(field: Field) -> Option:
    return () if field.kind is Kind.INTS else field.default


def _words(channels: int) -> int:
    """32-bit words that hold the bits of so many channels."""
    return -(-channels // _WORD)
