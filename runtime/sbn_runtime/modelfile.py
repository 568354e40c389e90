"""A first look at an ONNX file, without the onnx package.

Reads just enough of the protobuf encoding to say which operator domains a model imports
and whether its constants are as large as they claim, at a cost that does not depend on the size
of the weights.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .errors import ModelError

# Field numbers in onnx.proto.
_MODEL_OPSET_IMPORT = 8
_OPSET_DOMAIN = 1
# Of messages that hold tensors, and which message each of these fields is.
_HOLDERS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
_TENSOR_DIMS, _TENSOR_EXTERNAL = 1, 13

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def imported_domains(path: Path, content: bytes | None = None) -> set[str]:
    """The operator domains that the model at `path`, or of this content, imports.

    Raises:
        ModelError: the file is missing, unreadable, or no complete ONNX model; or a constant
            claims more elements than its bytes can hold, for which onnxruntime would set up
            memory before it looks at the bytes.
    """
    _check_name(path)
    try:
        if content is not None:
            return _domains(path, content)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _domains(path, data)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"{path}: not an ONNX model, or a truncated one; export it again"
        ) from error


def external_files(path: Path) -> list[str]:
    """The files beside the model that hold some of its constants, as the model names them.

    Raises ModelError as `imported_domains`, and for a name that leaves the model's folder.
    """
    imported_domains(path)
    found: dict[str, None] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for begin, end in _tensors(data):
            for number, first, last in _fields(data, end, begin):
                if number == _TENSOR_EXTERNAL:
                    entry = {n: data[b:e] for n, b, e in _fields(data, last, first)}
                    if entry.get(1) == b"location":
                        found[entry.get(2, b"").decode(errors="replace")] = None
    for name in found:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise ModelError(f"{path}: keeps constants in {name!r}, which is not in its folder")
    return [*found]


def _domains(path: Path, data: mmap.mmap | bytes) -> set[str]:
    _check_tensors(path, data)
    return {
        data[begin:end].decode()
        for number, first, last in _fields(data, len(data))
        if number == _MODEL_OPSET_IMPORT
        for inner, begin, end in _fields(data, last, first)
        if inner == _OPSET_DOMAIN
    }


def _check_tensors(path: Path, data: mmap.mmap | bytes) -> None:
    for begin, end in _tensors(data):
        _check_tensor(path, data, begin, end)


def _tensors(data: mmap.mmap | bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of every constant."""
    left = [("model", 0, len(data))]
    while left:
        kind, begin, end = left.pop()
        if kind == "tensor":
            yield begin, end
            continue
        for number, first, last in _fields(data, end, begin):
            if number in _HOLDERS[kind]:
                left.append((_HOLDERS[kind][number], first, last))


def _check_tensor(path: Path, data: mmap.mmap | bytes, begin: int, end: int) -> None:
    elements, external = 1, False
    for number, first, last in _fields(data, end, begin):
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
        raise ModelError(f"{path}: the name of a model must be UTF-8 without NUL; rename the file")


def _fields(data: mmap.mmap | bytes, size: int, at: int = 0) -> Iterator[tuple[int, int, int]]:
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


def _varint(data: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("varint too long")
