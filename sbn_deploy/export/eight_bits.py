"""Float layers of a finished model in 8 bits: with which ranges, and which of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from sbn_converters.onnx.eight_bits import LARGEST_INPUT, LAYERS, Range, problem
from sbn_converters.onnx.graph import layer_name
from sbn_deploy import data, tasks
from sbn_deploy.data.dataset import Split
from sbn_deploy.engines.onnx import kernel_engine
from sbn_deploy.oracle.onnx_engines import as_feed
from sbn_deploy.tasks import Metric, Objective
from sbn_runtime.errors import ConfigError, ModelError
from sbn_runtime.preprocess import Preprocess, Standardize

_log = logging.getLogger(__name__)

IMAGES, TEST_IMAGES = 256, 1000
"""Examples that ranges are found with, and those that the metric is measured on; at most."""
MOST_LOST = 0.01
"""What share of the task's metric 8 bits may cost: MLPerf Inference asks for 99 % of it."""
_BATCH = 64
_BINS = 2048
# Of the whole range: what is tried as the range of the codes.
_SHARES = np.linspace(0.3, 1.0, 71)


@dataclass(frozen=True)
class Sample:
    """Examples to choose with.

    Attributes:
        name: of the data.
        inputs: of its training part, float32 [N, ...], normalised for the network.
        test_inputs: of its test part.
        targets: what to answer to these, by the task.
        objective: what the answers are for.
    """

    name: str
    inputs: NDArray[np.float32]
    test_inputs: NDArray[np.float32]
    targets: NDArray[Any]
    objective: Objective

    @property
    def metric(self) -> Metric:
        """What the answers are measured by."""
        return self.objective.main

    def score(self, proto: onnx.ModelProto) -> float:
        """The metric of a finished model's answers."""
        engine, answer = kernel_engine(proto.SerializeToString()), self.objective.task.answer
        parts = [
            engine.run(as_feed(proto, [batch]))[answer] for batch in _batches(self.test_inputs)
        ]
        return self.objective.scores(np.concatenate(parts), self.targets)[self.metric.key]


@dataclass(frozen=True)
class EightBits:
    """What became of the float layers of a model.

    Attributes:
        ranges: of those in 8 bits, by name.
        float_layers: those that stay float, with the reason.
        before, after: the metric without and with them.
    """

    sample: Sample
    ranges: dict[str, Range]
    float_layers: dict[str, str]
    before: float
    after: float

    def to_json(self) -> dict[str, object]:
        """What a file and a report say of it."""
        return {
            "data": self.sample.name,
            "examples": len(self.sample.inputs),
            "test_examples": len(self.sample.test_inputs),
            "metric": self.sample.metric.key,
            "before": self.before,
            "after": self.after,
            "ranges": {name: [found.low, found.high] for name, found in self.ranges.items()},
            "float_layers": self.float_layers,
        }

    def __str__(self) -> str:
        metric, sample = self.sample.metric, self.sample
        if not self.ranges and not self.float_layers:
            return "there is no layer for 8 bits: none is float"
        layers = (
            "1 layer computes" if len(self.ranges) == 1 else f"{len(self.ranges)} layers compute"
        )
        return (
            f"{layers} in 8 bits, with ranges of"
            f" {len(sample.inputs):,} examples of {sample.name}: {metric.title}"
            f" {metric.show(self.before)} before, {metric.show(self.after)} after, on"
            f" {len(sample.test_inputs):,} test examples"
        )


def load_sample(spec: str, task: str, preprocess: Preprocess | Standardize | None) -> Sample:
    """Examples of a data set for a network.

    Args:
        spec: what `sbn_deploy.data.load` accepts.
        task: of the network.
        preprocess: how examples become its input; None only for examples that are no images,
            which the data normalises itself.

    Raises:
        ConfigError: the data cannot be used, or not for this task.
        InputError: its examples do not fit the network.
    """
    if task == "none":
        raise ConfigError(
            "--int8 measures what 8 bits cost, which needs a task; give one with --task"
        )
    parts = []
    form = data.ImageForm.of(preprocess)
    counts: tuple[tuple[Split, int], ...] = (("train", IMAGES), ("test", TEST_IMAGES))
    for split, count in counts:
        part = data.load(spec, split, form).for_task(task).evenly(count)
        if preprocess is None and part.pixels:
            raise ConfigError(
                "--int8 needs to know how images become the network's input; add --preprocess"
            )
        if isinstance(preprocess, Preprocess) and not part.pixels:
            raise ConfigError(f"{spec} contains no 8-bit images, which the network takes")
        parts.append((part, (preprocess or part.preprocess).apply(part.images)))
    (first, inputs), (test, test_inputs) = parts
    return Sample(first.name, inputs, test_inputs, test.labels, tasks.find(task))


def choose(
    plain: onnx.ModelProto,
    ranges: Mapping[str, Range],
    refused: Mapping[str, str],
    make: Callable[[Mapping[str, Range]], onnx.ModelProto],
    sample: Sample,
) -> EightBits:
    """Which layers to compute in 8 bits, such that the metric loses at most `MOST_LOST`.

    All of them where that is so; else those that alone cost most stay float, one after the
    other.

    Args:
        plain: the finished model without any.
        ranges: of the layers that can be computed in 8 bits.
        refused: those that cannot, and why.
        make: the finished model with some layers in 8 bits.
    """
    before = sample.score(plain)

    def lost(score: float) -> float:
        loss = before - score if sample.metric.better == "higher" else score - before
        return loss / abs(before) if before else loss

    chosen, float_layers, costs = dict(ranges), dict(refused), dict[str, float]()
    after = sample.score(make(chosen))
    while chosen and lost(after) > MOST_LOST:
        _log.info("8 bits cost too much: trying each of %d layers alone", len(chosen))
        costs = costs or {
            name: lost(sample.score(make({name: one}))) for name, one in chosen.items()
        }
        worst = max(chosen, key=lambda name: costs[name])
        float_layers[worst] = "8 bits cost too much accuracy"
        del chosen[worst]
        after = sample.score(make(chosen))
    return EightBits(sample, chosen, float_layers, before, after)


def measure(
    models: Sequence[ir.Model], names: Sequence[str], inputs: NDArray[np.float32]
) -> tuple[dict[str, Range], dict[str, str]]:
    """The ranges of what layers of these names are given, over all members of an ensemble; and
    which of them cannot be computed in 8 bits, with the reason.

    Those whose codes miss the numbers least in the mean square.

    Args:
        models: traced members, as `Traced.onnx` gives them.
        inputs: float32 [N, ...].

    Raises:
        ModelError: a layer is given numbers that are not finite.
    """
    histograms: dict[str, list[_Histogram]] = {}
    refused: dict[str, str] = {}
    for model in models:
        given = _given(model, names, refused)
        proto = ir.to_proto(model)
        present = {value.name for value in [*proto.graph.output, *proto.graph.input]}
        wanted = list(dict.fromkeys(value for values in given.values() for value in values))
        proto.graph.output.extend(
            onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None)
            for value in wanted
            if value not in present
        )
        found = {value: _Histogram() for value in wanted}
        for step in (_Histogram.extend, _Histogram.count):
            for values in _runs(proto, wanted, inputs):
                for value, array in values.items():
                    step(found[value], array)
        for name, sources in given.items():
            histograms.setdefault(name, []).extend(found[value] for value in sources)
    return {name: _widest(found) for name, found in histograms.items()}, refused


class _Histogram:
    """How often numbers occur."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0
        self.counts = np.zeros(_BINS)

    def extend(self, array: NDArray[np.float32]) -> None:
        if not np.isfinite(array).all():
            raise ModelError(
                "the network computes NaN or infinity for the examples of --int8; check their"
                " preprocessing"
            )
        self.low = min(self.low, float(array.min()))
        self.high = max(self.high, float(array.max()))

    def count(self, array: NDArray[np.float32]) -> None:
        self.counts += np.histogram(array, _BINS, (self.low, self.high or 1.0))[0]

    def best(self) -> Range:
        """The part of the range whose codes miss the numbers least."""
        edges = np.linspace(self.low, self.high or 1.0, _BINS + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        errors = []
        for share in _SHARES:
            low, high = self.low * share, self.high * share
            outside = centres - np.clip(centres, low, high)
            # Within, errors are spread evenly over a step.
            step = (high - low) / LARGEST_INPUT
            errors.append(float(self.counts @ (outside**2 + (outside == 0) * step**2 / 12)))
        share = float(_SHARES[int(np.argmin(errors))])
        return Range(self.low * share, self.high * share)


def _widest(histograms: Sequence[_Histogram]) -> Range:
    ranges = [one.best() for one in histograms]
    return Range(min(one.low for one in ranges), max(one.high for one in ranges))


def _given(model: ir.Model, names: Sequence[str], refused: dict[str, str]) -> dict[str, list[str]]:
    """By layer, the names of the values that it is given; says of others why they are refused."""
    found: dict[str, list[str]] = {}
    for node in model.graph:
        name = layer_name(node)
        value = node.inputs[0] if node.inputs else None
        if name not in names or node.op_type not in (*LAYERS, "ConvTranspose"):
            continue
        if why := problem(node):
            refused[name] = why
        elif value is not None and value.name:
            found.setdefault(name, []).append(value.name)
    return found


def _runs(
    proto: onnx.ModelProto, wanted: Sequence[str], inputs: NDArray[np.float32]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Values of these names, batch by batch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (name,) = (value.name for value in session.get_inputs())
    computed = [value for value in wanted if value != name]
    for batch in _batches(inputs):
        # Asked for no output, onnxruntime gives all.
        arrays = session.run(computed, {name: batch}) if computed else []
        values = dict(zip(computed, arrays, strict=True))
        yield values | ({name: batch} if name in wanted else {})


def _batches(inputs: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(inputs), _BATCH):
        yield inputs[start : start + _BATCH]
