"""What torch computes, and a file's packed values compared with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sbn_converters.onnx.packing import pack_bits
from sbn_deploy.export.trace import trace_program
from sbn_runtime.errors import ModelError

from .report import EngineResult, verdict

# A sign's argument this close to zero, relative to the layer's root mean square, is a tie.
TIE_TOLERANCE = 1e-4


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
    layer: int | None = None


@dataclass(frozen=True)
class Expected:
    """What torch computes, by node name: packed signs, and which of them are ties.

    Both are packed, channels last; logits are [M, N, K].
    """

    packed: dict[str, NDArray[np.uint64]]
    ties: dict[str, NDArray[np.uint64]]
    logits: NDArray[np.float32]


def torch_values(
    members: list[torch.nn.Module], images: NDArray[np.float32], outputs: Mapping[str, Output]
) -> Expected:
    """Runs the modules, and keeps the signs that the outputs of the file stand for.

    images: float32 [N, C, H, W]. Raises ModelError if a value is not in the network.
    """
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
    return Expected(packed, ties, np.stack(logits))


def compare(
    engine: str,
    values: Mapping[str, NDArray[Any]],
    logits: NDArray[np.float32],
    expected: Expected,
    outputs: Mapping[str, Output],
) -> EngineResult:
    """Compares what an engine computed of the first samples with torch.

    values: by name, packed signs, uint64 [N, ...]. logits: [M, N, K].
    """
    count = logits.shape[1]
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
    tied = count - int(whole.sum())
    return verdict(
        engine,
        count,
        compared,
        differing,
        first,
        logits[:, whole],
        reference,
        tied_samples=tied,
    )
