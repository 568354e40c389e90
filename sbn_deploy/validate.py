"""Proving that an exported file computes what the trained network computes.

torch, our kernels under every instruction set of this machine, stock
onnxruntime (which runs the embedded functions) and onnx's own reference
evaluator get the same inputs. Packed tensors are compared bit for bit with the
signs inside torch, labels exactly, logits to a stated tolerance.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import available_isas, library_path, native
from sbn_runtime.errors import ArtifactError, MissingDependencyError, ModelError

if TYPE_CHECKING:
    import onnx
    import torch

# Relative to the largest logit. Float stages differ in the order of sums only.
LOGITS_TOLERANCE = 1e-4
# onnx's reference evaluator is written for clarity and is very slow.
_REFERENCE_SAMPLES = 2


@dataclass(frozen=True)
class EngineResult:
    """One engine against torch on the same inputs.

    `logits_difference` is the largest absolute difference; `first_layer` names
    the first layer whose bits differ, empty if none does.
    """

    engine: str
    samples: int
    compared_bits: int
    differing_bits: int
    differing_labels: int
    logits_difference: float
    first_layer: str
    ok: bool


@dataclass(frozen=True)
class ValidationReport:
    """All engines; `ok` if every one agrees with torch."""

    model: str
    checkpoint: str
    inputs: str
    tolerance: float
    results: list[EngineResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every engine agrees."""
        return all(result.ok for result in self.results)

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return asdict(self) | {"ok": self.ok}


@dataclass
class _Expected:
    """What torch computes: packed signs by node name, logits [M, N, K]."""

    packed: dict[str, NDArray[np.uint64]]
    logits: NDArray[np.float32]


def validate(
    model: Path, checkpoint: Path, *, samples: int = 32, seed: int = 0
) -> ValidationReport:
    """Compares an exported file with the checkpoint that it came from.

    Inputs are `samples` images of the checkpoint's test data, or random ones
    where the data is not at hand.

    Raises ModelError or ArtifactError for files that cannot be compared.
    """
    from sbn_converters.onnx.inspect import load_model, metadata
    from sbn_deploy.materialize import materialize_checkpoint

    proto = load_model(model)
    meta: dict[str, Any] = metadata(proto)
    if "layers" not in meta:
        raise ModelError(f"{model} was not exported by sbn-deploy; export it from {checkpoint}")
    made = materialize_checkpoint(
        checkpoint, weights=meta["weights"], members=meta["members"], seed=meta["seed"]
    )
    if (made.meta["arch"], made.meta["config"]) != (meta["arch"], meta["config"]):
        raise ArtifactError(
            f"{checkpoint} holds {made.meta['arch']} {made.meta['config']}, but {model} was"
            f" exported from {meta['arch']} {meta['config']}; give the checkpoint it came from"
        )
    images, inputs = made.sample_inputs(samples, seed)
    report = validate_members(proto, made.members, images)
    return ValidationReport(str(model), str(checkpoint), inputs, LOGITS_TOLERANCE, report)


def validate_members(
    proto: onnx.ModelProto, members: list[torch.nn.Module], images: NDArray[np.float32]
) -> list[EngineResult]:
    """Compares an exported model with the modules that it came from.

    images: float32 [N, C, H, W], as the network takes them.
    """
    from sbn_converters.onnx.inspect import metadata

    layers: list[dict[str, Any]] = metadata(proto)["layers"]  # type: ignore[assignment]
    instrumented, outputs = _instrument(proto, layers, len(members))
    expected = _torch_values(members, images, outputs)
    data = instrumented.SerializeToString()
    results = []
    for name, count, run in _engines(data, len(images)):
        values = run(images[:count])
        results.append(_compare(name, values, expected, outputs, count))
    return results


def _instrument(
    proto: onnx.ModelProto, layers: list[dict[str, Any]], members: int
) -> tuple[onnx.ModelProto, dict[str, tuple[str, int, str]]]:
    """A copy whose packed signs are outputs: node name -> (value, member, traced source)."""
    import onnx

    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(proto)
    nodes = {node.name: node for node in instrumented.graph.node}
    found: dict[str, tuple[str, int, str]] = {}
    present = {output.name for output in instrumented.graph.output}
    for member in range(members):
        for layer in layers:
            node_name = layer["node"].replace("member0/", f"member{member}/", 1)
            node = nodes.get(node_name)
            if node is None or not layer["source"]:
                continue
            found[node_name] = (node.output[0], member, layer["source"])
            if node.output[0] not in present:
                present.add(node.output[0])
                instrumented.graph.output.append(
                    onnx.helper.make_tensor_value_info(
                        node.output[0], onnx.TensorProto.UINT64, None
                    )
                )
    return instrumented, found


def _torch_values(
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    outputs: dict[str, tuple[str, int, str]],
) -> _Expected:
    import torch

    from sbn_converters.onnx.packing import pack_signs
    from sbn_deploy.export import trace_program

    batch = torch.from_numpy(images)
    packed: dict[str, NDArray[np.uint64]] = {}
    logits = []
    # The traced program shares its tensors with the module; each member's state goes into it.
    program = trace_program(copy.deepcopy(members[0]), batch).exported_program
    assert program is not None
    traced = program.module()

    class Recorder(torch.fx.Interpreter):
        """Keeps the values of the wanted nodes."""

        def __init__(self, wanted: dict[str, str]) -> None:
            super().__init__(traced)
            self.wanted = wanted

        def run_node(self, node: torch.fx.Node) -> Any:
            result = super().run_node(node)
            if node.name in self.wanted:
                array = result.numpy()
                last = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
                packed[self.wanted[node.name]] = pack_signs(last)
            return result

    for index, member in enumerate(members):
        wanted = {source: node for node, (_, owner, source) in outputs.items() if owner == index}
        recorder = Recorder(wanted)
        recorder.module.load_state_dict(member.state_dict(), strict=False)
        with torch.no_grad():
            recorder.run(batch)
            logits.append(member(batch).numpy())
        missing = set(wanted.values()) - set(packed)
        if missing:
            raise ModelError(
                f"the file's layers do not match the checkpoint's network at {min(missing)};"
                " export it again with this version"
            )
    return _Expected(packed, np.stack(logits))


_Run = Callable[[NDArray[np.float32]], dict[str, NDArray[Any]]]


def _engines(data: bytes, samples: int) -> Iterator[tuple[str, int, _Run]]:
    """Each engine's name, how many samples it gets, and how to run it."""
    import onnxruntime

    def session(options: onnxruntime.SessionOptions) -> _Run:
        options.log_severity_level = 3
        made = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in made.get_outputs()]
        return lambda x: dict(zip(names, made.run(names, {"input": x}), strict=True))

    for isa in available_isas():
        with _forced_isa(isa):
            options = onnxruntime.SessionOptions()
            options.register_custom_ops_library(str(library_path()))
            run = session(options)
        yield f"sbn {isa}", samples, run
    yield "onnxruntime (functions)", samples, session(onnxruntime.SessionOptions())
    yield "onnx reference", min(samples, _REFERENCE_SAMPLES), _reference(data)


def _reference(data: bytes) -> _Run:
    import onnx

    try:
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise MissingDependencyError("onnx has no reference evaluator; update onnx") from error
    proto = onnx.load_model_from_string(data)
    evaluator = ReferenceEvaluator(proto)
    names = [output.name for output in proto.graph.output]
    return lambda x: dict(zip(names, evaluator.run(names, {"input": x}), strict=True))


@contextmanager
def _forced_isa(name: str) -> Iterator[None]:
    before = os.environ.get(native.ISA_VARIABLE)
    os.environ[native.ISA_VARIABLE] = name
    try:
        native.select_isa()
        yield
    finally:
        if before is None:
            del os.environ[native.ISA_VARIABLE]
        else:
            os.environ[native.ISA_VARIABLE] = before


def _compare(
    engine: str,
    values: dict[str, NDArray[Any]],
    expected: _Expected,
    outputs: dict[str, tuple[str, int, str]],
    count: int,
) -> EngineResult:
    compared = differing = 0
    first = ""
    for node, (value, _, _) in outputs.items():
        wrong = values[value] ^ expected.packed[node][:count]
        bits = int(np.unpackbits(wrong.view(np.uint8)).sum())
        compared += wrong.size * 64
        differing += bits
        if bits and not first:
            first = node
    reference = expected.logits[:, :count]
    logits = values["member_logits"] if "member_logits" in values else values["logits"][None]
    difference = float(np.abs(logits - reference).max())
    labels = int((logits.argmax(-1) != reference.argmax(-1)).sum())
    limit = LOGITS_TOLERANCE * max(1.0, float(np.abs(reference).max()))
    ok = not differing and not labels and difference <= limit
    if not ok and not first:
        first = "logits"
    return EngineResult(engine, count, compared, differing, labels, difference, first, ok)
