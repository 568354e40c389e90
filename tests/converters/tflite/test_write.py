"""Files of the writer: read back, run by LCE's interpreter, compared with LCE's schema."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from sbn_converters.tflite import schema
from sbn_converters.tflite.builtin_names import builtin_name
from sbn_converters.tflite.model import ABSENT, Model, Operator, Option, Tensor
from sbn_converters.tflite.read import read
from sbn_converters.tflite.schema import OPERATORS, Kind, Padding
from sbn_converters.tflite.versions import version
from sbn_converters.tflite.write import write
from sbn_deploy.lce.interpreter import interpreter, is_installed
from sbn_runtime.errors import ModelError

from .tflite_models import BCONV, Builder, binary_network, one_operator, words

GOLDEN = Path(__file__).parents[2] / "golden" / "relu.tflite"
needs_lce = pytest.mark.skipif(not is_installed(), reason="larq-compute-engine is not installed")


def with_defaults(operator: Operator) -> dict[str, Option]:
    """All options of an operator, as the reader gives them."""
    fields = OPERATORS[operator.name].options.fields
    defaults: dict[str, Option] = {
        field.name: () if field.kind is Kind.INTS else field.default for field in fields
    }
    return {**defaults, **operator.options}


def assert_same(given: Model, expected: Model) -> None:
    """The same model, options that were left out being given."""
    assert (given.inputs, given.outputs) == (expected.inputs, expected.outputs)
    assert (given.description, given.metadata) == (expected.description, expected.metadata)
    assert len(given.tensors) == len(expected.tensors)
    for one, other in zip(given.tensors, expected.tensors, strict=True):
        assert (one.name, one.shape, one.dtype) == (other.name, other.shape, other.dtype)
        assert (one.data is None) == (other.data is None)
        if one.data is not None and other.data is not None:
            assert one.data.tobytes() == other.data.tobytes()
            assert not one.data.flags.writeable
    assert len(given.operators) == len(expected.operators)
    for a, b in zip(given.operators, expected.operators, strict=True):
        assert (a.name, a.inputs, a.outputs) == (b.name, b.inputs, b.outputs)
        assert a.options == with_defaults(b)


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_comes_back(name: str) -> None:
    model = one_operator(name)
    assert_same(read(write(model)), model)


def test_a_network_comes_back() -> None:
    model = binary_network()
    assert_same(read(write(model)), model)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Chains of elementwise operators on constants and values of any type, names included."""
    b = Builder()
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=5)))
    dtype = draw(st.sampled_from(list(schema.DTYPES.values())))
    values = [b.input(shape, dtype)]
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            raw = draw(st.binary(min_size=64, max_size=64))
            data = np.resize(np.frombuffer(raw, np.uint8), int(np.prod(shape)) * dtype.itemsize)
            if dtype == np.bool_:
                data = data % 2
            values.append(b.constant(data.view(dtype).reshape(shape)))
        else:
            inputs = draw(st.lists(st.sampled_from(values), min_size=2, max_size=2))
            values.append(b.operator("MAXIMUM", inputs, shape, dtype))
    for tensor in b.model.tensors:
        tensor.name = draw(st.text(max_size=12))
    b.model.description = draw(st.text(max_size=5))
    b.model.metadata = draw(st.dictionaries(st.text(max_size=5), st.binary(max_size=40)))
    return b.finish(*draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)))


@given(models())
def test_any_model_comes_back(model: Model) -> None:
    data = write(model)
    assert data == write(model)
    assert_same(read(data), model)


@given(
    st.integers(1, 300),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 1),
    st.integers(0, 2**16),
)
def test_options_of_any_size_come_back(
    channels: int, strides: tuple[int, int], padding: int, dilation: int
) -> None:
    b = Builder()
    count = -(-channels // 32)
    x = b.input((1, 6, 6, count), np.int32)
    kernel = b.constant(np.zeros((1, 1, 1, count), np.int32))
    threshold = b.constant(np.zeros(1, np.int32))
    options = {
        **BCONV,
        "channels_in": channels,
        "padding": padding,
        "stride_height": strides[0],
        "stride_width": strides[1],
        "dilation_width_factor": max(dilation, 1),
    }
    sizes = [-(-6 // s) if padding == Padding.SAME else 5 // s + 1 for s in strides]
    inputs = [x, kernel, ABSENT, ABSENT, threshold]
    model = b.finish(b.operator("LceBconv2d", inputs, (1, *sizes, 1), np.int32, **options))
    assert_same(read(write(model)), model)


def test_a_file_stays_as_it_is() -> None:
    model = one_operator("RELU")
    assert write(model) == GOLDEN.read_bytes()
    assert_same(read(GOLDEN.read_bytes()), model)


def test_equal_constants_are_stored_once_and_aligned() -> None:
    b = Builder()
    x = b.input((64,))
    one, other = (np.arange(64, dtype=np.float32) for _ in range(2))
    inputs = [x, b.constant(one), b.constant(other), b.constant(one.view(np.int32))]
    y = b.operator("ADD", inputs[:2], (64,))
    data = write(b.finish(b.operator("ADD", [y, inputs[2]], (64,))))
    assert data.count(one.tobytes()) == 1
    assert data.index(one.tobytes()) % schema.BUFFER_ALIGNMENT == 0


def test_a_constant_without_elements_comes_back() -> None:
    b = Builder()
    x = b.input((1, 1))
    y = b.operator("RESHAPE", [x, b.integers()], ())
    model = b.finish(y)
    assert_same(read(write(model)), model)


def test_the_writer_needs_neither_torch_nor_tensorflow() -> None:
    code = "import sys, sbn_converters.tflite.write, sbn_converters.tflite.read\n" + (
        "assert not {'torch', 'tensorflow', 'onnx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels_in": 65}, r"operator 0 \(LceBconv2d\): channels_in is 65, which is 3 words"),
        ({"padding": 2}, r"padding is 2, and has to be from 0 to 1"),
        ({"pad_values": 0}, "LCE pads with zeros only where the output is float"),
        ({"stride_width": 0}, r"stride_width is 0, and has to be from 1"),
        ({"stride_width": 1.5}, "stride_width is 1.5, and has to be a whole number"),
        ({"stride_width": float("nan")}, "stride_width is nan, and has to be a number"),
        ({"stride_width": (1,)}, r"stride_width is \(1,\), and has to be a number"),
        ({"colour": 1}, r"no option is called 'colour'"),
    ],
)
def test_options_that_cannot_be_are_refused(change: dict[str, Option], message: str) -> None:
    model = one_operator("LceBconv2d")
    model.operators[0].options.update(change)
    with pytest.raises(ModelError, match=message):
        write(model)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("CONV_2D", "stride_w", "stride_w is 0, and has to be from 1 to 65536"),
        ("SOFTMAX", "beta", r"beta is 0\.0, and has to be from"),
        ("LceBconv2d", "pad_values", "the option pad_values is missing"),
    ],
)
def test_missing_options_are_refused(name: str, option: str, message: str) -> None:
    model = one_operator(name)
    del model.operators[0].options[option]
    with pytest.raises(ModelError, match=message):
        write(model)


@pytest.mark.parametrize(
    ("name", "index", "shape", "message"),
    [
        ("CONV_2D", 3, (1, 4, 5, 5), r"the output .* has to be float32\[1, 4, 6, 5\]"),
        ("CONV_2D", 0, (1, 4, 6, 7), "the filter .* does not fit"),
        ("DEPTHWISE_CONV_2D", 3, (1, 1, 2, 8), r"the output .* has to be float32\[1, 2, 2, 8\]"),
        ("DEPTHWISE_CONV_2D", 0, (1, 4, 6, 3), "the filter .* does not fit"),
        ("MAX_POOL_2D", 0, (1, 1, 6, 8), "a window of 2 does not fit in 'value 0' of 1"),
        ("FULLY_CONNECTED", 0, (1, 4, 6, 9), "has to end with 8 values"),
        ("FULLY_CONNECTED", 2, (1, 72), r"the output .* has to be float32\[1, 4, 6, 3\]"),
        ("ADD", 1, (7,), "do not fit together"),
        ("ADD", 2, (1, 4, 6, 1), r"the output .* has to be float32\[1, 4, 6, 8\]"),
        ("RELU", 1, (192,), r"the output .* has to be float32\[1, 4, 6, 8\]"),
        ("RESHAPE", 2, (1, 191), "cannot become"),
        ("TRANSPOSE", 2, (1, 4, 6, 8), r"the output .* has to be float32\[1, 8, 4, 6\]"),
        ("PAD", 2, (1, 6, 6, 8), r"the output .* has to be float32\[1, 6, 7, 8\]"),
        ("MEAN", 2, (1, 8), r"the output .* has to be float32\[1, 1, 1, 8\]"),
        ("PACK", 1, (2, 4, 6), r"the output .* has to be float32\[4, 2, 6\]"),
        ("SPLIT", 1, (1, 4, 6, 9), "cannot be split into 2 along 3"),
        ("SLICE", 2, (1, 2, 6, 8), "2 values from 1 on are not in"),
        ("STRIDED_SLICE", 4, (1, 3, 6, 8), r"the output .* has to be float32\[1, 2, 6, 8\]"),
        ("EXPAND_DIMS", 2, (1, 4, 1, 6, 8), r"the output .* has to be float32\[1, 1, 4, 6, 8\]"),
        ("RESHAPE", 2, (192, 1), r"has to have the shape \[1, -1\]"),
        ("RELU", 0, (1,) * 9, "tensor 0 .* has 9 dimensions, more than 8"),
        ("RELU", 0, (1, 2**31), "tensor 0 .* has the shape"),
        ("PRELU", 1, (8,), r"tensor 1 .* is float32\[8\], its data float32\[1, 1, 8\]"),
        ("MAX_POOL_2D", 0, (4, 6, 8), "the input .* has to be float32 of four dimensions"),
        ("CONCATENATION", 1, (1, 4, 6, 15), r"the output .* has to be float32\[1, 4, 6, 16\]"),
        ("LceBMaxPool2d", 1, (1, 3, 3, 2), r"the output .* has to be int32\[1, 2, 3, 2\]"),
        ("LceDequantize", 1, (1, 4, 6, 65), "the packed tensor .* has to be int32"),
        ("TRANSPOSE_CONV", 0, (1, 4, 6, 7), "the filter .* does not fit"),
        ("TRANSPOSE_CONV", 0, (1, 4, 0, 8), "the input .* none of them 0"),
        ("TRANSPOSE_CONV", 0, (2, 4, 6, 8), r"the output .* has to be float32\[2, 7, 11, 5\]"),
        ("TRANSPOSE_CONV", 0, (1, 3, 6, 8), r"\[1, 3, 6, 8\], cannot become .*\[1, 7, 11, 5\]"),
        ("TRANSPOSE_CONV", 4, (1, 9, 11, 5), r"cannot become .*\[1, 9, 11, 5\]"),
        ("TRANSPOSE_CONV", 4, (1, 7, 12, 5), r"has to be float32\[1, 7, 11, 5\]"),
        ("TRANSPOSE_CONV", 4, (7, 11, 5), "the output .* has to be of four dimensions"),
        ("TRANSPOSE_CONV", 4, (1, 7, 0, 5), "the output .* none of them 0"),
        ("TRANSPOSE_CONV", 2, (5, 3, 3, 9), "the filter .* does not fit"),
        ("TRANSPOSE_CONV", 2, (6, 3, 3, 8), "the bias .* has to be float32"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    name: str, index: int, shape: tuple[int, ...], message: str
) -> None:
    model = one_operator(name)
    tensor = model.tensors[index]
    if tensor.data is not None and name == "TRANSPOSE_CONV":
        tensor.data = np.zeros(shape, tensor.dtype)
    tensor.shape = shape
    with pytest.raises(ModelError, match=message):
        write(model)


def _change(kind: str, **changes: Any) -> Model:
    """A model of one operator of a kind, some of whose fields are others."""
    model = one_operator(kind)
    for field, value in changes.items():
        setattr(model.operators[0], field, value)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_change("RELU", name="RESIZE"), "it is none of the operators that are supported: ADD"),
        (_change("RELU", inputs=[7]), "reads tensor 7: there are 2"),
        (_change("SPLIT", options={"num_splits": 3}), "num_splits is 3, and there are 2 outputs"),
        (_change("PACK", options={"values_count": 3}), "values_count is 3, and there are 2 inputs"),
        (_change("CONCATENATION", options={"axis": 4}), "axis is 4, and .* has 4 dimensions"),
        (_change("SQUEEZE", options={"squeeze_dims": (1,)}), r"cannot lose the dimensions \[1\]"),
        (_change("SQUEEZE", options={"squeeze_dims": 0}), "squeeze_dims is 0, and has to be a t"),
        (_change("SQUEEZE", options={"squeeze_dims": (0,) * 9}), "has 9 entries, more than 8"),
        (_change("RESHAPE", options={}, inputs=[0]), "the shape is missing"),
        (_change("BATCH_MATMUL", options={"adj_x": 2}), "adj_x is 2, and has to be True or False"),
    ],
)
def test_models_that_cannot_be_are_refused(model: Model, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        write(model)


@needs_lce
@pytest.mark.parametrize("name", sorted(OPERATORS.keys() - {"QUANTIZE"}))
def test_lce_runs_each_operator(name: str) -> None:
    model = one_operator(name)
    for result, index in zip(run(model), model.outputs, strict=True):
        assert (result.shape, result.dtype) == (
            model.tensors[index].shape,
            model.tensors[index].dtype,
        )


def _five(name: str, *others: NDArray[np.generic], **options: Option) -> Model:
    """An operator on five dimensions and constants, whose output is as large as its input."""
    b = Builder()
    x = b.input((1, 2, 3, 2, 4))
    inputs = [x, *(b.constant(other) for other in others)]
    return b.finish(b.operator(name, inputs, (1, 2, 3, 2, 4), **options))


def _typed(name: str, dtype: DTypeLike, count: int) -> Model:
    b = Builder()
    inputs = [b.input((2, 3), dtype) for _ in range(count)]
    return b.finish(b.operator(name, inputs, (2, 3), dtype))


def _cast(source: DTypeLike, target: DTypeLike) -> Model:
    b = Builder()
    return b.finish(b.operator("CAST", [b.input((2, 3), source)], (2, 3), target))


def _transposed(*others: int, **options: Option) -> Model:
    """A transposed convolution without a bias."""
    model = one_operator("TRANSPOSE_CONV")
    (operator,) = model.operators
    operator.inputs = [*operator.inputs[:3], *others]
    operator.options |= options
    return model


def _split() -> Model:
    b = Builder()
    axis, x = b.constant(np.array(1, np.int32)), b.input((2, 4), np.int32)
    outputs = [b.value((2, 2), np.int32) for _ in range(2)]
    b.model.operators.append(Operator("SPLIT", [axis, x], outputs, {"num_splits": 2}))
    return b.finish(*outputs)


def _flattening() -> Model:
    b = Builder()
    x = b.input((1, 2, 4))
    return b.finish(
        b.operator("FULLY_CONNECTED", [x, b.constant(np.ones((3, 8), np.float32))], (1, 3))
    )


_ZEROS = np.zeros(5, np.int32)
_ENDS = np.array([1, 2, 3, 2, 4], np.int32)
_NEWER = {
    "flattening": (_flattening(), 6),
    "transpose": (_five("TRANSPOSE", np.arange(5, dtype=np.int32)), 4),
    "pad": (_five("PAD", np.zeros((5, 2), np.int32)), 4),
    "padv2": (_five("PADV2", np.zeros((5, 2), np.int32), np.zeros(1, np.float32)), 4),
    "slice": (_five("SLICE", _ZEROS, _ENDS), 5),
    "strided slice": (_five("STRIDED_SLICE", _ZEROS, _ENDS, _ZEROS + 1), 4),
    "masked slice": (_five("STRIDED_SLICE", _ZEROS, _ENDS, _ZEROS + 1, ellipsis_mask=2), 6),
    "maximum": (_five("MAXIMUM", np.ones(4, np.float32)), 3),
    "subtract": (_five("SUB", np.ones(4, np.float32)), 3),
    "divide": (_five("DIV", np.ones(4, np.float32)), 2),
    "multiply": (_typed("MUL", np.int64, 2), 5),
    "add": (_typed("ADD", np.int64, 2), 4),
    "transposed convolution": (_transposed(), 1),
    "no bias": (_transposed(ABSENT), 1),
    "with a bias": (one_operator("TRANSPOSE_CONV"), 3),
    "with an activation": (_transposed(fused_activation_function=1), 4),
    "absolute": (_typed("ABS", np.int32, 1), 5),
    "split": (_split(), 3),
    "to float64": (_cast(np.float32, np.float64), 5),
    "to int8": (_cast(np.float32, np.int8), 3),
    "to uint16": (_cast(np.float32, np.uint16), 4),
    "to uint32": (_cast(np.float32, np.uint32), 2),
    "to int32": (_cast(np.float32, np.int32), 1),
}


@pytest.mark.parametrize("name", _NEWER)
def test_versions_are_those_of_tflite(name: str) -> None:
    model, number = _NEWER[name]
    assert version(model, model.operators[0]) == number
    assert_same(read(write(model)), model)


@needs_lce
# The interpreter does not give outputs of some types.
@pytest.mark.parametrize("name", sorted(_NEWER.keys() - {"to float64", "to uint16", "to uint32"}))
def test_lce_knows_the_versions(name: str) -> None:
    model, _ = _NEWER[name]
    for result, index in zip(run(model), model.outputs, strict=True):
        assert result.shape == model.tensors[index].shape


@needs_lce
@pytest.mark.parametrize("channels", [32, 40, 100])
@pytest.mark.parametrize("stride", [1, 2])
def test_lce_computes_the_convolution_that_was_written(channels: int, stride: int) -> None:
    random = np.random.default_rng(channels + stride)
    outputs, height, width = 35, 7, 6
    signs = random.integers(0, 2, (1, height, width, channels)).astype(bool)
    weights = random.integers(0, 2, (outputs, 3, 3, channels)).astype(bool)
    threshold = random.integers(3 * channels, 6 * channels, outputs).astype(np.int32)
    b = Builder()
    x = b.input((1, height, width, -(-channels // 32)), np.int32)
    inputs = [x, b.constant(pack(weights)), ABSENT, ABSENT, b.constant(threshold)]
    options = {
        **BCONV,
        "channels_in": channels,
        "padding": Padding.VALID,
        "stride_height": stride,
        "stride_width": stride,
    }
    out_height, out_width = (height - 3) // stride + 1, (width - 3) // stride + 1
    model = b.finish(
        b.operator("LceBconv2d", inputs, (1, out_height, out_width, 2), np.int32, **options)
    )
    (given,) = run(model, pack(signs))
    differing = np.zeros((1, out_height, out_width, outputs), np.int32)
    for row, column in np.ndindex(3, 3):
        window = signs[:, row : height - 2 + row : stride, column : width - 2 + column : stride]
        differing += (window[..., None, :] != weights[:, row, column]).sum(-1)
    np.testing.assert_array_equal(given, pack(differing > threshold))


@needs_lce
def test_lce_runs_a_network() -> None:
    scores, values = run(binary_network())
    assert scores.sum() == pytest.approx(1, abs=1e-6)
    assert set(np.unique(values)) == {-1, 1}


@needs_lce
def test_fields_are_numbered_as_in_lces_schema() -> None:
    generated = generated_schema()
    tables = [value for value in vars(schema).values() if isinstance(value, schema.Table)]
    assert len(tables) > 20
    for table in tables:
        if table is schema.NO_OPTIONS or "'s options" in table.name:
            continue
        if table.union_id:
            assert getattr(generated.BuiltinOptions, table.name) == table.union_id
        for field in table.fields:
            if field.name == "debug_metadata_index":  # newer than LCE's schema
                continue
            camel = re.sub("_(.)", lambda m: m[1].upper(), field.name)
            slot = Slot()
            # A value that is no default.
            getattr(generated, table.name + "Add" + camel[0].upper() + camel[1:])(slot, 77)
            assert (slot.id, slot.value) == (field.id, 77), field
            if field.kind.is_scalar:
                assert slot.default == field.default, field
                assert slot.kind == field.kind.name.lower(), field
            else:
                assert slot.kind == "uoffsettrelative", field


@needs_lce
def test_operators_are_numbered_as_in_lces_schema() -> None:
    generated = generated_schema()
    for name, spec in OPERATORS.items():
        if spec.code != schema.CUSTOM:
            assert getattr(generated.BuiltinOperator, name) == spec.code
            assert builtin_name(spec.code) == name
    assert builtin_name(162) == "number 162"
    for code in range(162):
        assert getattr(generated.BuiltinOperator, builtin_name(code)) == code
    for kind in (schema.TensorType, schema.Padding):
        for entry in kind:
            assert getattr(getattr(generated, kind.__name__), entry.name) == entry
    for entry in schema.Activation:
        assert getattr(generated.ActivationFunctionType, entry.name) == entry


class Slot:
    """Takes the place of a flatbuffers builder and keeps the last field that is added."""

    def __getattr__(self, method: str) -> Any:
        def keep(number: int, value: int, default: int) -> None:
            self.kind = method.removeprefix("Prepend").removesuffix("Slot").lower()
            self.id, self.value, self.default = number, value, default

        return keep


def generated_schema() -> Any:
    """The schema that comes with LCE, without LCE's package, which needs TensorFlow."""
    package = importlib.util.find_spec("larq_compute_engine")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], "mlir", "python", "tflite_schema.py")
    spec = importlib.util.spec_from_file_location("tflite_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack(bits: NDArray[np.bool_]) -> NDArray[np.int32]:
    """bits [..., C] -> int32 [..., ceil(C / 32)]: channel c is bit c % 32 of word c // 32."""
    spare = -bits.shape[-1] % 32
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, spare)])
    return np.packbits(padded, axis=-1, bitorder="little").view("<i4")


def run(model: Model, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Outputs of LCE's interpreter, for random inputs if none are given."""
    random = np.random.default_rng(3)
    outputs: list[NDArray[Any]] = interpreter(write(model), "indirect").predict(
        list(inputs) or [sample(random, model.tensors[index]) for index in model.inputs]
    )
    return outputs


def sample(random: np.random.Generator, tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == np.int32:
        return words(random, *tensor.shape)
    return random.normal(size=tensor.shape).astype(tensor.dtype)
