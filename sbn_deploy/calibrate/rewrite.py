"""Changing a model file's metadata, and nothing else in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbn_deploy.reading.text import parse_json
from sbn_runtime.errors import ModelError
from sbn_runtime.modelfile import METADATA_KEY, encoded_field, message_fields

# Field numbers in onnx.proto: ModelProto.metadata_props, StringStringEntryProto.
_METADATA, _KEY, _VALUE = 14, 1, 2


def with_metadata(data: bytes, metadata: Mapping[str, Any], path: Path) -> bytes:
    """The bytes of an ONNX file with other sbn metadata; every other byte stays.

    Raises ModelError where the bytes of `path` are no complete ONNX model.
    """
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    entry = encoded_field(_KEY, METADATA_KEY.encode()) + encoded_field(_VALUE, text)
    parts, start = [], 0
    try:
        for number, begin, end in message_fields(data, len(data)):
            if number != _METADATA or _text(data, begin, end, _KEY) != METADATA_KEY.encode():
                parts.append(data[start:end])
            start = end
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"{path}: not an ONNX model, or a truncated one; export it again"
        ) from error
    return b"".join([*parts, encoded_field(_METADATA, entry)])


def read_metadata(data: bytes, path: Path) -> dict[str, Any]:
    """The sbn metadata in the bytes of an ONNX file; empty where it has none.

    Raises ModelError where the bytes of `path` are no complete ONNX model, or the metadata is
    damaged.
    """
    text = b"{}"
    try:
        for number, begin, end in message_fields(data, len(data)):
            if number == _METADATA and _text(data, begin, end, _KEY) == METADATA_KEY.encode():
                text = _text(data, begin, end, _VALUE)
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"{path}: not an ONNX model, or a truncated one; export it again"
        ) from error
    metadata = parse_json(text, f"the metadata of {path}", ModelError)
    if not isinstance(metadata, dict):
        raise ModelError(f"{path}: its sbn metadata is damaged; export the model again")
    return metadata


def _text(data: bytes, begin: int, end: int, wanted: int) -> bytes:
    for number, first, last in message_fields(data, end, begin):
        if number == wanted:
            return data[first:last]
    return b""
