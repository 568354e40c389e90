"""Writing TFLite files, with LCE's operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import flatbuffers
import numpy as np

from sbn_runtime.errors import ModelError

from . import schema
from .check import check
from .flexbuffer import write_map
from .model import Model, Operator, Option
from .schema import OPERATORS, Field, Kind, OperatorSpec, Table
from .versions import version


def write(model: Model) -> bytes:
    """The bytes of a .tflite file: the same ones for the same model.

    Constants that are equal are stored once.

    Raises:
        ModelError: the model is not one that TFLite or LCE would run, or is too large.
    """
    check(model, "the model")
    return _Writer(model).finish()


class _Writer:
    """Writes from the leaves to the root, as flatbuffers are written."""

    def __init__(self, model: Model) -> None:
        self.model = model
        constants = sum(t.data.nbytes for t in model.tensors if t.data is not None)
        if constants > schema.LARGEST_FILE - 2**24:
            raise ModelError(f"a TFLite file ends at 2 GB, and the weights are {constants} bytes")
        self.builder: Any = flatbuffers.Builder(constants + 2**16)
        # By convention, buffer 0 is empty: that of tensors without data.
        self.buffers = [self._table(schema.BUFFER, {})]
        self.buffer_of: dict[bytes, int] = {b"": 0}

    def finish(self) -> bytes:
        model = self.model
        metadata = [
            self._table(
                schema.METADATA, {"name": self._string(name), "buffer": self._buffer(value)}
            )
            for name, value in sorted(model.metadata.items())
        ]
        tensors = [self._tensor(index) for index in range(len(model.tensors))]
        codes: dict[tuple[str, int], int] = {}
        operators = [self._operator(operator, codes) for operator in model.operators]
        subgraph = self._table(
            schema.SUBGRAPH,
            {
                "tensors": self._tables(tensors),
                "inputs": self._integers(model.inputs),
                "outputs": self._integers(model.outputs),
                "operators": self._tables(operators),
                "name": self._string("main"),
            },
        )
        root = self._table(
            schema.MODEL,
            {
                "version": schema.VERSION,
                "operator_codes": self._tables([self._code(*code) for code in codes]),
                "subgraphs": self._tables([subgraph]),
                "description": self._string(model.description) if model.description else None,
                "buffers": self._tables(self.buffers),
                "metadata": self._tables(metadata) if metadata else None,
                "signature_defs": self._tables([self._signature()]),
            },
        )
        self.builder.Finish(root, file_identifier=schema.IDENTIFIER)
        return bytes(self.builder.Output())

    def _tensor(self, index: int) -> int:
        tensor = self.model.tensors[index]
        buffer = 0
        if tensor.data is not None:
            buffer = self._buffer(np.ascontiguousarray(tensor.data).tobytes())
        return self._table(
            schema.TENSOR,
            {
                "shape": self._integers(tensor.shape),
                "type": schema.TENSOR_TYPES[tensor.dtype.newbyteorder("<")],
                "buffer": buffer,
                "name": self._string(tensor.name),
                "has_rank": True,
            },
        )

    def _operator(self, operator: Operator, codes: dict[tuple[str, int], int]) -> int:
        spec = OPERATORS[operator.name]
        code = (operator.name, version(self.model, operator))
        fields: dict[str, int | None] = {
            "opcode_index": codes.setdefault(code, len(codes)),
            "inputs": self._integers(operator.inputs),
            "outputs": self._integers(operator.outputs),
        }
        if spec.options.fields and spec.code == schema.CUSTOM:
            fields["custom_options"] = self._bytes(_flexbuffer(spec, operator.options))
        elif spec.options.fields:
            fields["builtin_options_type"] = spec.options.union_id
            fields["builtin_options"] = self._options(spec, operator.options)
        return self._table(schema.OPERATOR, fields)

    def _options(self, spec: OperatorSpec, options: Mapping[str, Option]) -> int:
        values: dict[str, int | float | None] = {}
        for field in spec.options.fields:
            value = options.get(field.name)
            if isinstance(value, tuple):
                value = self._integers(value)
            values[field.name] = value
        return self._table(spec.options, values)

    def _code(self, name: str, number: int) -> int:
        spec = OPERATORS[name]
        return self._table(
            schema.OPERATOR_CODE,
            {
                "deprecated_builtin_code": min(spec.code, schema.LARGE_CODE),
                "custom_code": self._string(name) if spec.code == schema.CUSTOM else None,
                "version": number,
                "builtin_code": spec.code,
            },
        )

    def _signature(self) -> int:
        model = self.model
        of_tensors = [[model.tensors[i].name for i in ids] for ids in (model.inputs, model.outputs)]
        names = {"inputs": of_tensors[0], "outputs": model.output_names or of_tensors[1]}
        sides = {
            side: self._tables(
                [
                    self._table(
                        schema.TENSOR_MAP, {"name": self._string(name), "tensor_index": index}
                    )
                    for name, index in zip(names[side], indices, strict=True)
                ]
            )
            for side, indices in (("inputs", model.inputs), ("outputs", model.outputs))
        }
        return self._table(
            schema.SIGNATURE_DEF, {**sides, "signature_key": self._string(schema.SIGNATURE)}
        )

    def _buffer(self, data: bytes) -> int:
        """The number of a buffer with these bytes."""
        number = self.buffer_of.get(data)
        if number is None:
            number = self.buffer_of[data] = len(self.buffers)
            self.builder.Prep(schema.BUFFER_ALIGNMENT, len(data))
            self.buffers.append(self._table(schema.BUFFER, {"data": self._bytes(data)}))
        return number

    def _bytes(self, data: bytes) -> int:
        offset: int = self.builder.CreateByteVector(data)
        return offset

    def _string(self, text: str) -> int:
        offset: int = self.builder.CreateString(text)
        return offset

    def _integers(self, values: Iterable[int]) -> int:
        offset: int = self.builder.CreateNumpyVector(np.array([*values], np.int32))
        return offset

    def _tables(self, offsets: list[int]) -> int:
        builder = self.builder
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        end: int = builder.EndVector()
        return end

    def _table(self, table: Table, values: Mapping[str, int | float | None]) -> int:
        """A table. values: of its fields, offsets for what is stored elsewhere."""
        builder = self.builder
        builder.StartObject(1 + max((field.id for field in table.fields), default=-1))
        # The widest first: then nothing is lost to alignment.
        for field in sorted(table.fields, key=lambda field: -field.kind.inline_width):
            value = values.get(field.name)
            if value is not None:
                _SLOTS[field.kind](builder, field, value)
        end: int = builder.EndObject()
        return end


def _flexbuffer(spec: OperatorSpec, options: Mapping[str, Option]) -> bytes:
    """LCE's operators take integers; all of them have to be there."""
    values = {}
    for field in spec.options.fields:
        value = options[field.name]
        if isinstance(value, tuple):
            raise ModelError(f"{spec.name}: {field.name} is {value}, and has to be a number")
        values[field.name] = int(value)
    return write_map(values)


def _scalar(method: str) -> Any:
    def place(builder: Any, field: Field, value: int | float) -> None:
        getattr(builder, method)(field.id, value, field.default)

    return place


def _offset(builder: Any, field: Field, value: int) -> None:
    builder.PrependUOffsetTRelativeSlot(field.id, value, 0)


_SLOTS = {
    Kind.BOOL: _scalar("PrependBoolSlot"),
    Kind.INT8: _scalar("PrependInt8Slot"),
    Kind.UINT8: _scalar("PrependUint8Slot"),
    Kind.INT32: _scalar("PrependInt32Slot"),
    Kind.UINT32: _scalar("PrependUint32Slot"),
    Kind.FLOAT32: _scalar("PrependFloat32Slot"),
    **{kind: _offset for kind in Kind if not kind.is_scalar},
}
