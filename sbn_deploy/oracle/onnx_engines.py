"""An ONNX file in every engine that runs it, compared with torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sbn_converters.onnx.inspect import metadata
from sbn_converters.onnx.noise import Draw
from sbn_deploy.engines.engine import Engine
from sbn_deploy.engines.onnx import (
    engine_of,
    kernel_engine,
    native_engine,
    native_lacks,
    stock_engine,
)
from sbn_deploy.engines.reference import ReferenceEngine
from sbn_deploy.engines.table import SBN
from sbn_deploy.tracing.trace import Traced, trace
from sbn_runtime import available_isas

from .coded import find_coded
from .reference import Output, Reference, answers_of, limit_samples
from .report import EngineResult

_SIGNS_OF_FLOATS = (
    *("Pack", "PackThreshold", "ConvResidual", "DenseResidual", "ConvActivate", "DenseActivate"),
)
# onnx's reference evaluator is written for clarity and is very slow.
_REFERENCE_SAMPLES = 2


def validate_members(
    proto: onnx.ModelProto,
    members: list[torch.nn.Module],
    inputs: NDArray[np.float32] | Sequence[NDArray[Any]],
    *,
    stochastic: Mapping[str, Draw] = MappingProxyType({}),
    engine: str | None = None,
    traced: Traced | None = None,
    name: str = "the file",
) -> list[EngineResult]:
    """Compares an exported model with the modules that it came from.

    inputs: float32 [N, C, H, W] or what else the network takes, one array for each input.
    stochastic: how the file samples the signs of which modules, if it does; its first samples
    are compared. traced: the first member, if it was traced already. name: what errors
    call the file. engine: of `sbn_runtime.engines`, the only one to run, under the instruction set
    in use; by default all run, but for native where it lacks an operator of the file.
    """
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    meta: dict[str, Any] = metadata(proto)
    instrumented, outputs = _instrument(proto, meta["layers"], len(members))
    coded = find_coded(instrumented, meta["layers"], len(members), name)
    if traced is None:
        traced = trace(members[0], [torch.from_numpy(x[:2]) for x in arrays])
    task = str(meta.get("task", "classification"))
    reference = Reference(traced, members, outputs, coded, task, name)
    noise = limit_samples(instrumented) if stochastic else None
    several = len(members) > 1 or noise is not None
    feed = as_feed(proto, arrays)
    results = []
    for opened, count in _engines(instrumented.SerializeToString(), len(arrays[0]), engine):
        values = dict(opened.run({key: x[:count] for key, x in feed.items()}))
        answers = answers_of(values, reference.names, reference.task, several=several)
        first = [x[:count] for x in arrays]
        results.append(reference.compare(opened.name, first, values, answers, stochastic, noise))
    return results


def as_feed(proto: onnx.ModelProto, arrays: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs of the network as the file takes them, by name."""
    given = {tensor.name for tensor in proto.graph.initializer}
    names = [value.name for value in proto.graph.input if value.name not in given]
    feed = dict(zip(names, arrays, strict=False))
    feed[names[0]] = as_input(proto, arrays[0])
    return feed


def as_input(proto: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[Any]:
    """Normalised images [N, C, H, W] as the file takes them, which may be as pixels.

    A file with a first layer on pixels takes uint8 [N, H, W, C]; its images are
    normalised to (2 p - 255) / 255.
    """
    if proto.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        return images
    return as_pixels(images)


def as_pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The pixels, [N, H, W, C], of images [N, C, H, W] normalised to (2 p - 255) / 255."""
    pixels = np.round((images * 255 + 255) / 2).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _instrument(
    proto: onnx.ModelProto, layers: list[dict[str, Any]], members: int
) -> tuple[onnx.ModelProto, dict[str, Output]]:
    """A copy whose packed signs are outputs, and these by node name."""
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(proto)
    nodes = {node.name: node for node in instrumented.graph.node}
    found: dict[str, Output] = {}
    present = {output.name for output in instrumented.graph.output}
    for member in range(members):
        for layer in layers:
            node_name = layer["node"].replace("member0/", f"member{member}/", 1)
            node = nodes.get(node_name)
            if node is None or not layer.get("source"):
                continue
            value = node.output[layer.get("output", 0)]
            exact = node.op_type not in _SIGNS_OF_FLOATS and not layer.get("rounded")
            name = node_name.removeprefix(f"member{member}/")
            number = next((a.i for a in node.attribute if a.name == "layer"), None)
            found[node_name] = Output(name, value, member, layer["source"], exact, number)
            if value not in present:
                present.add(value)
                instrumented.graph.output.append(
                    onnx.helper.make_tensor_value_info(value, onnx.TensorProto.UINT64, None)
                )
    return instrumented, found


def _engines(model: bytes, samples: int, only: str | None) -> Iterator[tuple[Engine, int]]:
    """Each engine, and how many samples it gets."""
    if only is not None:
        yield engine_of(only, model), samples
        return
    for isa in available_isas():
        yield kernel_engine(model, isa=isa, name=f"{SBN} {isa}"), samples
    if not native_lacks(model):
        yield native_engine(model), samples
    yield stock_engine(model), samples
    yield ReferenceEngine(model), min(samples, _REFERENCE_SAMPLES)
