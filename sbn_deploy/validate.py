"""Proving that an exported file computes what the trained network computes.

torch, our kernels under every instruction set of this machine, stock
onnxruntime (which runs the embedded functions) and onnx's own reference
evaluator get the same inputs. Packed tensors are compared bit for bit with the
signs inside torch, labels exactly, logits to a stated tolerance.

Where a network has float layers, engines may add in different orders, and a
sum that is zero but for rounding may get either sign. A sample in which nothing
but such ties differ at first is counted as tied, and what follows from the
other sign is not compared. Signs of whole-number sums are never ties.

Where signs are drawn, torch draws with the same random numbers, see `replay`; the
file may differ only where the stated error of its table decides a draw.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import available_isas, native
from sbn_runtime.errors import ArtifactError, MissingDependencyError, ModelError
from sbn_runtime.session import session_options

if TYPE_CHECKING:
    import onnx
    import torch

    from sbn_converters.onnx.noise import Draw

# Relative to the largest logit. Float stages differ in the order of sums only.
LOGITS_TOLERANCE = 1e-4
# A sign's argument this close to zero, relative to the layer's root mean square, is a tie.
TIE_TOLERANCE = 1e-4
_SIGNS_OF_FLOATS = ("Pack", "PackThreshold", "ConvResidual", "DenseResidual")
# onnx's reference evaluator is written for clarity and is very slow.
_REFERENCE_SAMPLES = 2


@dataclass(frozen=True)
class EngineResult:
    """One engine against torch on the same inputs.

    `tied_samples` are those whose first differing bits are all ties; they are
    left out of the other counts from there on. `tied_draws` are drawn signs that
    the error of the noise's table decided. `logits_difference` is the
    largest absolute difference; `first_layer` names the first layer whose bits
    differ, empty if none does.
    """

    engine: str
    samples: int
    compared_bits: int
    differing_bits: int
    differing_labels: int
    tied_samples: int
    tied_draws: int
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


@dataclass(frozen=True)
class Output:
    """A packed value of the exported file and the traced value whose signs it holds.

    `name` is that of the layer. `from_floats` says whether the signs are those of
    floats, not of whole-number sums; `layer` is the number with which they are
    drawn, None for signs that are not.
    """

    name: str
    value: str
    member: int
    source: str
    from_floats: bool
    layer: int | None


@dataclass
class _Expected:
    """What torch computes, by node name: packed signs, and which of them are ties.

    Both are packed, channels last; logits are [M, N, K].
    """

    packed: dict[str, NDArray[np.uint64]]
    ties: dict[str, NDArray[np.uint64]]
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
        checkpoint,
        weights=meta["weights"],
        members=meta["members"],
        seed=meta["seed"],
        activations=meta["activations"],
    )
    if (made.meta["arch"], made.meta["config"]) != (meta["arch"], meta["config"]):
        raise ArtifactError(
            f"{checkpoint} holds {made.meta['arch']} {made.meta['config']}, but {model} was"
            f" exported from {meta['arch']} {meta['config']}; give the checkpoint it came from"
        )
    images, inputs = made.sample_inputs(samples, seed)
    report = validate_members(proto, made.members, images, draws=made.draws)
    return ValidationReport(str(model), str(checkpoint), inputs, LOGITS_TOLERANCE, report)


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
    from sbn_converters.onnx.inspect import metadata

    layers: list[dict[str, Any]] = metadata(proto)["layers"]  # type: ignore[assignment]
    instrumented, outputs = _instrument(proto, layers, len(members))
    if draws:
        return _replays(instrumented, members, images, outputs, draws, every_engine)
    expected = _torch_values(members, images, outputs)
    data = instrumented.SerializeToString()
    fed = as_input(proto, images)
    results = []
    for name, count, run in _engines(data, len(images), every_engine):
        values = run(fed[:count])
        results.append(_compare(name, values, expected, outputs, count))
    return results


def _replays(
    instrumented: onnx.ModelProto,
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    outputs: dict[str, Output],
    draws: Mapping[str, Draw],
    every_engine: bool,
) -> list[EngineResult]:
    from sbn_deploy.replay import limit_samples, replay, trace

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
            _result(
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


def as_input(proto: onnx.ModelProto, images: NDArray[np.float32]) -> NDArray[Any]:
    """Normalised images [N, C, H, W] as the file takes them, which may be as pixels.

    A file with a first layer on pixels takes uint8 [N, H, W, C]; its images are
    normalised to (2 p - 255) / 255.
    """
    import onnx

    if proto.graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        return images
    pixels = np.round((images * 255 + 255) / 2).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _instrument(
    proto: onnx.ModelProto, layers: list[dict[str, Any]], members: int
) -> tuple[onnx.ModelProto, dict[str, Output]]:
    """A copy whose packed signs are outputs, and these by node name."""
    import onnx

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


def _torch_values(
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    outputs: dict[str, Output],
) -> _Expected:
    import torch

    from sbn_converters.onnx.packing import pack_bits
    from sbn_deploy.export import trace_program

    batch = torch.from_numpy(images)
    packed: dict[str, NDArray[np.uint64]] = {}
    ties: dict[str, NDArray[np.uint64]] = {}
    logits = []
    # The traced program shares its tensors with the module; each member's state goes into it.
    program = trace_program(copy.deepcopy(members[0]), batch).exported_program
    assert program is not None
    traced = program.module()

    class Recorder(torch.fx.Interpreter):
        """Keeps the signs that the wanted nodes give, `where(a < 0, ...)`, and their ties."""

        def __init__(self, wanted: dict[str, str]) -> None:
            super().__init__(traced, garbage_collect_values=False)
            self.wanted = wanted

        def run_node(self, node: torch.fx.Node) -> Any:
            result = super().run_node(node)
            if node.name in self.wanted:
                condition = node.args[0]
                assert isinstance(condition, torch.fx.Node)
                argument = condition.args[0]
                assert isinstance(argument, torch.fx.Node)
                a = self.env[argument]
                close = a.abs() <= TIE_TOLERANCE * a.square().mean().sqrt()
                for kept, bits in ((packed, result < 0), (ties, close)):
                    last = bits.permute(0, 2, 3, 1) if bits.ndim == 4 else bits
                    kept[self.wanted[node.name]] = pack_bits(last.numpy())
            return result

    for index, member in enumerate(members):
        wanted = {made.source: node for node, made in outputs.items() if made.member == index}
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
    return _Expected(packed, ties, np.stack(logits))


_Run = Callable[[NDArray[Any]], dict[str, NDArray[Any]]]


def _engines(data: bytes, samples: int, every: bool) -> Iterator[tuple[str, int, _Run]]:
    """Each engine's name, how many samples it gets, and how to run it."""
    import onnxruntime

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
    import onnx

    try:
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise MissingDependencyError("onnx has no reference evaluator; update onnx") from error
    proto = onnx.load_model_from_string(data)
    evaluator = ReferenceEvaluator(proto)
    names = [output.name for output in proto.graph.output]
    return lambda x: dict(zip(names, evaluator.run(names, {"input": x}), strict=True))


def _compare(
    engine: str,
    values: dict[str, NDArray[Any]],
    expected: _Expected,
    outputs: dict[str, Output],
    count: int,
) -> EngineResult:
    compared = differing = 0
    first = ""
    whole = np.ones(count, np.bool_)
    for node, made in outputs.items():
        wrong = (values[made.value] ^ expected.packed[node][:count]).reshape(count, -1)
        if made.from_floats:
            beyond_ties = wrong & ~expected.ties[node][:count].reshape(count, -1)
            whole &= ~(wrong.any(axis=1) & ~beyond_ties.any(axis=1))
        bits = int(np.unpackbits(wrong[whole].view(np.uint8)).sum())
        compared += wrong[whole].size * 64
        differing += bits
        if bits and not first:
            first = node
    reference = expected.logits[:, :count][:, whole]
    found = values["member_logits"] if "member_logits" in values else values["logits"][None]
    tied = count - int(whole.sum())
    return _result(
        engine, count, compared, differing, first, found[:, whole], reference, tied_samples=tied
    )


def _result(
    engine: str,
    count: int,
    compared: int,
    differing: int,
    first: str,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    *,
    tied_samples: int = 0,
    tied_draws: int = 0,
) -> EngineResult:
    """The verdict on one engine; logits are [M, N, K]."""
    difference = float(np.abs(logits - reference).max(initial=0.0))
    labels = int((logits.argmax(-1) != reference.argmax(-1)).sum())
    limit = LOGITS_TOLERANCE * max(1.0, float(np.abs(reference).max(initial=0.0)))
    ok = not differing and not labels and difference <= limit
    return EngineResult(
        engine,
        count,
        compared,
        differing,
        labels,
        tied_samples,
        tied_draws,
        difference,
        first or ("" if ok else "logits"),
        ok,
    )
