"""Networks that draw their signs, compared with torch layer by layer.

torch computes each layer from the signs that the file drew before it, draws with
the same random numbers from the exact distribution function, and goes on with
the file's signs. So a draw that the table's error decides changes nothing later.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sbn_converters.onnx.noise import CODES, Draw, random_bits
from sbn_converters.onnx.packing import unpack_signs
from sbn_converters.onnx.samples import COUNT, SEED
from sbn_deploy.export.trace import trace_program

from .torch_values import Output

# Two samples show that samples differ; more would show nothing new.
_SAMPLES = 2
# Batch-norms rounded another way move an argument by less than this share of a code.
_ROUNDING = 0.1


def limit_samples(proto: onnx.ModelProto) -> tuple[int, int]:
    """Makes the file draw at most a few samples; returns its seed and how many."""
    numbers = {}
    for tensor in proto.graph.initializer:
        if tensor.name in (SEED, COUNT):
            number = int(onnx.numpy_helper.to_array(tensor))
            if tensor.name == COUNT:
                number = min(number, _SAMPLES)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(number, np.int64), COUNT))
            numbers[tensor.name] = number
    return numbers[SEED], numbers[COUNT]


class Replay(torch.fx.Interpreter):
    """Runs a traced network on one sample, with signs that a file drew.

    Args:
        traced: the network with deterministic signs, `where(a < 0, ...)`.
        found: by traced name, the file's signs, +1 or -1, channels last.
        drawn: by traced name, how they are drawn and with which random numbers
            [pixels, channels].

    Attributes:
        wrong: by traced name, which signs the file may not have, bool.
        ties: how many draws the table's error decided.
    """

    def __init__(
        self,
        traced: torch.nn.Module,
        found: dict[str, NDArray[np.float32]],
        drawn: dict[str, tuple[Draw, NDArray[np.uint16]]],
    ) -> None:
        super().__init__(traced, garbage_collect_values=False)
        self.found = found
        self.drawn = drawn
        self.wrong: dict[str, NDArray[np.bool_]] = {}
        self.ties = 0

    def run_node(self, node: torch.fx.Node) -> Any:
        """Computes a node; for signs that the file holds, compares and takes the file's."""
        result = super().run_node(node)
        if node.name not in self.found:
            return result
        condition = node.args[0]
        assert isinstance(condition, torch.fx.Node)
        argument = condition.args[0]
        assert isinstance(argument, torch.fx.Node)
        a = _last(self.env[argument]).double().numpy()
        signs = self.found[node.name].reshape(a.shape)
        if node.name in self.drawn:
            draw, numbers = self.drawn[node.name]
            expected, close = _draw(a, draw, numbers)
        else:
            expected = np.where(a < 0, -1, 1)
            close = np.abs(a) <= 1e-4 * np.sqrt(np.square(a).mean())
        differs = signs != expected
        self.wrong[node.name] = differs & ~close
        self.ties += int((differs & close).sum())
        first = torch.from_numpy(signs.astype(np.float32))
        return first.permute(0, 3, 1, 2).contiguous() if first.ndim == 4 else first


def _draw(
    a: NDArray[np.float64], draw: Draw, numbers: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Signs drawn exactly, and which of them the table may draw otherwise."""
    r = numbers.reshape(-1, *a.shape[1:]).astype(np.float64)
    scaled = a * draw.scale
    table = draw.table
    bound = np.minimum(np.abs(scaled), CODES / table.codes * 2)
    upper = table.cdf(bound)
    limit = np.where(scaled < 0, 1 - upper, upper)
    tolerance = table.error + _ROUNDING / table.codes + 2 / 65536
    close: NDArray[np.bool_] = np.abs(r / 65536 - limit) <= tolerance
    return np.where(r / 65536 < limit, 1, -1), close


def _last(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, 2, 3, 1) if value.ndim == 4 else value


def trace(member: torch.nn.Module, images: NDArray[np.float32]) -> torch.nn.Module:
    """The network as the exporter traces it, with tensors of its own."""
    program = trace_program(copy.deepcopy(member), torch.from_numpy(images)).exported_program
    assert program is not None
    return program.module()


def replay(
    traced: torch.nn.Module,
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    outputs: dict[str, Output],
    values: dict[str, NDArray[Any]],
    draws: Mapping[str, Draw],
    seed: int,
    samples: int,
) -> tuple[dict[str, NDArray[np.bool_]], int, NDArray[np.float32]]:
    """Replays all that a file drew.

    Args:
        traced: the first member, by `trace`.
        members: the modules with deterministic signs that the file came from.
        images: float32 [N, C, H, W].
        outputs: by node name, the file's packed values.
        values: by name, what the file computed for these images.
        draws, seed, samples: how the file draws, with which seed, how many samples.

    Returns:
        By node name, which signs are wrong; how many draws the table's error
        decided; and torch's logits, [M * S, N, K].
    """
    batch = torch.from_numpy(images)
    wrong: dict[str, NDArray[np.bool_]] = {}
    ties = 0
    logits = []
    for index, member in enumerate(members):
        nodes = {name: made for name, made in outputs.items() if made.member == index}
        for sample in range(samples):
            found, drawn = {}, {}
            for made in nodes.values():
                packed = values[made.value]
                if len(packed) != len(images):
                    packed = packed[sample * len(images) : (sample + 1) * len(images)]
                shape = _shape(traced, made.source)
                found[made.source] = unpack_signs(packed, shape[-1])
                if made.layer is not None:
                    pixels = int(np.prod(shape[:-1]))
                    numbers = random_bits(seed, made.layer, sample, pixels, shape[-1])
                    drawn[made.source] = draws[made.name], numbers
            one = Replay(traced, found, drawn)
            one.module.load_state_dict(member.state_dict(), strict=False)
            with torch.no_grad():
                result = one.run(batch)
            logits.append(result.numpy())
            ties += one.ties
            for name, made in nodes.items():
                wrong[name] = wrong.get(name, np.False_) | one.wrong[made.source]
    return wrong, ties, np.stack(logits)


def _shape(traced: torch.nn.Module, source: str) -> list[int]:
    """The shape of one image's value in the traced network, channels last."""
    for node in traced.graph.nodes:  # type: ignore[union-attr]
        if node.name == source:
            _, channels, *pixels = node.meta["val"].shape
            return [int(size) for size in (*pixels, channels)]
    raise AssertionError(f"no value {source}")
