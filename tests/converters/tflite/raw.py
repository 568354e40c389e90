"""TFLite files from nested dictionaries, whatever they say: also what no writer would write."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from sbn_converters.tflite import schema
from sbn_converters.tflite.flexbuffer import write_map
from sbn_converters.tflite.schema import Kind, Table

Fields = dict[str, Any]

_CHILDREN = {
    "buffers": schema.BUFFER,
    "metadata": schema.METADATA,
    "operator_codes": schema.OPERATOR_CODE,
    "operators": schema.OPERATOR,
    "quantization": schema.QUANTIZATION,
    "signature_defs": schema.SIGNATURE_DEF,
    "subgraphs": schema.SUBGRAPH,
    "tensors": schema.TENSOR,
    "inputs": schema.TENSOR_MAP,
    "outputs": schema.TENSOR_MAP,
}
_DTYPES = {Kind.INTS: "<i4", Kind.LONGS: "<i8", Kind.FLOATS: "<f4"}


class _Raw:
    """Writes tables; an object that is there twice is stored once."""

    def __init__(self) -> None:
        self.builder: Any = flatbuffers.Builder(1024)
        self.offsets: dict[int, int] = {}

    def table(self, table: Table, fields: Fields) -> int:
        if id(fields) in self.offsets:
            return self.offsets[id(fields)]
        values = {
            field: value if field.kind.is_scalar else self._reference(table, field, value)
            for field in table.fields
            if (value := fields.get(field.name)) is not None
        }
        builder = self.builder
        builder.StartObject(1 + max((field.id for field in table.fields), default=-1))
        for field, value in values.items():
            if field.kind.is_scalar:
                method = f"Prepend{field.kind.name.capitalize()}Slot"
                getattr(builder, method)(field.id, value, None)
            else:
                builder.PrependUOffsetTRelativeSlot(field.id, value, 0)
        self.offsets[id(fields)] = builder.EndObject()
        return self.offsets[id(fields)]

    def _reference(self, table: Table, field: schema.Field, value: Any) -> int:
        if id(value) in self.offsets and not isinstance(value, int):
            return self.offsets[id(value)]
        offset = self._store(table, field, value)
        self.offsets[id(value)] = offset
        return offset

    def _store(self, table: Table, field: schema.Field, value: Any) -> int:
        builder = self.builder
        offset: int
        if field.kind is Kind.STRING:
            offset = builder.CreateString(value)
        elif field.kind is Kind.BYTES:
            offset = builder.CreateByteVector(bytes(value))
        elif field.kind is Kind.TABLE:
            offset = self.table(value.get("table", _CHILDREN.get(field.name, _EMPTY)), value)
        elif field.kind is Kind.TABLES:
            offsets = [self.table(_CHILDREN.get(field.name, _EMPTY), child) for child in value]
            builder.StartVector(4, len(offsets), 4)
            for child in reversed(offsets):
                builder.PrependUOffsetTRelative(child)
            offset = builder.EndVector()
        else:
            offset = builder.CreateNumpyVector(np.array(value, _DTYPES[field.kind]))
        return offset


_EMPTY = Table("empty")


def raw(model: Fields) -> bytes:
    """The file of a model's fields, named as in the schema, nested."""
    writer = _Raw()
    writer.builder.Finish(writer.table(schema.MODEL, model), file_identifier=schema.IDENTIFIER)
    return bytes(writer.builder.Output())


def wordy() -> Fields:
    """A model such as TFLite's own converter writes: with an empty buffer for each value."""
    kernel = np.arange(2 * 3 * 3 * 2, dtype=np.int32) & 0xFF
    options = {
        "channels_in": 40,
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": 0,
        "pad_values": 1,
        "padding": 0,
        "stride_height": 1,
        "stride_width": 1,
    }
    return {
        "version": 3,
        "description": "MLIR Converted.",
        "operator_codes": [
            {"deprecated_builtin_code": 3, "version": 1, "builtin_code": 3},
            {"deprecated_builtin_code": 32, "custom_code": "LceQuantize", "builtin_code": 32},
            {"deprecated_builtin_code": 32, "custom_code": "LceBconv2d", "builtin_code": 32},
        ],
        "buffers": [
            {},
            {"data": b""},
            {"data": np.zeros(40 * 3, np.float32).tobytes()},
            {"data": kernel.tobytes()},
            {"data": np.ones(2, np.float32).tobytes()},
            {},
            {},
            {},
            {"data": b"1.5.0\0\0\0"},
            {"data": np.ones(40, np.float32).tobytes()},
        ],
        "metadata": [{"name": "min_runtime_version", "buffer": 8}],
        "metadata_buffer": [8],
        "signature_defs": [
            {
                "inputs": [{"name": "image", "tensor_index": 0}],
                "outputs": [{"name": "scores", "tensor_index": 6}],
                "signature_key": "serving_default",
            }
        ],
        "subgraphs": [
            {
                "name": "main",
                "inputs": [0],
                "outputs": [6],
                "tensors": [
                    {**_tensor("image", 1, (1, 4, 4, 3), 0), "shape_signature": [-1, 4, 4, 3]},
                    _tensor("kernel", 2, (40, 1, 1, 3), 0),
                    _tensor("conv", 5, (1, 4, 4, 40), 0),
                    _tensor("bits", 6, (1, 4, 4, 2), 2),
                    _tensor("binary kernel", 3, (2, 3, 3, 2), 2),
                    _tensor("scale", 4, (2,), 0),
                    _tensor("scores", 7, (1, 4, 4, 2), 0),
                    _tensor("bias", 9, (40,), 0),
                ],
                "operators": [
                    {
                        "inputs": [0, 1, 7],
                        "outputs": [2],
                        "builtin_options_type": 1,
                        "builtin_options": {
                            "table": schema.CONV_2D_OPTIONS,
                            "padding": 0,
                            "stride_w": 1,
                            "stride_h": 1,
                        },
                    },
                    {"opcode_index": 1, "inputs": [2], "outputs": [3], "custom_options": b""},
                    {
                        "opcode_index": 2,
                        "inputs": [3, 4, 5, 5, -1],
                        "outputs": [6],
                        "custom_options": write_map(options),
                        "intermediates": [],
                    },
                ],
            }
        ],
    }


def pooled() -> Fields:
    """A model of LceBMaxPool2d, LceDequantize, AVERAGE_POOL_2D, and FULLY_CONNECTED."""
    window = {
        "filter_height": 2,
        "filter_width": 2,
        "padding": 1,
        "stride_height": 2,
        "stride_width": 2,
    }
    codes = [("LceBMaxPool2d", 32), ("LceDequantize", 32), (None, 1), (None, 22), (None, 9)]
    return {
        "version": 3,
        "operator_codes": [
            {"custom_code": name, "deprecated_builtin_code": code, "builtin_code": code}
            for name, code in codes
        ],
        "buffers": [
            {},
            {"data": np.ones((5, 40), np.float32).tobytes()},
            {"data": bytes(20)},
            {"data": np.array([1, 40], np.int32).tobytes()},
        ],
        "subgraphs": [
            {
                "inputs": [0],
                "outputs": [7, 2],
                "tensors": [
                    _tensor("bits", 0, (1, 4, 4, 2), 2),
                    _tensor("pooled bits", 0, (1, 2, 2, 2), 2),
                    _tensor("values", 0, (1, 2, 2, 40), 0),
                    _tensor("mean", 0, (1, 1, 1, 40), 0),
                    _tensor("flat", 0, (1, 40), 0),
                    _tensor("weights", 1, (5, 40), 0),
                    _tensor("bias", 2, (5,), 0),
                    _tensor("scores", 0, (1, 5), 0),
                    _tensor("shape", 3, (2,), 2),
                ],
                "operators": [
                    {"inputs": [0], "outputs": [1], "custom_options": write_map(window)},
                    {"opcode_index": 1, "inputs": [1], "outputs": [2]},
                    {
                        "opcode_index": 2,
                        "inputs": [2],
                        "outputs": [3],
                        "builtin_options_type": 5,
                        "builtin_options": {
                            "table": schema.POOL_2D_OPTIONS,
                            "padding": 1,
                            "stride_w": 1,
                            "stride_h": 1,
                            "filter_width": 2,
                            "filter_height": 2,
                        },
                    },
                    {"opcode_index": 3, "inputs": [3, 8], "outputs": [4]},
                    {
                        "opcode_index": 4,
                        "inputs": [4, 5, 6],
                        "outputs": [7],
                        "builtin_options_type": 8,
                        "builtin_options": {"table": schema.FULLY_CONNECTED_OPTIONS},
                    },
                ],
            }
        ],
    }


def _tensor(name: str, buffer: int, shape: tuple[int, ...], kind: int) -> Fields:
    return {
        "shape": list(shape),
        "type": kind,
        "buffer": buffer,
        "name": name,
        "quantization": {"scale": [], "quantized_dimension": 0},
        "has_rank": True,
    }
