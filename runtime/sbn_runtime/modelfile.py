"""Reads facts of an ONNX file without the onnx package.

Reads just enough of the protobuf encoding to say which operator domains a model imports, what
the axes of its inputs and outputs are called, whether its constants are as large as they claim,
and which files hold constants beside it, at a cost that does not depend on the size of the
weights; and, for files with a calibration, a digest of what computes.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .errors import ModelError

DOMAIN = "sbn"
"""Of our operators."""
METADATA_KEY = "sbn"
"""Under which a file has what `sbn export` noted."""
# Field numbers in onnx.proto.
_MODEL_OPSET_IMPORT = 8
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_OPSET_DOMAIN = 1
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_VALUE_NAME, _DIMENSION_NAME = 1, 2
# From a ValueInfoProto to its dimensions: type, tensor_type, shape, dim.
_VALUE_DIMENSIONS = (2, 1, 2, 1)
# Of messages that hold tensors, and which message each of these fields is.
_HOLDERS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL = 1, 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def imported_domains(path: Path, content: bytes | None = None) -> set[str]:
    """The operator domains that the model at `path`, or of this content, imports.

    Raises:
        ModelError: the file is missing, unreadable, or no complete ONNX model.
    """
    with _opened(path, content) as data:
        return set(_texts(data, 0, len(data), _MODEL_OPSET_IMPORT, _OPSET_DOMAIN))


def check_constants(path: Path, content: bytes | None = None) -> None:
    """Raises ModelError where a constant of a model claims more elements than its bytes can hold.

    onnxruntime would set up memory for them before it looks at the bytes.

    Raises what `imported_domains` raises too.
    """
    with _opened(path, content) as data:
        for begin, end in _tensors(data):
            _check_tensor(path, data, begin, end)


def axis_names(content: bytes) -> dict[str, list[str | None]]:
    """What the axes of a model's inputs and outputs are called; None for those without a name.

    Raises ValueError or IndexError when the bytes are no complete model.
    """
    found: dict[str, list[str | None]] = {}
    for begin, end in _within(content, 0, len(content), _MODEL_GRAPH):
        for number, *value in message_fields(content, end, begin):
            if number not in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                continue
            (name,) = _texts(content, *value, _VALUE_NAME)
            found[name] = [
                "".join(_texts(content, *axis, _DIMENSION_NAME)) or None
                for axis in _within(content, *value, *_VALUE_DIMENSIONS)
            ]
    return found


def constant_names(content: bytes) -> set[str]:
    """The constants of a model by name; inputs among them have them as defaults.

    Raises what `axis_names` raises.
    """
    path = (_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_NAME)
    return set(_texts(content, 0, len(content), *path))


def external_files(path: Path) -> list[PurePosixPath]:
    """The files beside the model at `path` that hold constants of it, relative to its folder.

    Raises:
        ModelError: as `imported_domains` does; or a file lies outside of the model's folder, or
            is missing.
    """
    found: dict[PurePosixPath, None] = {}
    with _opened(path) as data:
        for begin, end in _tensors(data):
            for number, first, last in message_fields(data, end, begin):
                if number != _TENSOR_EXTERNAL:
                    continue
                entry = {
                    inner: data[start:stop]
                    for inner, start, stop in message_fields(data, last, first)
                }
                if entry.get(_ENTRY_KEY) == b"location":
                    found[PurePosixPath(entry.get(_ENTRY_VALUE, b"").decode())] = None
    for name in found:
        if name.is_absolute() or ".." in name.parts or not (path.parent / name).is_file():
            raise ModelError(
                f"{path}: has constants in {name}, which is not a file in or below its folder; put"
                " it there, or export the model again"
            )
    return list(found)


@contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[mmap.mmap | bytes]:
    """The bytes of a model, or `content`; what goes wrong with them is a ModelError."""
    _check_name(path)
    try:
        if content is not None:
            yield content
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"{path}: not an ONNX model, or a truncated one; export it again"
        ) from error


def weights_digest(path: Path, content: bytes | None = None) -> str:
    """SHA-256 of the graph with its weights, and of the functions, as 64 hexadecimal digits.

    Of each field 7 and 25 of the ModelProto, in the order of the file, and then of each of its
    `external_files`: its length as 8 bytes, little-endian, and its bytes. Metadata and names of
    producers are not part of it.

    Args:
        content: as of `imported_domains`; it has no files beside it.

    Raises:
        ModelError: a file is missing, unreadable, or no complete ONNX model.
    """
    digest = hashlib.sha256()

    def add(data: mmap.mmap | bytes, first: int, last: int) -> None:
        digest.update((last - first).to_bytes(8, "little"))
        with memoryview(data) as view, view[first:last] as part:
            digest.update(part)

    with _opened(path, content) as data:
        for number, first, last in message_fields(data, len(data)):
            if number in (_MODEL_GRAPH, _MODEL_FUNCTIONS):
                add(data, first, last)
    for name in external_files(path) if content is None else ():
        with _opened(path.parent / name) as data:
            add(data, 0, len(data))
    return digest.hexdigest()


def _within(
    data: mmap.mmap | bytes, begin: int, end: int, *numbers: int
) -> Iterator[tuple[int, int]]:
    """Begin and end of the fields that a path of field numbers leads to, from a message."""
    if not numbers:
        yield begin, end
        return
    for number, first, last in message_fields(data, end, begin):
        if number == numbers[0]:
            yield from _within(data, first, last, *numbers[1:])


def _texts(data: mmap.mmap | bytes, begin: int, end: int, *numbers: int) -> Iterator[str]:
    """The same fields as texts."""
    return (data[first:last].decode() for first, last in _within(data, begin, end, *numbers))


def _tensors(data: mmap.mmap | bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of all constants."""
    left = [("model", 0, len(data))]
    while left:
        kind, begin, end = left.pop()
        if kind == "tensor":
            yield begin, end
            continue
        for number, first, last in message_fields(data, end, begin):
            if number in _HOLDERS[kind]:
                left.append((_HOLDERS[kind][number], first, last))


def _check_tensor(path: Path, data: mmap.mmap | bytes, begin: int, end: int) -> None:
    elements, external = 1, False
    for number, first, last in message_fields(data, end, begin):
        if number == _TENSOR_DIMS:
            # One number, or several in a row.
            while first < last:
                size, first = _varint(data, first)
                elements = min(elements * size, 1 << 64)
        external |= number == _TENSOR_EXTERNAL
    # The smallest elements have a bit.
    if elements > 8 * (end - begin) and not external:
        raise ModelError(
            f"{path}: a constant claims {elements:,} elements in {end - begin:,} bytes; the file is"
            " damaged, export it again"
        )


def _check_name(path: Path) -> None:
    """Raises ModelError for a name that Python's files or onnxruntime cannot take."""
    try:
        usable = b"\0" not in str(path).encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise ModelError(f"{path}: a model's file name must be UTF-8 without NUL; rename the file")


def message_fields(
    data: mmap.mmap | bytes, size: int, at: int = 0
) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of a message, which reaches from `at` to `size`.

    Raises ValueError or IndexError when the bytes are no complete message.
    """
    while at < size:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        begin = at
        if wire == _VARINT:
            _, end = _varint(data, at)
        elif wire == _BYTES:
            length, begin = _varint(data, at)
            end = begin + length
        elif wire in (_FIXED32, _FIXED64):
            end = at + (4 if wire == _FIXED32 else 8)
        else:
            raise ValueError(f"wire type {wire}")
        if end > size:
            raise ValueError("truncated")
        yield number, begin, end
        at = end


def encoded_field(number: int, content: bytes) -> bytes:
    """A field of a message that holds bytes: a text, or another message."""
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


def _encoded_varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _encoded_varint(rest) if rest else bytes([low])


def _varint(data: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("varint too long")
