"""Writing a finished model: functions, metadata, checks, atomic save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from sbn_runtime.errors import ModelError
from sbn_runtime.files import write_atomically

from .functions import attach_functions, register_schemas
from .shorten import shorten

METADATA_KEY = "sbn"
_LARGEST_TENSOR = 1 << 31


def finish(
    model: ir.Model,
    metadata: dict[str, object],
    defaults: Mapping[str, int] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Adds functions and metadata, and runs onnx's full check.

    defaults: by name, the numbers that inputs have where none is given.

    Traces of where the graph came from (stack traces, host paths) are removed,
    equal constants are shared, and only layers keep readable names.

    Raises ModelError if the check fails.
    """
    common.ClearMetadataAndDocStringPass()(model)
    common.DeduplicateInitializersPass(size_limit=_LARGEST_TENSOR)(model)
    shorten(model.graph)
    for value in model.graph.inputs:
        number = defaults.get(value.name or "")
        if number is not None:
            value.const_value = ir.tensor(np.array(number, np.int64), name=value.name)
            model.graph.register_initializer(value)
    attach_functions(model)
    compact = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    model.metadata_props[METADATA_KEY] = compact
    model.producer_name = "sbn-deploy"
    model.producer_version = str(metadata.get("sbn_deploy", ""))
    model.graph.name = str(metadata.get("arch", "sbn"))
    proto = ir.serde.serialize_model(model)
    register_schemas()
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the converted graph fails onnx's check: {error}") from error
    return proto


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Writes the file under a temporary name and renames it, so that no partial file remains.

    Raises OutputError if the folder cannot be written.
    """
    write_atomically(path, proto.SerializeToString())
