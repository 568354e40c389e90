"""An ONNX file in every engine that runs it, compared with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from sbn_converters.onnx.inspect import metadata
from sbn_converters.onnx.noise import Draw
from sbn_runtime import available_isas, native
from sbn_runtime.errors import MissingDependencyError
from sbn_runtime.session import session_options

from .replay import limit_samples, replay, trace
from .report import EngineResult, verdict
from .torch_values import Output, compare, torch_values

_SIGNS_OF_FLOATS = ("Pack", "PackThreshold", "ConvResidual", "DenseResidual")
# onnx's reference evaluator is written for clarity and is very slow.
_REFERENCE_SAMPLES = 2

_Run = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]


def validate_members(
    proto: onnx.ModelProto,
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    *,
    draws: Mapping[str, Draw] = MappingProxyType({}),
    every_engine: bool = True,
) -> list[EngineResult]:
    """Compares an exported model with the modules that it came from.

    images: float32 [N, C, H, W], as the network takes them. draws: how the file
    draws the signs of which modules, if it does; its first samples are compared.
    Without `every_engine` only our kernels run, under the instruction set in use.
    """
    layers: list[dict[str, Any]] = metadata(proto)["layers"]  # type: ignore[assignment]
    instrumented, outputs = _instrument(proto, layers, len(members))
    if draws:
        return _replays(instrumented, members, images, outputs, draws, every_engine)
    expected = torch_values(members, images, outputs)
    data = instrumented.SerializeToString()
    fed = as_input(proto, images)
    results = []
    for name, count, run in _engines(data, len(images), every_engine):
        values = run(fed[:count])
        logits = values["member_logits"] if "member_logits" in values else values["logits"][None]
        results.append(compare(name, values, logits, expected, outputs))
    return results


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


def _replays(
    instrumented: onnx.ModelProto,
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    outputs: dict[str, Output],
    draws: Mapping[str, Draw],
    every_engine: bool,
) -> list[EngineResult]:
    traced = trace(members[0], images)
    seed, samples = limit_samples(instrumented)
    fed = as_input(instrumented, images)
    results = []
    for engine, count, run in _engines(instrumented.SerializeToString(), len(images), every_engine):
        values = run(fed[:count])
        wrong, ties, logits = replay(
            traced, members, images[:count], outputs, values, draws, seed, samples
        )
        bits = {name: int(where.sum()) for name, where in wrong.items()}
        first = next((name for name, number in bits.items() if number), "")
        compared = sum(where.size for where in wrong.values())
        results.append(
            verdict(
                engine,
                count,
                compared,
                sum(bits.values()),
                first,
                values["member_logits"],
                logits,
                tied_draws=ties,
            )
        )
    return results


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
            from_floats = node.op_type in _SIGNS_OF_FLOATS
            name = node_name.removeprefix(f"member{member}/")
            number = next((a.i for a in node.attribute if a.name == "layer"), None)
            found[node_name] = Output(name, value, member, layer["source"], from_floats, number)
            if value not in present:
                present.add(value)
                instrumented.graph.output.append(
                    onnx.helper.make_tensor_value_info(value, onnx.TensorProto.UINT64, None)
                )
    return instrumented, found


def _engines(data: bytes, samples: int, every: bool) -> Iterator[tuple[str, int, _Run]]:
    """Each engine's name, how many samples it gets, and how to run it."""

    def session(options: onnxruntime.SessionOptions) -> _Run:
        options.log_severity_level = 3
        made = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in made.get_outputs()]
        return lambda x: dict(zip(names, made.run(names, {"input": x}), strict=True))

    for isa in available_isas() if every else (native.isa(),):
        with native.forced_isa(isa):
            run = session(session_options())
        yield f"sbn {isa}", samples, run
    if not every:
        return
    yield "onnxruntime (functions)", samples, session(onnxruntime.SessionOptions())
    yield "onnx reference", min(samples, _REFERENCE_SAMPLES), _reference(data)


def _reference(data: bytes) -> _Run:
    try:
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise MissingDependencyError("onnx has no reference evaluator; update onnx") from error
    proto = onnx.load_model_from_string(data)
    evaluator = ReferenceEvaluator(proto)
    names = [output.name for output in proto.graph.output]
    return lambda x: dict(zip(names, evaluator.run(names, {"input": x}), strict=True))
