"""Models of one native operator, and how to run them on each kernel set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters import ops
from sbn_converters.onnx.functions import function_protos, reachable
from sbn_runtime import available_isas, library_path, native

Array = NDArray[Any]
Attributes = dict[str, Any]

ISAS = available_isas()
SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = st.integers(1, 200)
FULL_RANGE = [-(2**31), 2**31 - 1]
# What rows of an activation change nothing.
NEUTRAL = (0.0, 1.0, 1.0, 0.0, -np.inf, np.inf)
EPILOGUES = ["Threshold", "Scale", "ScaleClamp", "ScalePRelu", "Quantize", "Residual", "Activate"]


def element_type(tensor: ops.Tensor) -> int:
    """ONNX's number of a tensor's type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)))


def model(
    name: str,
    inputs: dict[str, Array],
    attributes: Attributes,
    *,
    constants: tuple[str, ...] = (),
    shapes: dict[str, list[int | str | None]] | None = None,
    functions: bool = True,
) -> onnx.ModelProto:
    """A model of one node; the inputs in `constants` become initializers."""
    info = onnx.helper.make_tensor_value_info
    operator = ops.BY_NAME[name]
    node = onnx.helper.make_node(
        name,
        [t.name for t in operator.inputs],
        [t.name for t in operator.outputs],
        name="the_node",
        domain=ops.DOMAIN,
    )
    node.attribute.extend(
        onnx.helper.make_attribute(key, value) for key, value in attributes.items()
    )
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [
            info(t.name, element_type(t), (shapes or {}).get(t.name, [None] * inputs[t.name].ndim))
            for t in operator.inputs
            if t.name not in constants
        ],
        [info(t.name, element_type(t), None) for t in operator.outputs],
        [onnx.numpy_helper.from_array(inputs[key], key) for key in constants],
    )
    return onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", ops.ONNX_OPSET),
            onnx.helper.make_opsetid(ops.DOMAIN, ops.VERSION),
        ],
        functions=[function_protos()[each] for each in reachable({name})] if functions else [],
        ir_version=ops.IR_VERSION,
    )


@contextmanager
def kernel_set(isa: str) -> Iterator[None]:
    """Kernels created inside belong to `isa`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.ISA_VARIABLE, isa)
        native.select_isa()
        yield
    native.select_isa()


def session(
    proto: onnx.ModelProto, isa: str | None, *, threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session with our kernels, or a stock one where `isa` is None."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    serialized = proto.SerializeToString()
    if isa is None:
        return onnxruntime.InferenceSession(serialized, options, ["CPUExecutionProvider"])
    options.register_custom_ops_library(str(library_path()))
    with kernel_set(isa):
        return onnxruntime.InferenceSession(serialized, options, ["CPUExecutionProvider"])


def run_all(proto: onnx.ModelProto, inputs: dict[str, Array], isa: str | None) -> list[Array]:
    """The outputs, with two threads where our kernels run."""
    names = {value.name for value in proto.graph.input}
    feeds = {key: value for key, value in inputs.items() if key in names}
    outputs: list[Array] = session(proto, isa, threads=1 if isa is None else 2).run(None, feeds)
    return outputs


def run(proto: onnx.ModelProto, inputs: dict[str, Array], isa: str | None) -> Array:
    """The first output."""
    return run_all(proto, inputs, isa)[0]


def check(
    name: str, inputs: dict[str, Array], attributes: Attributes, constants: tuple[str, ...] = ()
) -> None:
    """Every kernel set gives exactly what the function body gives."""
    proto = model(name, inputs, attributes, constants=constants)
    wanted = run_all(proto, inputs, None)
    for isa in ISAS:
        for actual, expected in zip(run_all(proto, inputs, isa), wanted, strict=True):
            assert actual.dtype == expected.dtype
            # Zeros are equal whatever their sign, which onnxruntime's Where loses.
            np.testing.assert_array_equal(actual, expected, err_msg=isa)


def words(channels: int) -> int:
    return -(-channels // 64)


def packed(rng: np.random.Generator, *shape: int) -> NDArray[np.uint64]:
    """Random packed signs of the unpacked shape [..., C]; unused bits are 0."""
    *lead, channels = shape
    bits = np.zeros((*lead, words(channels) * 64), np.uint8)
    bits[..., :channels] = rng.integers(0, 2, shape)
    return np.packbits(bits, axis=-1, bitorder="little").view(np.uint64)


def parameter_shape(tensor: ops.Tensor, result: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an input after X and W where Y, in channels, has the shape `result`."""
    if tensor.name == "R":
        return result
    rows = tensor.shape.strip("[]").split(", ")[:-1]
    return (*map(int, rows), result[-1])


def epilogue(
    rng: np.random.Generator, name: str, outputs: int, lead: tuple[int, ...] = ()
) -> dict[str, Array]:
    """The inputs after X and W; scale and bias are such that the function body's double is exact.

    `lead` is the shape of Y without its channels.
    """
    if name.endswith("Threshold"):
        thresholds = rng.integers(-12, 12, outputs)
        thresholds[:2] = rng.choice([-(2**31), 2**31 - 1, 0, 1], 2)[:outputs]
        return {"T": thresholds.astype(np.int32)}
    shapes = {
        tensor.name: parameter_shape(tensor, (*lead, outputs))
        for tensor in ops.BY_NAME[name].inputs[2:]
    }
    values = {
        key: rng.integers(-999, 999, shape).astype(np.float32) / 64 for key, shape in shapes.items()
    }
    for key in {"inner", "outer"} & values.keys():
        for row, neutral in enumerate(NEUTRAL):
            if rng.integers(0, 2):
                values[key][row] = neutral
    if name.endswith("Quantize"):  # some results saturate
        values["scale"] *= rng.choice(np.array([1, 64], np.float32), outputs)
    return values


def dot_attributes(rng: np.random.Generator, name: str) -> Attributes:
    """Where the operator has them: the full range or a part of it, an offset or none."""
    if name.endswith("Threshold"):
        return {}
    some = [int(rng.integers(-9, 2)), int(rng.integers(0, 9))]
    return {
        "dot_range": FULL_RANGE if rng.integers(0, 2) else some,
        "dot_offset": int(rng.integers(-5000, 5000)) if rng.integers(0, 2) else 0,
    }


def small_convolution(name: str = "ConvScale") -> tuple[dict[str, Array], Attributes]:
    """A convolution of 70 channels to 33."""
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {
        "X": packed(rng, 2, 6, 5, 70),
        "W": packed(rng, 33, 3, 3, 70),
        **epilogue(rng, name, 33, (2, 6, 5)),
    }
    return inputs, {
        "channels": 70,
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [1, 1, 1, 1],
        "group": 1,
        "pad_value": 0,
        **({} if name == "ConvThreshold" else {"dot_range": FULL_RANGE, "dot_offset": 0}),
    }


def error_of(proto: onnx.ModelProto, inputs: dict[str, Array]) -> str:
    """The message with which loading or running the model fails."""
    with pytest.raises(Exception, match="the_node") as caught:
        run(proto, inputs, ISAS[-1])
    return str(caught.value)
