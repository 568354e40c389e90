"""Damaged and foreign .onnx files in `Session`, and against the function bodies that they carry."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, TypeProto, helper

from sbn_converters.onnx.functions import function_protos, reachable
from sbn_converters.ops import DOMAIN
from sbn_runtime import InputError, ModelError, Session, sampling
from sbn_runtime.engines.onnxruntime import session_options

from ..nasty import NASTY

GOLDEN = Path(__file__).parents[1] / "golden"
# More numbers than these are not given to a file: that its input is large is its right.
LARGEST = 1 << 16
# Of so many files that run, one is compared with the bodies of its operators.
COMPARED = 4
# Of noise: a file may ask for 65,536, and then gets memory for them.
MOST_SAMPLES = 256
NUMBERS = (
    *(-1, 0, 1, 2, 3, 4, 7, 8, 9, 31, 63, 64, 65, 127, 128, 255, 256, 4096, 32767, 32768, 65536),
    *(2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63)),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 3e38, math.inf, -math.inf, math.nan)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 255, 256, 2**31, 2**64, 10**400, 1.5, 1e999, "", "1", "images"),
    *([], [1], ["a"], [[1]], [math.inf], [0.0], {}, {"a": 1}),
    *NASTY,
)


def check(seed: int, folder: Path) -> str:
    """Uses the damaged file of a seed as a program would."""
    rng = random.Random(seed)
    path = folder / "model.onnx"
    path.write_bytes(damaged(rng))
    try:
        session = Session(path, threads=1)
        x = _input(session, seed)
        if x is None:
            return "accepted"
        _use(session, x)
    except (ModelError, InputError):
        return "refused"
    if rng.randrange(COMPARED) == 0:
        compare(path, x)
    return "accepted"


@cache
def sound() -> tuple[bytes, ...]:
    """Files as they would be exported today; the large ones are left out."""
    files = [path.read_bytes() for path in sorted(GOLDEN.glob("*.onnx"))]
    return tuple(_with_bodies_of_today(data) for data in files if len(data) < 1 << 18)


def _with_bodies_of_today(data: bytes) -> bytes:
    """Those of older files may round twice."""
    model = onnx.load_from_string(data)
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    del model.functions[:]
    model.functions.extend(function_protos()[name] for name in reachable(used))
    return model.SerializeToString()


def damaged(rng: random.Random) -> bytes:
    """A file that differs from a sound one in its structure, or in its bytes."""
    data = rng.choice(sound())
    if rng.random() < 0.25:
        return _bytes(rng, data)
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_CHANGES)(rng, model)
    return model.SerializeToString()


def _input(session: Session, seed: int) -> dict[str, NDArray[Any]] | None:
    """An array for each input; None where they, or what a file draws of them, would be large."""
    rng = np.random.default_rng(seed)
    default = sampling.defaults(session.metadata) if session.stochastic else None
    if default is not None and default.samples > MOST_SAMPLES:
        return None
    arrays: dict[str, NDArray[Any]] = {}
    for node in session.inputs:
        shape = [size if isinstance(size, int) else 2 for size in node.shape]
        if math.prod(shape) > LARGEST:
            return None
        drawn = rng.integers(-3, 200, [max(size, 0) for size in shape])
        arrays[node.name] = drawn.astype(node.dtype)
    return arrays


def _use(session: Session, x: dict[str, NDArray[Any]]) -> None:
    session.run(x)
    if session.task != "none":
        session.predict(x, return_uncertainty=True)
    if session.stochastic:
        session.predict(x, samples=3, seed=2)
    if session.metadata.get("preprocess") is not None:
        session.preprocess(np.zeros((1, *_image(session)), np.uint8))


def _image(session: Session) -> list[int]:
    fields = session.metadata["preprocess"]
    sizes = [fields.get(k) if isinstance(fields, dict) else 1 for k in ("height", "width")]
    sizes.append(fields.get("channels") if isinstance(fields, dict) else 1)
    return [s if isinstance(s, int) and 0 < s <= 64 else 1 for s in sizes]


def compare(path: Path, x: dict[str, NDArray[Any]]) -> None:
    """Raises AssertionError where a body answers otherwise than the library.

    Both without onnxruntime's own optimisations, which may round otherwise what stands between.
    A file that one of them refuses has no second answer.
    """
    if not _with_sound_bodies(path):
        return
    ours, bodies = session_options(1), onnxruntime.SessionOptions()
    answers = []
    for options in (ours, bodies):
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            loaded = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            answers.append(loaded.run(None, x))
        # Whatever onnxruntime says of a damaged file.
        except Exception:
            return
    for a, b in zip(*answers, strict=True):
        same = a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
        if not same and not _rounded(path, a, b):
            raise AssertionError("the library and the bodies of its operators answer otherwise")


def _with_sound_bodies(path: Path) -> bool:
    """Whether the bodies are those that were exported."""
    try:
        model = onnx.load(path)
    # What onnxruntime can read, the onnx package may not.
    except Exception:
        return False
    return {body.SerializeToString(deterministic=True) for body in model.functions} <= _bodies()


@cache
def _bodies() -> frozenset[bytes]:
    models = map(onnx.load_from_string, sound())
    return frozenset(
        body.SerializeToString(deterministic=True) for model in models for body in model.functions
    )


def _rounded(path: Path, a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether answers differ by what ops.py leaves open: sums of floats, and pools of NaN."""
    operators = {node.op_type for node in onnx.load(path).graph.node}
    return bool(operators & {"FloatDepthwiseConv", "FloatMaxPool"})


def _bytes(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at : at + rng.choice((1, 2, 8, 64))]
            case 3:
                changed[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            case 4 if rng.random() < 0.3:
                del changed[at:]
        if not changed:
            break
    return bytes(changed)


def _node(rng: random.Random, model: ModelProto) -> NodeProto:
    return rng.choice(model.graph.node)


def _change_attribute(rng: random.Random, model: ModelProto) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    attribute = rng.choice(node.attribute)
    if attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        if rng.random() < 0.2:
            attribute.ints.append(rng.choice(NUMBERS))
    elif attribute.type == AttributeProto.INT:
        attribute.i = rng.choice((*NUMBERS, attribute.i + 1, attribute.i - 1))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice(FLOATS)
    if rng.random() < 0.1:
        node.attribute.remove(attribute)


def _change_weights(rng: random.Random, model: ModelProto) -> None:
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    match rng.randrange(6):
        case 0 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        case 1:
            tensor.data_type = rng.randrange(0, 24)
        case 2 if tensor.raw_data:
            raw = bytearray(tensor.raw_data)
            for _ in range(rng.choice((1, 4, 64))):
                raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            tensor.raw_data = bytes(raw)
        case 3:
            tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
        case 4 if len(tensor.dims) > 1:
            dims = list(tensor.dims)
            rng.shuffle(dims)
            tensor.dims[:] = dims
        case 5 if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) in range(
            4, 1 << 30, 4
        ):
            values = np.frombuffer(tensor.raw_data, np.float32).copy()
            values[rng.randrange(len(values))] = rng.choice(FLOATS)
            tensor.raw_data = values.tobytes()


def _change_edges(rng: random.Random, model: ModelProto) -> None:
    node, other = _node(rng, model), _node(rng, model)
    side = rng.choice((node.input, node.output))
    if not side:
        return
    at = rng.randrange(len(side))
    match rng.randrange(4):
        case 0:
            side[at] = rng.choice((*other.input, *other.output, ""))
        case 1:
            del side[at]
        case 2:
            side.append(rng.choice((*other.input, *other.output, "new")))
        case 3:
            names = list(side)
            rng.shuffle(names)
            side[:] = names


def _change_operator(rng: random.Random, model: ModelProto) -> None:
    node, other = _node(rng, model), _node(rng, model)
    match rng.randrange(4):
        case 0:
            node.op_type, node.domain = other.op_type, other.domain
        case 1:
            model.graph.node.remove(node)
        case 2:
            model.graph.node.add().CopyFrom(node)
        case 3:
            node.op_type = rng.choice(("Pack", "Conv", "ConvScale", "DenseScale", "MaxPool", "X"))


def _change_info(rng: random.Random, model: ModelProto) -> None:
    info = rng.choice((*model.graph.input, *model.graph.output))
    tensor = info.type.tensor_type
    match rng.randrange(6):
        case 0:
            tensor.ClearField("shape")
        case 1:
            tensor.elem_type = rng.randrange(0, 24)
        case 2 if tensor.shape.dim:
            dim = rng.choice(tensor.shape.dim)
            dim.dim_value = rng.choice(NUMBERS)
        case 3:
            tensor.shape.dim.add().dim_value = rng.choice(NUMBERS)
        case 4 if tensor.shape.dim:
            del tensor.shape.dim[rng.randrange(len(tensor.shape.dim))]
        case 5:
            info.type.CopyFrom(
                rng.choice((helper.make_sequence_type_proto(info.type), TypeProto()))
            )


def _change_names(rng: random.Random, model: ModelProto) -> None:
    value = rng.choice((*model.graph.input, *model.graph.output))
    name = rng.choice([name for name in NASTY if name.isprintable() or name.isascii()])
    for node in model.graph.node:
        for side in (node.input, node.output):
            side[:] = [name if entry == value.name else entry for entry in side]
    value.name = name


def _change_metadata(rng: random.Random, model: ModelProto) -> None:
    entries = [entry for entry in model.metadata_props if entry.key == "sbn"]
    if not entries:
        return
    entry = entries[0]
    try:
        said = json.loads(entry.value)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict):
        return
    if rng.random() < 0.1:
        entry.value = rng.choice(("[" * 50_000, "nonsense", "[]", "1", entry.value[:-3]))
        return
    owner = said
    if rng.random() < 0.5 and isinstance(said.get("preprocess"), dict):
        owner = said["preprocess"]
    names = (*owner, "classes", "task", "samples", "noise_seed", "working_set", "preprocess")
    key = rng.choice(names)
    if rng.random() < 0.2:
        owner.pop(key, None)
    else:
        owner[key] = rng.choice(VALUES)
    entry.value = json.dumps(said)


def _change_versions(rng: random.Random, model: ModelProto) -> None:
    match rng.randrange(4):
        case 0:
            model.ir_version = rng.choice(NUMBERS)
        case 1:
            rng.choice(model.opset_import).version = rng.choice(NUMBERS)
        case 2 if model.functions:
            del model.functions[rng.randrange(len(model.functions))]
        case 3 if model.functions:
            rng.shuffle(functions := list(model.functions))
            nodes = [node for function in functions[:2] for node in function.node]
            if nodes:
                rng.choice(nodes).op_type = rng.choice(nodes).op_type


_CHANGES: tuple[Callable[[random.Random, ModelProto], None], ...] = (
    *(_change_attribute, _change_attribute, _change_attribute),
    *(_change_weights, _change_weights, _change_edges, _change_operator),
    *(_change_info, _change_info, _change_names, _change_metadata, _change_metadata),
    _change_versions,
)
