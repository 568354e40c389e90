"""Reading TFLite files, with LCE's operators, that nobody vouches for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

from . import schema
from .builtin_names import builtin_name
from .check import check
from .flatbuffer import File, TableView
from .flexbuffer import read_map
from .model import ABSENT, Model, Operator, Option, Tensor
from .placed import quoted
from .schema import BUILTINS, CUSTOM, DTYPES, OPERATORS, Kind, OperatorSpec, TensorType

# What tensors, operators and their options take in memory, in bytes, without names and lists.
_TENSOR_COST = 200
_OPERATOR_COST = 300
_OPTION_COST = 40


def is_tflite(data: bytes) -> bool:
    """Whether the bytes are those of a TFLite file, as far as their beginning says."""
    return data[4:8] == schema.IDENTIFIER


def read(data: bytes, name: str = "the TFLite file") -> Model:
    """The model of a .tflite file. Its constants are read-only views of `data`.

    All of the file that the model comes from is checked: a model that is returned
    is one that `write` would take. Of signatures only the outputs' names are read.

    Args:
        data: all of the file.
        name: what messages call the file.

    Raises:
        ModelError: the file is damaged, or has something that is not supported.
    """
    return _Reader(data, name).model()


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        if len(data) > schema.LARGEST_FILE:
            raise ModelError(f"{name}: {len(data)} bytes are more than a TFLite file can have")
        self.file = File(data, name)
        if not is_tflite(data):
            raise ModelError(f"{name}: not a TFLite file: bytes 4 to 7 are not 'TFL3'")
        self.root = self.file.root(schema.MODEL)

    def model(self) -> Model:
        root = self.root
        if root.number("version") != schema.VERSION:
            root.fail(f"version is {root.number('version')}, and has to be {schema.VERSION}")
        if root.length("subgraphs") != 1:
            root.fail(f"it has {root.length('subgraphs')} graphs, and has to have one")
        (graph,) = root.children("subgraphs", schema.SUBGRAPH)
        self.buffers = [self._buffer(b) for b in root.children("buffers", schema.BUFFER)]
        self._refuse_overlaps()
        self.codes = [self._code(c) for c in root.children("operator_codes", schema.OPERATOR_CODE)]
        tensors = [self._tensor(t) for t in graph.children("tensors", schema.TENSOR)]
        # One object for each number keeps long lists of them small.
        self.numbers = [*range(len(tensors)), ABSENT]
        model = Model(
            tensors,
            [self._operator(o) for o in graph.children("operators", schema.OPERATOR)],
            self._indices(graph, "inputs"),
            self._indices(graph, "outputs"),
            root.string("description"),
            self._metadata(),
        )
        model.output_names = self._output_names(model.outputs)
        self._fill_empty_constants(model)
        check(model, self.file.name)
        return model

    def _buffer(self, buffer: TableView) -> tuple[int, int]:
        """First byte and length of its data."""
        if buffer.number("offset") or buffer.number("size"):
            buffer.fail(
                "its data stands after the model, which is not supported: "
                "convert the model to a file of less than 2 GB"
            )
        return buffer.vector("data")

    def _refuse_overlaps(self) -> None:
        """So that all of the constants are no more than the file, however many there are."""
        end = 0
        for start, size in sorted({buffer for buffer in self.buffers if buffer[1]}):
            if start < end:
                self.root.fail(f"its buffers overlap at byte {start}")
            end = start + size

    def _code(self, code: TableView) -> OperatorSpec:
        number = max(code.integer("deprecated_builtin_code"), code.integer("builtin_code"))
        if code.integer("version") < 1:
            code.fail(f"version is {code.number('version')}, and has to be at least 1")
        spec: OperatorSpec | None
        if number == CUSTOM:
            name = code.string("custom_code")
            spec = OPERATORS.get(name)
            if spec is None or spec.code != CUSTOM:
                known = ", ".join(spec.name for spec in OPERATORS.values() if spec.code == CUSTOM)
                code.fail(f"there is no custom operator {quoted(name)} here, only {known}")
        else:
            spec = BUILTINS.get(number)
            if spec is None:
                code.fail(f"TFLite's operator {builtin_name(number)} is not supported")
        return spec

    def _tensor(self, tensor: TableView) -> Tensor:
        self.file.charge(_TENSOR_COST, tensor.where)
        name = tensor.string("name")
        tensor.where = f"{tensor.where} {quoted(name)}"
        kind = tensor.integer("type")
        if kind not in set(TensorType):
            known = ", ".join(f"{entry.name.lower()} ({entry})" for entry in TensorType)
            tensor.fail(f"its type is {kind}, and has to be one of {known}")
        if tensor.number("is_variable"):
            tensor.fail("it is a variable, which keeps its value between runs: not supported")
        if tensor.has("sparsity"):
            tensor.fail("it is stored as a sparse matrix: convert the model without sparsity")
        if tensor.has("variant_tensors"):
            tensor.fail("it is a variant, which is not supported")
        self._refuse_quantization(tensor)
        shape = self._shape(tensor)
        number = tensor.integer("buffer")
        if number >= len(self.buffers):
            tensor.fail(f"its buffer is {number}, and there are {len(self.buffers)}")
        dtype = DTYPES[TensorType(kind)]
        return Tensor(name, shape, dtype, self._data(tensor, shape, dtype, number))

    def _shape(self, tensor: TableView) -> tuple[int, ...]:
        rank = tensor.length("shape")
        if rank > schema.MAX_RANK:
            tensor.fail(f"it has {rank} dimensions, more than {schema.MAX_RANK}")
        shape = tuple(tensor.integers("shape").tolist())
        if any(size < 0 for size in shape):
            tensor.fail(f"its shape is {list(shape)}: set all sizes when converting")
        if signature := tensor.length("shape_signature"):
            if signature != rank:
                tensor.fail(f"its shape has {rank} dimensions, its signature {signature}")
            given = tuple(tensor.integers("shape_signature").tolist())
            # The batch may be left open: then TFLite takes the shape's.
            if given[1:] != shape[1:] or given[0] not in (-1, shape[0]):
                tensor.fail(
                    f"its shape {list(shape)} may vary as {list(given)}: only the first size may "
                    "be open; set the others when converting"
                )
            if given[0] == -1 and shape[0] != 1:
                tensor.fail(f"its first size is open, and {shape[0]}, not 1, in its shape")
        return shape

    def _refuse_quantization(self, tensor: TableView) -> None:
        quantization = tensor.child("quantization", schema.QUANTIZATION)
        if quantization is None:
            return
        if (
            quantization.length("scale")
            or quantization.length("zero_point")
            or quantization.number("details_type")
        ):
            tensor.fail("it is quantised: convert the model with float layers, not int8 ones")

    def _data(
        self,
        tensor: TableView,
        shape: Sequence[int],
        dtype: np.dtype[np.generic],
        number: int,
    ) -> NDArray[np.generic] | None:
        """The constant in a buffer; None, if that is empty, for a value that is computed."""
        start, size = self.buffers[number]
        if not size:
            return None
        count = math.prod(shape)
        if count * dtype.itemsize != size:
            tensor.fail(
                f"its data is {size} bytes long, and {dtype}{list(shape)} takes "
                f"{count * dtype.itemsize}"
            )
        return np.frombuffer(self.file.data, dtype, count, start).reshape(shape)

    def _operator(self, operator: TableView) -> Operator:
        code = operator.integer("opcode_index")
        if code >= len(self.codes):
            operator.fail(f"its code is {code}, and there are {len(self.codes)}")
        spec = self.codes[code]
        self.file.charge(_OPERATOR_COST + _OPTION_COST * len(spec.options.fields), operator.where)
        operator.where = f"{operator.where} ({spec.name})"
        for name in ("intermediates", "large_custom_options_offset", "builtin_options_2_type"):
            if operator.has(name) and (name != "intermediates" or operator.length(name)):
                operator.fail(f"it has {name}, which is not supported")
        if any(operator.bytes("mutating_variable_inputs")[: len(self.numbers)]):
            operator.fail("it changes its inputs, which is not supported")
        return Operator(
            spec.name,
            self._indices(operator, "inputs"),
            self._indices(operator, "outputs"),
            self._custom(operator, spec) if spec.code == CUSTOM else self._options(operator, spec),
        )

    def _options(self, operator: TableView, spec: OperatorSpec) -> dict[str, Option]:
        union = operator.integer("builtin_options_type")
        if union not in (0, spec.options.union_id):
            operator.fail(
                f"its options have the type {union}, and have to be {spec.options.name} "
                f"({spec.options.union_id})"
            )
        table = operator.child("builtin_options", spec.options)
        if (table is None) != (union == 0):
            operator.fail("its options have a type without a table, or a table without a type")
        options: dict[str, Option] = {}
        for field in spec.options.fields:
            if field.kind is Kind.INTS:
                if table is not None and table.length(field.name) > schema.MAX_RANK:
                    table.fail(f"{field.name} has more than {schema.MAX_RANK} entries")
                options[field.name] = (
                    () if table is None else tuple(table.integers(field.name).tolist())
                )
            else:
                options[field.name] = field.default if table is None else table.number(field.name)
        return options

    def _custom(self, operator: TableView, spec: OperatorSpec) -> dict[str, Option]:
        if operator.number("custom_options_format"):
            operator.fail("custom_options_format has to be 0 (flexbuffers)")
        if operator.number("builtin_options_type"):
            operator.fail("it is a custom operator with options of a builtin one")
        if not spec.options.fields:
            return {}
        raw = operator.bytes("custom_options")
        try:
            values = read_map(raw)
        except ModelError as error:
            operator.fail(f"custom_options: {error}")
        options: dict[str, Option] = {}
        for field in spec.options.fields:
            if field.name not in values:
                operator.fail(f"the option {field.name} is missing, or no integer")
            options[field.name] = values[field.name]
        return options

    def _indices(self, table: TableView, name: str) -> list[int]:
        """Indices of tensors; `ABSENT` may be among them."""
        indices = table.integers(name)
        count = len(self.numbers) - 1
        self.file.charge(16 * len(indices), table.where)
        if len(indices) and (indices.min() < ABSENT or indices.max() >= count):
            table.fail(f"its {name} are {indices[:8].tolist()}: there are {count} tensors")
        return [self.numbers[index] for index in indices]

    def _metadata(self) -> dict[str, bytes]:
        metadata: dict[str, bytes] = {}
        for entry in self.root.children("metadata", schema.METADATA):
            name = entry.string("name")
            number = entry.integer("buffer")
            if number >= len(self.buffers):
                entry.fail(f"its buffer is {number}, and there are {len(self.buffers)}")
            if name in metadata:
                entry.fail(f"{quoted(name)} is there twice")
            start, size = self.buffers[number]
            self.file.charge(size, entry.where)
            metadata[name] = bytes(self.file.data[start : start + size])
        return metadata

    def _output_names(self, outputs: list[int]) -> list[str]:
        """What the first signature that names all outputs calls them."""
        for signature in self.root.children("signature_defs", schema.SIGNATURE_DEF):
            named: dict[int, list[str]] = {}
            for entry in signature.children("outputs", schema.TENSOR_MAP):
                named.setdefault(entry.integer("tensor_index"), []).append(entry.string("name"))
            if named.keys() >= {*outputs}:
                # A tensor that is several outputs has a name for each.
                return [named[i].pop(0) if len(named[i]) > 1 else named[i][0] for i in outputs]
        return []

    def _fill_empty_constants(self, model: Model) -> None:
        """A value without elements that nothing computes is a constant without bytes."""
        computed = {index for operator in model.operators for index in operator.outputs}
        computed.update(model.inputs)
        for index, tensor in enumerate(model.tensors):
            if tensor.data is None and 0 in tensor.shape and index not in computed:
                tensor.data = np.frombuffer(b"", tensor.dtype).reshape(tensor.shape)
