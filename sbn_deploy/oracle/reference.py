"""What torch computes given the signs of a file, and the file compared with it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from sbn_converters.onnx.last_activation import before_activation
from sbn_converters.onnx.noise import Draw, random_bits
from sbn_converters.onnx.packing import unpack_signs
from sbn_converters.onnx.samples import COUNT, SEED
from sbn_deploy.tracing.trace import Traced
from sbn_runtime.tasks import Task, find, member_name

from .coded import Coded
from .forced import Forced, Held, Verdict
from .report import EngineResult, mismatch, verdict, within_tolerance

# Two samples show that samples differ; more would show nothing new.
_SAMPLES = 2


@dataclass(frozen=True)
class Output:
    """A packed value of the exported file and the traced values whose signs it holds.

    `name` is that of the layer, `source` as in `Layer`. `exact` says whether the signs are
    those of whole-number sums, computed as torch does; `layer` is the number with which
    they are sampled, None for other signs.
    """

    name: str
    value: str
    member: int
    source: str
    exact: bool
    layer: int | None = None


_Run = tuple[fx.GraphModule, dict[str, list[Held]], dict[str, tuple[Coded, NDArray[np.uint8]]]]


class Reference:
    """The modules that a file came from.

    Args:
        traced: the first member.
        members: the modules with deterministic signs.
        outputs: by node name, the file's packed values.
        coded: its layers in 8 bits.
        task: of the first output.
        file: what errors call the file.

    Attributes:
        task: None for "none".
        names: of the network's outputs.
    """

    def __init__(
        self,
        traced: Traced,
        members: Sequence[torch.nn.Module],
        outputs: Mapping[str, Output],
        coded: Sequence[Coded],
        task: str,
        file: str,
    ) -> None:
        self._file = file
        self.outputs = outputs
        self.task: Task | None = find(task)
        self.names = traced.recording.outputs
        self._traced = traced
        self._networks = [traced.network(member) for member in members]
        batch = len(traced.recording.example[0])
        self._sizes = {
            node.name: _of_one(node.meta["val"], batch)
            for node in self._networks[0].graph.nodes
            if isinstance(node.meta.get("val"), Tensor)
        }
        graph = traced.model.graph
        found = list(graph.outputs)
        if self.task is not None:
            found[0] = before_activation(found[0], self.task)[0]
        nodes = next(n for n in self._networks[0].graph.nodes if n.op == "output").args[0]
        # An output has its own name in the model, other values that of their node.
        renamed = {value.name: node.name for value, node in zip(graph.outputs, nodes, strict=False)}
        self._coded = [replace(one, traced=renamed.get(one.traced, one.traced)) for one in coded]
        self._answers = [
            nodes[index].name if value is graph.outputs[index] else value.name or ""
            for index, value in enumerate(found)
        ]

    def compare(
        self,
        engine: str,
        inputs: Sequence[NDArray[Any]],
        values: Mapping[str, NDArray[Any]],
        answers: Sequence[NDArray[np.float32]],
        stochastic: Mapping[str, Draw],
        noise: tuple[int, int] | None,
    ) -> EngineResult:
        """Compares what an engine computed with torch, given the file's own signs.

        values: by name, packed signs, uint64. answers: of each output of the network, the
        rows [M * S, N, ...]. noise: the seed and how many samples there are, if it has noise.
        """
        count = len(inputs[0])
        batch = [torch.from_numpy(x) for x in inputs]
        expected: list[list[NDArray[np.float32]]] = []
        runs: list[_Run] = []
        compared = ties = 0
        wrong: dict[str, int] = {}
        tied = np.zeros(count, np.bool_)
        first = ""
        for index, network in enumerate(self._networks):
            for sample in range(noise[1] if noise else 1):
                held = self._held(
                    index, values, count, stochastic, (noise[0], sample) if noise else None
                )
                coded = {
                    one.traced: (
                        one,
                        self._codes(one.layer, values[one.value], count, sample, noise),
                    )
                    for one in self._coded
                    if one.member == index
                }
                runs.append((network, held, coded))
                forced = Forced(network, held, coded, self._answers, self._file)
                with torch.no_grad():
                    forced.run(*batch)
                expected.append([forced.kept[name].float().numpy() for name in self._answers])
                for layer, found in forced.verdicts.items():
                    compared += found.wrong.size
                    wrong[layer] = wrong.get(layer, 0) + int(found.wrong.sum())
                    ties += int(found.ties.sum())
                    tied |= found.ties.any(axis=1)
                    first = first or _difference(layer, found)
        references = [np.stack(rows) for rows in zip(*expected, strict=True)]
        moved = [0.0] * len(references)
        if not all(map(within_tolerance, answers, references)):
            moved = self._movement(runs, batch, references)
        return verdict(
            engine,
            count,
            compared,
            wrong,
            answers,
            references,
            moved,
            axis=None if self.task is None or self.task.activation != "softmax" else 2,
            ties=ties,
            tied_inputs=int(tied.sum()),
            stochastic=noise is not None,
            first_difference=first,
        )

    def _movement(
        self,
        runs: Sequence[_Run],
        batch: Sequence[Tensor],
        references: Sequence[NDArray[np.float32]],
    ) -> list[float]:
        """By how much torch's own roundings move each output, given the same signs.

        Found in float64, or with other kernels where a network computes in float32 only.
        """
        rows = []
        for network, held, coded in runs:
            try:
                with warnings.catch_warnings():
                    # torch remarks on its own copying here.
                    warnings.simplefilter("ignore", FutureWarning)
                    exact = copy.deepcopy(network).double()
                forced = Forced(exact, held, coded, self._answers, self._file)
                with torch.no_grad():
                    forced.run(*(x.double() if x.is_floating_point() else x for x in batch))
            except RuntimeError:
                forced = Forced(network, held, coded, self._answers, self._file)
                with torch.no_grad(), warnings.catch_warnings():
                    # torch warns of another vendor's hardware here.
                    warnings.simplefilter("ignore")
                    with torch.backends.mkldnn.flags(enabled=False):
                        forced.run(*batch)
            rows.append([forced.kept[name].double().numpy() for name in self._answers])
        found = [np.stack(row) for row in zip(*rows, strict=True)]
        return [
            float(np.abs(a - b).max(initial=0.0)) for a, b in zip(found, references, strict=True)
        ]

    def _held(
        self,
        member: int,
        values: Mapping[str, NDArray[Any]],
        count: int,
        stochastic: Mapping[str, Draw],
        noise: tuple[int, int] | None,
    ) -> dict[str, list[Held]]:
        """By traced name, the signs that the file holds of a member."""
        held: dict[str, list[Held]] = {}
        for node, made in self.outputs.items():
            if made.member != member:
                continue
            packed = values[made.value]
            negated = made.source.startswith("-")
            for source in made.source.removeprefix("-").split(","):
                name, _, edge = source.partition("@")
                signs, pixels = self._unpacked(packed, name, count, noise)
                sampled = None
                if made.layer is not None and noise is not None:
                    channels = signs.shape[1] // pixels
                    numbers = random_bits(noise[0], made.layer, noise[1], pixels, channels)
                    ordered = numbers.T if packed.ndim > 2 else numbers
                    sampled = stochastic[made.name], np.ascontiguousarray(ordered).reshape(-1)
                one = Held(node, signs, negated, float(edge or 0), made.exact, sampled)
                held.setdefault(name, []).append(one)
        return held

    def _codes(
        self,
        layer: str,
        codes: NDArray[np.uint8],
        count: int,
        sample: int,
        noise: tuple[int, int] | None,
    ) -> NDArray[np.uint8]:
        """The codes of one sample, [N, ...]; before any sign is drawn, all have the same."""
        if noise is not None and len(codes) > count:
            share = len(codes) // noise[1]
            codes = codes[sample * share : (sample + 1) * share]
        if codes.size % count:
            raise mismatch(self._file, layer)
        return codes.reshape(count, -1)

    def _unpacked(
        self, packed: NDArray[Any], name: str, count: int, noise: tuple[int, int] | None
    ) -> tuple[NDArray[np.float32], int]:
        """Signs [N, elements] in the order of the traced value, and pixels in an image."""
        if name not in self._sizes:
            raise mismatch(self._file, name)
        size = self._sizes[name]
        elements, words = int(np.prod(size)), packed.shape[-1]
        # Rows of a sequence lie one after the other; an image's pixels have axes of their own.
        of_image = int(np.prod(size[:-1])) if packed.ndim == 2 else 1
        if len(packed) > count * of_image and noise is not None:
            share = count * of_image
            packed = packed[noise[1] * share : (noise[1] + 1) * share]
        rows = packed.reshape(-1, words)
        pixels = len(rows) // count
        channels, rest = divmod(elements, max(pixels, 1))
        if rest or -(-channels // 64) != words:
            raise mismatch(self._file, name)
        signs = unpack_signs(rows, channels).reshape(count, pixels, channels)
        if packed.ndim > 2:
            signs = np.ascontiguousarray(signs.transpose(0, 2, 1))
        return signs.reshape(count, -1), pixels


def _of_one(value: Tensor, batch: int) -> list[int]:
    """The sizes of what one image has of a traced value; batch: that it was traced with."""
    first, *others = value.shape if value.ndim else (1,)
    rows = (first if isinstance(first, int) else first.node.hint) // batch
    return [*([rows] if rows > 1 else []), *map(int, others)]


def _difference(layer: str, found: Verdict) -> str:
    """What differs in a layer, in words; '' if nothing does."""
    wrong, ties = int(found.wrong.sum()), int(found.ties.sum())
    if not wrong and not ties:
        return ""
    images = int((found.wrong | found.ties).any(axis=1).sum())
    what = (
        f"{wrong + ties:,} of {found.wrong.size:,} signs differ, in {images} of"
        f" {len(found.wrong)} inputs, at {found.place or layer}"
    )
    if wrong:
        return f"{what}; arguments up to {found.farthest:.1g} of their root mean square"
    return (
        f"{what}: floats that are zero up to the order of sums (at most {found.farthest:.1g}"
        " of their root mean square), whose signs depend on that order"
    )


def answers_of(
    values: Mapping[str, NDArray[Any]], names: Sequence[str], task: Task | None, *, several: bool
) -> list[NDArray[np.float32]]:
    """The rows [M * S, N, ...] of each of a network's outputs, from the outputs of a file.

    names: of the network's outputs. task: of the first. several: whether the file has
    rows, for several members or samples.
    """
    found = []
    for index, own in enumerate(names):
        name = member_name(own) if several else own
        if index == 0 and task is not None:
            name = task.rows if several else task.raw or task.answer
        array = values[name if name in values else f"{name}_2"]
        found.append(array if several else array[None])
    return found


def limit_samples(proto: onnx.ModelProto) -> tuple[int, int]:
    """Makes the file take at most a few samples; returns its seed and how many."""
    numbers = {}
    for tensor in proto.graph.initializer:
        if tensor.name in (SEED, COUNT):
            number = int(onnx.numpy_helper.to_array(tensor))
            if tensor.name == COUNT:
                number = min(number, _SAMPLES)
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(number, np.int64), COUNT))
            numbers[tensor.name] = number
    return numbers[SEED], numbers[COUNT]
