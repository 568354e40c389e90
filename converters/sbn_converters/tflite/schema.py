"""The part of TFLite's schema that sbn-deploy writes and reads, and the operators of LCE.

Said once: the writer, the reader and the checks all work from these tables. A
table's fields are numbered as in TFLite's schema.fbs, version 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from struct import calcsize

import numpy as np

IDENTIFIER = b"TFL3"
VERSION = 3
CUSTOM = 32
# Operator codes from here on do not fit `deprecated_builtin_code`.
LARGE_CODE = 127
# Offsets in a flatbuffer are signed 32-bit numbers.
LARGEST_FILE = 2**31 - 1
# The most that a dimension may be: shapes are int32.
LARGEST_SIZE = 2**31 - 1
# The most dimensions that a TFLite kernel takes.
MAX_RANK = 8
_FLOAT32 = np.finfo(np.float32)
# What `Buffer.data` is aligned to.
BUFFER_ALIGNMENT = 16
SIGNATURE = "serving_default"


class Kind(Enum):
    """Type of a field. Of a scalar, struct's format."""

    BOOL = "?"
    INT8 = "b"
    UINT8 = "B"
    INT32 = "i"
    UINT32 = "I"
    UINT64 = "Q"
    FLOAT32 = "f"
    BYTES = "bytes"
    INTS = "ints"
    LONGS = "longs"
    FLOATS = "floats"
    STRING = "string"
    TABLE = "table"
    TABLES = "tables"

    @property
    def is_scalar(self) -> bool:
        """Whether the value itself stands in the table, not an offset to it."""
        return len(self.value) == 1

    @property
    def inline_width(self) -> int:
        """Bytes that the field takes in its table: a scalar, or an offset."""
        return calcsize("<" + self.value) if self.is_scalar else 4

    @property
    def element_width(self) -> int:
        """Bytes of an element of a vector."""
        return {Kind.BYTES: 1, Kind.STRING: 1, Kind.LONGS: 8}.get(self, 4)


class Padding(IntEnum):
    """How a window treats the border."""

    SAME = 0
    VALID = 1


class Activation(IntEnum):
    """ActivationFunctionType: what an operator applies to its result."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


class WeightsFormat(IntEnum):
    """FullyConnectedOptionsWeightsFormat: the order of the weights."""

    DEFAULT = 0


class TensorType(IntEnum):
    """Element types that numpy has too."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    BOOL = 6
    INT16 = 7
    INT8 = 9
    FLOAT64 = 10
    UINT64 = 12
    UINT32 = 15
    UINT16 = 16


DTYPES: dict[TensorType, np.dtype[np.generic]] = {
    kind: np.dtype(kind.name.lower()).newbyteorder("<") for kind in TensorType
}
TENSOR_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Field:
    """A field of a table.

    low, high: the least and the greatest value that an option may have.
    values: the enumeration that the value comes from.
    """

    name: str
    id: int
    kind: Kind
    default: int | float | bool = 0
    low: float | None = None
    high: float | None = None
    values: type[IntEnum] | None = None


@dataclass(frozen=True)
class Table:
    """A table of the schema. union_id: its number in the union BuiltinOptions."""

    name: str
    fields: tuple[Field, ...] = ()
    union_id: int = 0

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}

    @cached_property
    def by_id(self) -> dict[int, Field]:
        """The fields by number."""
        return {field.id: field for field in self.fields}


# What the reader refuses is named too: it has to see that a field is set.
BUFFER = Table(
    "Buffer",
    (
        Field("data", 0, Kind.BYTES),
        Field("offset", 1, Kind.UINT64),
        Field("size", 2, Kind.UINT64),
    ),
)
QUANTIZATION = Table(
    "QuantizationParameters",
    (
        Field("min", 0, Kind.FLOATS),
        Field("max", 1, Kind.FLOATS),
        Field("scale", 2, Kind.FLOATS),
        Field("zero_point", 3, Kind.LONGS),
        Field("details_type", 4, Kind.UINT8),
        Field("details", 5, Kind.TABLE),
        Field("quantized_dimension", 6, Kind.INT32),
    ),
)
TENSOR = Table(
    "Tensor",
    (
        Field("shape", 0, Kind.INTS),
        Field("type", 1, Kind.INT8),
        Field("buffer", 2, Kind.UINT32),
        Field("name", 3, Kind.STRING),
        Field("quantization", 4, Kind.TABLE),
        Field("is_variable", 5, Kind.BOOL),
        Field("sparsity", 6, Kind.TABLE),
        Field("shape_signature", 7, Kind.INTS),
        Field("has_rank", 8, Kind.BOOL),
        Field("variant_tensors", 9, Kind.TABLES),
    ),
)
OPERATOR_CODE = Table(
    "OperatorCode",
    (
        Field("deprecated_builtin_code", 0, Kind.INT8),
        Field("custom_code", 1, Kind.STRING),
        Field("version", 2, Kind.INT32, default=1),
        Field("builtin_code", 3, Kind.INT32),
    ),
)
OPERATOR = Table(
    "Operator",
    (
        Field("opcode_index", 0, Kind.UINT32),
        Field("inputs", 1, Kind.INTS),
        Field("outputs", 2, Kind.INTS),
        Field("builtin_options_type", 3, Kind.UINT8),
        Field("builtin_options", 4, Kind.TABLE),
        Field("custom_options", 5, Kind.BYTES),
        Field("custom_options_format", 6, Kind.INT8),
        Field("mutating_variable_inputs", 7, Kind.BYTES),
        Field("intermediates", 8, Kind.INTS),
        Field("large_custom_options_offset", 9, Kind.UINT64),
        Field("large_custom_options_size", 10, Kind.UINT64),
        Field("builtin_options_2_type", 11, Kind.UINT8),
        Field("builtin_options_2", 12, Kind.TABLE),
        Field("debug_metadata_index", 13, Kind.INT32, default=-1),
    ),
)
SUBGRAPH = Table(
    "SubGraph",
    (
        Field("tensors", 0, Kind.TABLES),
        Field("inputs", 1, Kind.INTS),
        Field("outputs", 2, Kind.INTS),
        Field("operators", 3, Kind.TABLES),
        Field("name", 4, Kind.STRING),
        Field("debug_metadata_index", 5, Kind.INT32, default=-1),
    ),
)
METADATA = Table(
    "Metadata",
    (Field("name", 0, Kind.STRING), Field("buffer", 1, Kind.UINT32)),
)
TENSOR_MAP = Table(
    "TensorMap",
    (Field("name", 0, Kind.STRING), Field("tensor_index", 1, Kind.UINT32)),
)
SIGNATURE_DEF = Table(
    "SignatureDef",
    (
        Field("inputs", 0, Kind.TABLES),
        Field("outputs", 1, Kind.TABLES),
        Field("signature_key", 2, Kind.STRING),
        Field("subgraph_index", 4, Kind.UINT32),
    ),
)
MODEL = Table(
    "Model",
    (
        Field("version", 0, Kind.UINT32),
        Field("operator_codes", 1, Kind.TABLES),
        Field("subgraphs", 2, Kind.TABLES),
        Field("description", 3, Kind.STRING),
        Field("buffers", 4, Kind.TABLES),
        Field("metadata_buffer", 5, Kind.INTS),
        Field("metadata", 6, Kind.TABLES),
        Field("signature_defs", 7, Kind.TABLES),
    ),
)


def _size(name: str, number: int, default: int = 0) -> Field:
    """A stride, dilation or window size: at least 1."""
    return Field(name, number, Kind.INT32, default, low=1, high=2**16)


def _padding(number: int) -> Field:
    return Field("padding", number, Kind.INT8, values=Padding)


def _activation(number: int) -> Field:
    return Field("fused_activation_function", number, Kind.INT8, values=Activation)


def _axis(number: int) -> Field:
    return Field("axis", number, Kind.INT32, low=-MAX_RANK, high=MAX_RANK - 1)


def _mask(name: str, number: int) -> Field:
    """A bit for each dimension."""
    return Field(name, number, Kind.INT32, low=0, high=2**MAX_RANK - 1)


CONV_2D_OPTIONS = Table(
    "Conv2DOptions",
    (
        _padding(0),
        _size("stride_w", 1),
        _size("stride_h", 2),
        _activation(3),
        _size("dilation_w_factor", 4, default=1),
        _size("dilation_h_factor", 5, default=1),
        Field("quantized_bias_type", 6, Kind.INT8, values=TensorType),
    ),
    union_id=1,
)
DEPTHWISE_CONV_2D_OPTIONS = Table(
    "DepthwiseConv2DOptions",
    (
        _padding(0),
        _size("stride_w", 1),
        _size("stride_h", 2),
        # TFLite's kernels take it from the shapes.
        Field("depth_multiplier", 3, Kind.INT32, low=0, high=LARGEST_SIZE),
        _activation(4),
        _size("dilation_w_factor", 5, default=1),
        _size("dilation_h_factor", 6, default=1),
    ),
    union_id=2,
)
POOL_2D_OPTIONS = Table(
    "Pool2DOptions",
    (
        _padding(0),
        _size("stride_w", 1),
        _size("stride_h", 2),
        _size("filter_width", 3),
        _size("filter_height", 4),
        _activation(5),
    ),
    union_id=5,
)
TRANSPOSE_CONV_OPTIONS = Table(
    "TransposeConvOptions",
    (
        _padding(0),
        _size("stride_w", 1),
        _size("stride_h", 2),
        _activation(3),
        Field("quantized_bias_type", 4, Kind.INT8, values=TensorType),
    ),
    union_id=49,
)
FULLY_CONNECTED_OPTIONS = Table(
    "FullyConnectedOptions",
    (
        _activation(0),
        Field("weights_format", 1, Kind.INT8, values=WeightsFormat),
        Field("keep_num_dims", 2, Kind.BOOL, default=False),
        Field("asymmetric_quantize_inputs", 3, Kind.BOOL, default=False),
        Field("quantized_bias_type", 4, Kind.INT8, values=TensorType),
    ),
    union_id=8,
)
SOFTMAX_OPTIONS = Table(
    "SoftmaxOptions",
    # TFLite's default is 0, with which all classes would be as likely.
    (Field("beta", 0, Kind.FLOAT32, 0.0, low=float(_FLOAT32.tiny), high=float(_FLOAT32.max)),),
    union_id=9,
)
CONCATENATION_OPTIONS = Table("ConcatenationOptions", (_axis(0), _activation(1)), union_id=10)
ADD_OPTIONS = Table(
    "AddOptions",
    (_activation(0), Field("pot_scale_int16", 1, Kind.BOOL, default=True)),
    union_id=11,
)
RESHAPE_OPTIONS = Table(
    "ReshapeOptions", (Field("new_shape", 0, Kind.INTS, low=-1, high=LARGEST_SIZE),), union_id=17
)
MUL_OPTIONS = Table("MulOptions", (_activation(0),), union_id=21)
REDUCER_OPTIONS = Table(
    "ReducerOptions", (Field("keep_dims", 0, Kind.BOOL, default=False),), union_id=27
)
SUB_OPTIONS = Table(
    "SubOptions",
    (_activation(0), Field("pot_scale_int16", 1, Kind.BOOL, default=True)),
    union_id=28,
)
DIV_OPTIONS = Table("DivOptions", (_activation(0),), union_id=29)
SQUEEZE_OPTIONS = Table(
    "SqueezeOptions",
    (Field("squeeze_dims", 0, Kind.INTS, low=-MAX_RANK, high=MAX_RANK - 1),),
    union_id=30,
)
STRIDED_SLICE_OPTIONS = Table(
    "StridedSliceOptions",
    (
        _mask("begin_mask", 0),
        _mask("end_mask", 1),
        _mask("ellipsis_mask", 2),
        _mask("new_axis_mask", 3),
        _mask("shrink_axis_mask", 4),
        Field("offset", 5, Kind.BOOL, default=False),
    ),
    union_id=32,
)
SPLIT_OPTIONS = Table("SplitOptions", (_size("num_splits", 0),), union_id=35)
CAST_OPTIONS = Table(
    "CastOptions",
    (
        Field("in_data_type", 0, Kind.INT8, values=TensorType),
        Field("out_data_type", 1, Kind.INT8, values=TensorType),
    ),
    union_id=37,
)
PACK_OPTIONS = Table("PackOptions", (_size("values_count", 0), _axis(1)), union_id=59)
LEAKY_RELU_OPTIONS = Table(
    "LeakyReluOptions",
    (Field("alpha", 0, Kind.FLOAT32, 0.0, low=float(_FLOAT32.min), high=float(_FLOAT32.max)),),
    union_id=75,
)
BATCH_MATMUL_OPTIONS = Table(
    "BatchMatMulOptions",
    (
        Field("adj_x", 0, Kind.BOOL, default=False),
        Field("adj_y", 1, Kind.BOOL, default=False),
        Field("asymmetric_quantize_inputs", 2, Kind.BOOL, default=False),
    ),
    union_id=101,
)
NO_OPTIONS = Table("no options")


@dataclass(frozen=True)
class OperatorSpec:
    """An operator of TFLite or LCE.

    code: TFLite's number, `CUSTOM` for LCE's operators.
    options: fields are those of LCE's flexbuffer map for LCE's operators.
    inputs, outputs: least and greatest number.
    absent: positions of inputs that may be `ABSENT`.
    """

    name: str
    code: int
    options: Table
    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)
    absent: tuple[int, ...] = ()


# The most inputs of an operator that takes any number.
MANY = 2**16


def _lce_options(name: str, fields: Sequence[tuple[str, int, int]]) -> Table:
    """A flexbuffer map: name, least and greatest value of integers that must all be there."""
    return Table(
        name,
        tuple(
            Field(field, number, Kind.INT32, low=low, high=high)
            for number, (field, low, high) in enumerate(fields)
        ),
    )


LCE_BCONV_2D_OPTIONS = _lce_options(
    "LceBconv2d's options",
    (
        ("channels_in", 1, 2**24),
        ("dilation_height_factor", 1, 2**16),
        ("dilation_width_factor", 1, 2**16),
        ("fused_activation_function", Activation.NONE, Activation.RELU6),
        ("pad_values", 0, 1),
        ("padding", Padding.SAME, Padding.VALID),
        ("stride_height", 1, 2**16),
        ("stride_width", 1, 2**16),
    ),
)
LCE_BMAX_POOL_2D_OPTIONS = _lce_options(
    "LceBMaxPool2d's options",
    (
        ("filter_height", 1, 2**16),
        ("filter_width", 1, 2**16),
        ("padding", Padding.SAME, Padding.VALID),
        ("stride_height", 1, 2**16),
        ("stride_width", 1, 2**16),
    ),
)


def _plain(name: str, code: int, union_id: int = 0, inputs: int = 1) -> OperatorSpec:
    """An operator without options. union_id: of its empty table of options, 0 if it has none."""
    options = Table(f"{name}'s options", union_id=union_id) if union_id else NO_OPTIONS
    return OperatorSpec(name, code, options, (inputs, inputs))


OPERATORS = {
    spec.name: spec
    for spec in (
        OperatorSpec("ADD", 0, ADD_OPTIONS, (2, 2)),
        OperatorSpec("AVERAGE_POOL_2D", 1, POOL_2D_OPTIONS, (1, 1)),
        OperatorSpec("CONCATENATION", 2, CONCATENATION_OPTIONS, (1, MANY)),
        OperatorSpec("CONV_2D", 3, CONV_2D_OPTIONS, (3, 3)),
        OperatorSpec("DEPTHWISE_CONV_2D", 4, DEPTHWISE_CONV_2D_OPTIONS, (2, 3)),
        _plain("DEQUANTIZE", 6, union_id=38),
        OperatorSpec("FULLY_CONNECTED", 9, FULLY_CONNECTED_OPTIONS, (2, 3), absent=(2,)),
        _plain("LOGISTIC", 14),
        OperatorSpec("MAX_POOL_2D", 17, POOL_2D_OPTIONS, (1, 1)),
        OperatorSpec("MUL", 18, MUL_OPTIONS, (2, 2)),
        _plain("RELU", 19),
        _plain("RELU_N1_TO_1", 20),
        _plain("RELU6", 21),
        OperatorSpec("RESHAPE", 22, RESHAPE_OPTIONS, (1, 2)),
        OperatorSpec("SOFTMAX", 25, SOFTMAX_OPTIONS, (1, 1)),
        _plain("TANH", 28),
        _plain("PAD", 34, union_id=22, inputs=2),
        _plain("TRANSPOSE", 39, union_id=26, inputs=2),
        OperatorSpec("MEAN", 40, REDUCER_OPTIONS, (2, 2)),
        OperatorSpec("SUB", 41, SUB_OPTIONS, (2, 2)),
        OperatorSpec("DIV", 42, DIV_OPTIONS, (2, 2)),
        OperatorSpec("SQUEEZE", 43, SQUEEZE_OPTIONS, (1, 1)),
        OperatorSpec("STRIDED_SLICE", 45, STRIDED_SLICE_OPTIONS, (4, 4)),
        _plain("EXP", 47, union_id=33),
        OperatorSpec("SPLIT", 49, SPLIT_OPTIONS, (2, 2), outputs=(1, MANY)),
        OperatorSpec("CAST", 53, CAST_OPTIONS, (1, 1)),
        _plain("PRELU", 54, inputs=2),
        _plain("MAXIMUM", 55, union_id=39, inputs=2),
        _plain("MINIMUM", 57, union_id=39, inputs=2),
        _plain("NEG", 59, union_id=42),
        _plain("PADV2", 60, union_id=43, inputs=3),
        _plain("SLICE", 65, union_id=48, inputs=3),
        OperatorSpec("TRANSPOSE_CONV", 67, TRANSPOSE_CONV_OPTIONS, (3, 4), absent=(3,)),
        _plain("EXPAND_DIMS", 70, union_id=52, inputs=2),
        _plain("LOG", 73),
        OperatorSpec("SUM", 74, REDUCER_OPTIONS, (2, 2)),
        _plain("SQRT", 75),
        _plain("RSQRT", 76),
        OperatorSpec("PACK", 83, PACK_OPTIONS, (1, MANY)),
        OperatorSpec("LEAKY_RELU", 98, LEAKY_RELU_OPTIONS, (1, 1)),
        _plain("ABS", 101, union_id=78),
        _plain("ELU", 111),
        _plain("QUANTIZE", 114, union_id=89),
        _plain("HARD_SWISH", 117, union_id=91),
        OperatorSpec("BATCH_MATMUL", 126, BATCH_MATMUL_OPTIONS, (2, 2)),
        _plain("BITWISE_XOR", 160, union_id=125, inputs=2),
        OperatorSpec("LceQuantize", CUSTOM, NO_OPTIONS, (1, 1)),
        OperatorSpec("LceDequantize", CUSTOM, NO_OPTIONS, (1, 1)),
        OperatorSpec("LceBconv2d", CUSTOM, LCE_BCONV_2D_OPTIONS, (5, 5), absent=(2, 3, 4)),
        OperatorSpec("LceBMaxPool2d", CUSTOM, LCE_BMAX_POOL_2D_OPTIONS, (1, 1)),
    )
}
BUILTINS = {spec.code: spec for spec in OPERATORS.values() if spec.code != CUSTOM}
