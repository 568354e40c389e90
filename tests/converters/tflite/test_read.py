"""TFLite files that nobody vouches for: refused with a reason, at a bounded cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st

from sbn_converters.tflite import schema
from sbn_converters.tflite.flexbuffer import read_map, write_map
from sbn_converters.tflite.read import read
from sbn_converters.tflite.write import write
from sbn_runtime.errors import ModelError

from .raw import Fields, raw, wordy
from .tflite_models import binary_network, one_operator

# Bytes that reading may take: for each of the file, and for any.
MEMORY_PER_BYTE = 10
MEMORY_FOR_ANY_FILE = 2 << 20
MAP = {"filter_height": 2, "filter_width": 300, "padding": 1, "stride_height": 2**20}


def test_files_of_tflites_own_converter_are_read() -> None:
    model = read(raw(wordy()))
    assert [operator.name for operator in model.operators] == [
        "CONV_2D",
        "LceQuantize",
        "LceBconv2d",
    ]
    assert model.metadata == {"min_runtime_version": b"1.5.0\0\0\0"}
    assert [tensor.name for tensor in model.tensors if tensor.data is not None] == [
        "kernel",
        "binary kernel",
        "scale",
        "bias",
    ]
    assert model.tensors[0].shape == (1, 4, 4, 3)
    write(model)


def test_constants_are_views_of_the_file() -> None:
    data = write(binary_network())
    whole = np.frombuffer(data, np.uint8)
    constants = [t.data for t in read(data).tensors if t.data is not None]
    assert len(constants) > 5
    for constant in constants:
        assert np.shares_memory(constant, whole)
        assert not constant.flags.writeable


def _tensor(index: int, **fields: Any) -> Callable[[Fields], None]:
    return lambda model: model["subgraphs"][0]["tensors"][index].update(fields)


def _operator(index: int, **fields: Any) -> Callable[[Fields], None]:
    return lambda model: model["subgraphs"][0]["operators"][index].update(fields)


def _options(**fields: Any) -> Callable[[Fields], None]:
    return lambda model: model["subgraphs"][0]["operators"][0]["builtin_options"].update(fields)


def _code(index: int, **fields: Any) -> Callable[[Fields], None]:
    return lambda model: model["operator_codes"][index].update(fields)


def _graph(**fields: Any) -> Callable[[Fields], None]:
    return lambda model: model["subgraphs"][0].update(fields)


def _model(**fields: Any) -> Callable[[Fields], None]:
    return lambda model: model.update(fields)


def _lce(**fields: int) -> Callable[[Fields], None]:
    """Change options of LceBconv2d; None leaves one out."""

    def change(model: Fields) -> None:
        operator = model["subgraphs"][0]["operators"][2]
        operator["custom_options"] = write_map(
            {**read_map(memoryview(operator["custom_options"])), **fields}
        )

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_model(version=2), r"root \(Model at byte \d+\): version is 2, and has to be 3"),
        (_model(subgraphs=[]), "it has 0 graphs, and has to have one"),
        (lambda m: m["subgraphs"].append({}), "it has 2 graphs"),
        (_model(description=b"\xff"), "description is not UTF-8"),
        (_model(metadata=[{"name": "a", "buffer": 99}]), "metadata 0 .* its buffer is 99"),
        (_model(metadata=[{"name": "a"}, {"name": "a"}]), "'a' is there twice"),
        (lambda m: m["buffers"][2].update(offset=5000, size=9), "its data stands after the model"),
        (_code(0, version=0), "operator code 0 .* version is 0"),
        (_code(0, builtin_code=96), "TFLite's operator RANGE is not supported"),
        (_code(0, builtin_code=5000), "TFLite's operator number 5000 is not supported"),
        (_code(1, custom_code="Mine"), "there is no custom operator 'Mine' here, only LceQuantize"),
        (_code(1, custom_code="ADD"), "there is no custom operator 'ADD' here"),
        (_tensor(0, type=5), "tensor 0 'image' .* its type is 5, and has to be one of float32"),
        (_tensor(0, shape=[1] * 9), "it has 9 dimensions, more than 8"),
        (_tensor(0, shape=[1, -4, 4, 3]), r"its shape is \[1, -4, 4, 3\]: set all sizes"),
        (_tensor(0, shape=[2, 4, 4, 3]), "its first size is open, and 2, not 1"),
        (_tensor(0, shape_signature=[-1, -1, 4, 3]), "only the first size may be open"),
        (_tensor(0, shape_signature=[-1]), "its shape has 4 dimensions, its signature 1"),
        (_tensor(2, shape=[2**16] * 4), r"tensor 2 \('conv'\) of shape .* is too large for TFLite"),
        (_tensor(1, shape=[40, 1, 1, 4]), r"480 bytes long, and float32\[40, 1, 1, 4\] takes 640"),
        (_tensor(1, buffer=77), "its buffer is 77, and there are 10"),
        (_tensor(1, is_variable=True), "it is a variable"),
        (_tensor(1, sparsity={}), "convert the model without sparsity"),
        (_tensor(1, variant_tensors=[{}]), "it is a variant"),
        (_tensor(1, quantization={"scale": [0.5]}), "it is quantised: convert the model with fl"),
        (_tensor(1, quantization={"zero_point": [3]}), "it is quantised"),
        (_tensor(1, quantization={"details_type": 1, "details": {}}), "it is quantised"),
        (_tensor(4, type=6, shape=[144]), "tensor 4 .* is boolean and holds other values"),
        (_tensor(3, shape=[1, 4, 4, 3]), r"operator 1 \(LceQuantize\): the packed tensor 'bits'"),
        (_operator(0, opcode_index=3), "operator 0 .* its code is 3, and there are 3"),
        (_operator(0, inputs=[0, 9]), r"its inputs are \[0, 9\]: there are 8 tensors"),
        (_operator(0, inputs=[0, -2]), r"its inputs are \[0, -2\]"),
        (_operator(0, inputs=[0, -1, 7]), r"operator 0 \(CONV_2D\): input 1 is left out"),
        (_operator(0, inputs=[0]), "it has 1 inputs, and needs 3"),
        (_operator(0, outputs=[]), r"operator 1 \(LceQuantize\) reads tensor 2 \('conv'\), which"),
        (_operator(0, outputs=[-1]), "writes tensor -1"),
        (_operator(0, inputs=[6, 1, 7]), r"reads tensor 6 \('scores'\), which nothing before it"),
        (_operator(1, outputs=[2]), r"writes tensor 2 \('conv'\), which is a constant, an input"),
        (_operator(0, outputs=[1]), r"writes tensor 1 \('kernel'\), which is a constant"),
        (_operator(0, builtin_options_type=5), r"have to be Conv2DOptions \(1\)"),
        (_operator(0, builtin_options=None), "a type without a table"),
        (_operator(0, builtin_options_2_type=1), "it has builtin_options_2_type"),
        (_operator(0, large_custom_options_offset=1), "it has large_custom_options_offset"),
        (_operator(0, intermediates=[1]), "it has intermediates"),
        (_operator(0, mutating_variable_inputs=b"\0\1"), "it changes its inputs"),
        (_operator(1, custom_options_format=1), "custom_options_format has to be 0"),
        (_operator(1, builtin_options_type=1), "a custom operator with options of a builtin"),
        (_operator(2, custom_options=b""), "custom_options: the map is 0 bytes long"),
        (_options(stride_w=0), "stride_w is 0, and has to be from 1 to 65536"),
        (_options(padding=2), r"padding is 2, and has to be one of 0 \(SAME\), 1 \(VALID\)"),
        (_options(fused_activation_function=9), "fused_activation_function is 9"),
        (_lce(channels_in=65), "channels_in is 65, which is 3 words, and 'bits' has 2"),
        (_lce(channels_in=33), "the filter 'binary kernel' sets bits beyond its 33 channels"),
        (_lce(padding=7), "padding is 7, and has to be from 0 to 1"),
        (_lce(stride_width=-1), "stride_width is -1"),
        (_lce(stride_width=2), "the output 'scores', float32"),
        (_lce(padding=1, dilation_width_factor=9), "a window of 19 does not fit in 'bits' of 4"),
        (_operator(2, inputs=[3, 4, 5, 5, 5]), "it needs a multiplier and a bias"),
        (_operator(2, inputs=[3, 4, 5, -1, -1]), "it needs a multiplier and a bias"),
        (_operator(2, inputs=[3, 3, 5, 5, -1]), "does not fit channels_in 40|sets bits|multiplier"),
        (_tensor(4, shape=[1, 3, 3, 4]), "does not fit channels_in 40"),
        (_tensor(5, type=2), r"the multiplier 'scale', int32\[2\], has to be float32\[2\]"),
        (_lce(pad_values=0, fused_activation_function=1), "LCE pads with zeros only where"),
        (_graph(outputs=[]), "the model has no outputs"),
        (
            _graph(inputs=[1]),
            r"tensor 1 \('kernel'\) is an input twice, or an input and a constant",
        ),
        (_graph(operators=[]), r"tensor 6 \('scores'\) is an output of the model, but nothing"),
    ],
)
def test_what_is_wrong_is_said(change: Callable[[Fields], None], message: str) -> None:
    model = wordy()
    change(model)
    with pytest.raises(ModelError, match=message) as error:
        read(raw(model), "net.tflite")
    assert str(error.value).startswith("net.tflite: ")


def test_what_comes_from_a_newer_tflite_is_refused() -> None:
    newer = schema.Table("Tensor", (*schema.TENSOR.fields, schema.Field("more", 12, _INT)))
    model = wordy()
    quantization = model["subgraphs"][0]["tensors"][0]["quantization"]
    quantization.update(table=newer, more=1)
    with pytest.raises(ModelError, match="field 12 is unknown here: a newer TFLite"):
        read(raw(model))


_INT = schema.Kind.INT32


def test_names_do_not_break_messages() -> None:
    model = wordy()
    model["subgraphs"][0]["tensors"][0].update(name="a\n\x1b[2J" * 100, type=5)
    with pytest.raises(ModelError) as error:
        read(raw(model))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0" * 100, b"\xff\xff\xff\xffTFL3", b"PK\3\4" * 9]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        read(data)


def test_every_truncated_file_is_refused() -> None:
    data = write(one_operator("LceBconv2d"))
    used = len(data.rstrip(b"\0"))
    for length in range(used):
        with pytest.raises(ModelError):
            read(data[:length])


def _many_tensors(model: Fields, count: int) -> None:
    model["subgraphs"][0]["tensors"].extend([{}] * count)


def _many_named_tensors(model: Fields, count: int) -> None:
    tensor = {"name": "n" * 100, "shape": [1] * 8}
    model["subgraphs"][0]["tensors"].extend([tensor] * count)


def _many_operators(model: Fields, count: int) -> None:
    operators = model["subgraphs"][0]["operators"]
    operators.extend([operators[0]] * count)


def _many_inputs(model: Fields, count: int) -> None:
    operators = model["subgraphs"][0]["operators"]
    operators.extend([{"inputs": [0] * count, "outputs": [2]}] * 50)


def _many_buffers(model: Fields, count: int) -> None:
    model["buffers"].extend([{}] * count)


def _many_codes(model: Fields, count: int) -> None:
    model["operator_codes"].extend([model["operator_codes"][1]] * count)


def _much_metadata(model: Fields, count: int) -> None:
    model["buffers"][8]["data"] = bytes(count)
    model["metadata"] = [{"name": str(index), "buffer": 8} for index in range(100)]


def _long_description(model: Fields, count: int) -> None:
    model["description"] = "\N{GRINNING FACE}" * count


@pytest.mark.parametrize(
    "attack",
    [
        _many_tensors,
        _many_named_tensors,
        _many_operators,
        _many_inputs,
        _many_buffers,
        _many_codes,
        _much_metadata,
        _long_description,
    ],
)
def test_memory_is_bounded_by_the_file(attack: Callable[[Fields, int], None]) -> None:
    model = wordy()
    attack(model, 30_000)
    data = raw(model)
    tracemalloc.start()
    with suppress(ModelError):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= MEMORY_PER_BYTE * len(data) + MEMORY_FOR_ANY_FILE


@pytest.mark.parametrize("width", list(flexbuffers.BitWidth))
@pytest.mark.parametrize("method", ["Int", "UInt", "IndirectInt", "IndirectUInt"])
def test_maps_of_any_layout_are_read(width: int, method: str) -> None:
    builder: Any = flexbuffers.Builder(force_min_bit_width=width)
    with builder.Map():
        for key, value in MAP.items():
            getattr(builder, method)(key, value)
        builder.String("unknown", "kept out")
        builder.Bool("yes", True)
    assert read_map(memoryview(bytes(builder.Finish()))) == {**MAP, "yes": 1}


_KEYS = st.from_regex(r"[a-z_]{1,30}", fullmatch=True)


@given(st.dictionaries(_KEYS, st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_maps_come_back(values: dict[str, int]) -> None:
    assert read_map(memoryview(write_map(values))) == values


@given(st.binary(max_size=60), st.sampled_from([9 << 2, 9 << 2 | 1, 9 << 2 | 2]), st.integers(0, 9))
def test_no_bytes_break_the_reader_of_maps(data: bytes, kind: int, width: int) -> None:
    try:
        values = read_map(memoryview(data + bytes([kind, width])))
    except ModelError:
        return
    assert all(isinstance(value, int) for value in values.values())
