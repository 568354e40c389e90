"""An ONNX graph that grows operator by operator beside the TFLite graph it comes from.

Values of rank 4 are kept as torch would trace them, [N, C, H, W], which the
lowering reads; all others lie as in the TFLite file. Packed signs are kept as
floats of +1 and -1 with their true number of channels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sbn_runtime.errors import UnsupportedLayerError

from ...ops import IR_VERSION, ONNX_OPSET
from ..model import ABSENT, Model, Operator, Option, Tensor

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)
_MOVES = ("Reshape", "Transpose", "Slice", "MaxPool", "Pad")
# Channels in a word of packed signs.
WORD = 32
# Names of fused activations, as TFLite and LCE number them.
_ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh"}

Array = NDArray[np.generic]


class BatchIsMixed(Exception):
    """An operator treats the batch like any other dimension, so its size cannot be left free."""


class OnnxGraph:
    """The graph, and the ONNX value of each TFLite tensor.

    reserved: names of inputs and outputs, which nothing else gets.
    batch: a name if the first dimension of every activation is a batch whose
    size is to be free, else None. A free batch makes of a model for B images
    one that does the same for each B of any number of images.
    """

    def __init__(self, model: Model, batch: str | None, reserved: Collection[str] = ()) -> None:
        self.model = model
        self.batch = batch
        self.graph = ir.Graph([], [], nodes=[], opset_imports={"": ONNX_OPSET}, name="tflite")
        # Channels of the values that are packed in the TFLite file.
        self.signs: dict[int, int] = {}
        # Of these, those that have set bits beyond their channels.
        self.unclear: set[int] = set()
        # Values that are +1 or -1 throughout.
        self.sign_values: set[ir.Value] = set()
        self.size = model.tensors[model.inputs[0]].shape[:1]
        self._values: dict[int, ir.Value] = {}
        self._names = set(reserved)

    def add_input(self, index: int, name: str) -> None:
        """An input, which keeps the layout of the file."""
        tensor = self.model.tensors[index]
        value = ir.Value(
            name=name,
            shape=ir.Shape(self.free(tensor.shape)),
            type=ir.TensorType(ir.DataType.from_numpy(tensor.dtype)),
        )
        self.graph.inputs.append(value)
        self._values[index] = value
        if len(tensor.shape) == 4:
            self._values[index] = self.transposed(value, TO_FIRST, f"{name}_first")

    def ir_model(self) -> ir.Model:
        """The finished model."""
        return ir.Model(self.graph, ir_version=IR_VERSION)

    def free(self, shape: Sequence[int]) -> list[int | str]:
        """The shape with a free batch, if it is to be free.

        Raises BatchIsMixed where the first dimension is not the batch.
        """
        if self.batch is None:
            return list(shape)
        if tuple(shape[:1]) != self.size:
            raise BatchIsMixed
        return [self.batch, *shape[1:]]

    def add_output(self, index: int, name: str) -> None:
        """An output, in the layout of the file."""
        value, dtype = self.value(index), ir.DataType.from_numpy(self.model.tensors[index].dtype)
        shape = self.free(self.model.tensors[index].shape)
        channels = self.signs.get(index)
        if channels is not None:
            shape[-1], dtype = channels, ir.DataType.FLOAT
        if len(shape) == 4:
            value = self.transposed(value, TO_LAST, f"{name}_last")
        else:
            value = self.node("Identity", [value], shape, name, dtype)
        value.name = name
        self.graph.outputs.append(value)

    def value(self, index: int) -> ir.Value:
        """A tensor's value in the graph's layout."""
        if index not in self._values:
            tensor = self.model.tensors[index]
            if tensor.data is None:
                raise UnsupportedLayerError(
                    f"tensor {index} ({tensor.name}) is read before it is computed;"
                    " the file is damaged"
                )
            array = tensor.data
            if array.ndim == 4:
                array = array.transpose(TO_FIRST)
            self._values[index] = self.constant(array, f"tensor_{index}")
        return self._values[index]

    def put(self, index: int, value: ir.Value) -> None:
        """Notes a tensor's value in the graph's layout."""
        self._values[index] = value

    def constant(self, array: Array, name: str) -> ir.Value:
        """A new initializer; its name gets a number where it is taken."""
        unique, count = name, 1
        while unique in self.graph.initializers or unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        tensor = ir.tensor(array.copy(order="C"), name=unique)
        value = ir.Value(
            name=unique,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        shape: Sequence[int | str],
        name: str,
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: int | float | str | Sequence[int],
    ) -> ir.Value:
        """A new node at the end; its output."""
        unique, count = name, 1
        while unique in self._names or f"{unique}.out" in self._names:
            count += 1
            unique = f"{name}.{op_type}_{count}"
        self._names.add(unique)
        node = ir.Node(
            "", op_type, inputs, ir.convenience.convert_attributes(attributes), name=unique
        )
        value = node.outputs[0]
        value.name, value.dtype, value.shape = f"{unique}.out", dtype, ir.Shape(shape)
        self.graph.append(node)
        if self._moves_signs(op_type, inputs):
            self.sign_values.add(value)
        return value

    def _moves_signs(self, op_type: str, inputs: Sequence[ir.Value]) -> bool:
        """Whether all that a node gives is some of the signs that it reads."""
        if op_type == "Concat":
            return self.sign_values.issuperset(inputs)
        if op_type == "Pad":
            fill = inputs[2].const_value
            if fill is None or abs(float(fill.numpy())) != 1:
                return False
        return op_type in _MOVES and inputs[0] in self.sign_values

    def transposed(self, value: ir.Value, order: Sequence[int], name: str) -> ir.Value:
        """The value with its dimensions in another order."""
        shape = shape_of(value)
        dtype = value.dtype or ir.DataType.FLOAT
        turned = [shape[i] for i in order]
        return self.node("Transpose", [value], turned, name, dtype, perm=list(order))


class Op:
    """One TFLite operator on its way into the graph.

    Its errors name the operator by number, as the file lists it.
    """

    def __init__(self, onnx: OnnxGraph, number: int, operator: Operator) -> None:
        self.onnx = onnx
        self.number = number
        self.operator = operator
        self.name = f"{operator.name}_{number}"

    # What the file says

    def refuse(self, reason: str) -> UnsupportedLayerError:
        """An error that names the operator."""
        return UnsupportedLayerError(f"operator {self.number} ({self.operator.name}): {reason}")

    def has(self, position: int) -> bool:
        """Whether the operator has that input."""
        inputs = self.operator.inputs
        return position < len(inputs) and inputs[position] != ABSENT

    def index(self, position: int) -> int:
        """The tensor at an input. Raises UnsupportedLayerError if it is left out."""
        if not self.has(position):
            raise self.refuse(f"input {position} is missing; the file is damaged")
        return self.operator.inputs[position]

    def tensor(self, position: int) -> Tensor:
        """What the file says of an input."""
        return self.onnx.model.tensors[self.index(position)]

    def result(self, position: int = 0) -> Tensor:
        """What the file says of an output."""
        return self.onnx.model.tensors[self.operator.outputs[position]]

    def signs(self, position: int, channels: int) -> ir.Value:
        """Packed signs as so many channels: +1 where a word has a clear bit beyond its own.

        Raises UnsupportedLayerError if the word has no such channels, or if such bits are set
        and read, as LCE's convolutions do.
        """
        known, value = self.channels(position), self.x(position)
        if known is None:
            raise self.refuse("its input is not packed")
        unclear = self.index(position) in self.onnx.unclear
        if unclear and (channels != known or self.operator.name == "LceBconv2d"):
            raise self.refuse(f"bits beyond the {known} channels of its input are set")
        if known == channels:
            return value
        if not known < channels <= -(-known // WORD) * WORD:
            raise self.refuse(f"it takes {channels} channels, its input has {known}")
        shape = shape_of(value)
        axis = 1 if len(shape) == 4 else len(shape) - 1
        amounts = np.zeros((2, len(shape)), np.int64)
        amounts[1, axis], shape[axis] = channels - known, channels
        pads = self.constant(amounts.reshape(-1), "pads")
        one = self.constant(np.array(1, np.float32), "gap")
        return self.signs_of(self.add("Pad", [value, pads, one], shape, mode="constant"))

    def channels(self, position: int) -> int | None:
        """The number of channels of an input that is packed; None for any other."""
        return self.onnx.signs.get(self.index(position))

    def array(self, position: int, what: str) -> Array:
        """An input that must be constant, as it lies in the file."""
        data = self.tensor(position).data
        if data is None:
            raise self.refuse(f"its {what} must be constant; freeze the model before converting")
        return data

    def option(self, name: str, default: Option | None = None) -> Option:
        """An option. Raises UnsupportedLayerError if it is missing and has no default."""
        value = self.operator.options.get(name, default)
        if value is None:
            raise self.refuse(f"option {name} is missing; the file is damaged")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer option."""
        value = self.option(name, default)
        if isinstance(value, tuple):
            raise self.refuse(f"option {name} is no number; the file is damaged")
        return int(value)

    # Values

    def x(self, position: int = 0) -> ir.Value:
        """An input in the graph's layout."""
        return self.onnx.value(self.index(position))

    def x_last(self, position: int = 0) -> ir.Value:
        """An input in the layout of the file."""
        return self.to_last(self.x(position))

    def to_last(self, value: ir.Value) -> ir.Value:
        """A value in the layout of the file."""
        return self.onnx.transposed(value, TO_LAST, self.name) if rank(value) == 4 else value

    def put(self, value: ir.Value, position: int = 0) -> None:
        """Notes an output, which is in the graph's layout. Raises ValueError if it is another's."""
        if shape_of(value) != self.shape(position):
            raise ValueError(f"output {position} has {shape_of(value)}, not {self.shape(position)}")
        self.onnx.put(self.operator.outputs[position], value)

    def put_last(self, value: ir.Value, position: int = 0) -> None:
        """Notes an output, which is in the layout of the file."""
        if rank(value) == 4:
            value = self.onnx.transposed(value, TO_FIRST, self.name)
        self.put(value, position)

    # Writing nodes

    def shape(self, position: int = 0) -> list[int | str]:
        """An output's shape in the graph's layout."""
        return first_shape(self.shape_last(position))

    def shape_last(self, position: int = 0) -> list[int | str]:
        """An output's shape in the layout of the file, packed signs by channels."""
        shape = list(self.result(position).shape)
        channels = self.onnx.signs.get(self.operator.outputs[position])
        if channels is not None:
            shape[-1] = channels
        return self.onnx.free(shape)

    def constant(self, array: Array, what: str) -> ir.Value:
        """A constant of this operator."""
        return self.onnx.constant(array, f"{self.name}.{what}")

    def integers(self, numbers: Sequence[int], what: str) -> ir.Value:
        """A constant of int64."""
        return self.constant(np.array(numbers, np.int64), what)

    def add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        shape: Sequence[int | str],
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: int | float | str | Sequence[int],
    ) -> ir.Value:
        """A new node; its output."""
        return self.onnx.node(op_type, inputs, shape, self.name, dtype, **attributes)

    def reshaped(self, value: ir.Value, shape: Sequence[int | str]) -> ir.Value:
        """The value in another shape."""
        target = [-1 if isinstance(size, str) else size for size in shape]
        dtype = value.dtype or ir.DataType.FLOAT
        return self.add("Reshape", [value, self.integers(target, "shape")], shape, dtype)

    def clip(self, value: ir.Value, low: float | None, high: float | None) -> ir.Value:
        """The value limited to [low, high]."""
        if low == 0 and high is None:
            return self.add("Relu", [value], shape_of(value))
        assert low is not None
        assert high is not None
        bounds = [self.constant(np.array(b, np.float32), "limit") for b in (low, high)]
        return self.add("Clip", [value, *bounds], shape_of(value))

    def activation(self, value: ir.Value) -> ir.Value:
        """The value after the operator's fused activation."""
        number = self.integer("fused_activation_function", 0)
        match _ACTIVATIONS.get(number):
            case "none":
                return value
            case "relu":
                return self.clip(value, 0, None)
            case "relu_n1_to_1":
                return self.clip(value, -1, 1)
            case "relu6":
                return self.clip(value, 0, 6)
            case "tanh":
                return self.add("Tanh", [value], shape_of(value))
        raise self.refuse(f"fused activation {number} is not known")

    def signs_of(self, value: ir.Value) -> ir.Value:
        """+1 where the value is at least 0 or NaN, else -1; as the lowering knows signs."""
        shape = shape_of(value)
        zero, minus, plus = (
            self.constant(np.array(number, np.float32), "sign") for number in (0, -1, 1)
        )
        negative = self.add("Less", [value, zero], shape, ir.DataType.BOOL)
        return self.add("Where", [negative, minus, plus], shape)

    def gaps_are_set(self) -> None:
        """Notes that bits beyond the channels of the output are set."""
        self.onnx.unclear.add(self.operator.outputs[0])

    def put_signs(self, value: ir.Value, channels: int, position: int = 0) -> None:
        """Notes an output that is packed in the file.

        value: +1 and -1 in the graph's layout.
        """
        tensor = self.result(position)
        if tensor.shape[-1:] != (-(-channels // 32),):
            raise self.refuse(
                f"{channels} channels do not fit its output of shape {list(tensor.shape)};"
                " the file is damaged"
            )
        output = self.operator.outputs[position]
        self.onnx.signs[output] = channels
        self.onnx.sign_values.add(value)
        if self.operator.name != "LceBconv2d" and self.onnx.unclear & {*self.operator.inputs}:
            self.onnx.unclear.add(output)
        self.put(value, position)


def rank(value: ir.Value) -> int:
    """The number of dimensions."""
    return len(shape_of(value))


def shape_of(value: ir.Value) -> list[int | str]:
    """The value's shape, which every value here has."""
    assert value.shape is not None
    return [size if isinstance(size, int) else str(size.value) for size in value.shape]


def first_shape(shape: Sequence[int | str]) -> list[int | str]:
    """A shape in the graph's layout."""
    return [shape[i] for i in TO_FIRST] if len(shape) == 4 else list(shape)


def first_axis(axis: int, dimensions: int) -> int:
    """Where an axis of the file lies in the graph's layout."""
    axis %= dimensions
    return TO_LAST[axis] if dimensions == 4 else axis


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """How many elements TFLite's SAME adds before and after a dimension."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
