"""Modules as one finished ONNX model in memory, checked against torch."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from sbn_converters.onnx import ensemble, lower, write
from sbn_converters.onnx.eight_bits import Range
from sbn_converters.onnx.last_activation import before_activation, task_of
from sbn_converters.onnx.lower import Lowered
from sbn_converters.onnx.pixels import PIXEL_MAX
from sbn_converters.onnx.samples import COUNT, FIRST, SEED, Samples
from sbn_converters.onnx.working_set import working_set
from sbn_deploy.engines.onnx import engine_of, native_lacks
from sbn_deploy.engines.table import NATIVE, SBN
from sbn_deploy.oracle import validate_members
from sbn_deploy.oracle.onnx_engines import as_feed
from sbn_deploy.oracle.reference import answers_of
from sbn_deploy.oracle.report import within_tolerance
from sbn_deploy.tracing.observed import observe
from sbn_deploy.tracing.run import state_of
from sbn_deploy.tracing.trace import Traced, trace
from sbn_runtime import __version__
from sbn_runtime.errors import ConfigError, ModelError, UnsupportedLayerError
from sbn_runtime.preprocess import Preprocess, preprocess_from
from sbn_runtime.tasks import find

from .eight_bits import EightBits, choose, load_sample, measure
from .noise import Noise, check_stochastic

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """A finished model, what the layers of its first member became, and its trace.

    eight_bits: what became of its float layers, if they were to be computed in 8 bits.
    """

    proto: onnx.ModelProto
    lowered: Lowered
    metadata: dict[str, Any]
    traced: Traced
    eight_bits: EightBits | None = None


def build(
    members: Sequence[nn.Module],
    example: Tensor | Sequence[Tensor],
    *,
    task: str | None = None,
    metadata: dict[str, object] | None = None,
    noise: Noise | None = None,
    int8: str | None = None,
    engine: str = SBN,
) -> Built:
    """Lowers deterministic modules of one architecture to one model.

    The arguments and errors are those of `export_model`; ModelError if the
    model does not answer the example as torch does.
    """
    for member in members:
        _check_numbers(member)
    traced = trace(members[0], example)
    if task is None:
        task = task_of(traced.model.graph.outputs)
    preprocess = (metadata or {}).get("preprocess")
    known = preprocess_from(preprocess) if isinstance(preprocess, dict) else None
    if int8 is not None and len(traced.recording.example) > 1:
        raise ConfigError("--int8 is for networks with one input: data sets do not provide more")
    sample = load_sample(int8, task, known) if int8 is not None else None
    observed = observe(traced)
    _check_activation(traced, observed.answers[0], task)
    make = partial(assembled, traced, members, task, observed.zeros, metadata or {}, noise)
    _log.info("finding and packing the binary layers")
    built = make({})
    _log.info("comparing the file's answers with torch's")
    _check(built, members, noise, engine)
    if sample is None:
        return built
    _log.info("finding the ranges of the float layers")
    names = [layer.name for layer in built.lowered.layers if layer.kind == "float"]
    ranges, refused = measure([traced.onnx(member) for member in members], names, sample.inputs)
    _log.info("measuring what 8 bits cost")
    eight_bits = choose(built.proto, ranges, refused, lambda some: make(some).proto, sample)
    made = make(eight_bits.ranges, eight_bits)
    _check(made, members, noise, engine)
    return made


def assembled(
    traced: Traced,
    members: Sequence[nn.Module],
    task: str,
    zeros: Collection[str],
    metadata: dict[str, object],
    noise: Noise | None,
    ranges: Mapping[str, Range],
    eight_bits: EightBits | None = None,
) -> Built:
    """The finished model, with the layers of these ranges in 8 bits."""
    samples = Samples()
    stochastic = noise.signs if noise is not None else {}
    models = [traced.onnx(member) for member in members]
    pixels = _are_pixels(metadata.get("preprocess"))
    lowered, *_ = [
        lower.lower(model, stochastic, samples, zeros, pixels=pixels, ranges=ranges)
        for model in models
    ]
    names = [f"member{index}" for index in range(len(members))]
    recorded = [layer.to_json() for layer in lowered.layers]
    if len(members) > 1:
        for entry in recorded:
            entry["node"] = f"{names[0]}/{entry['node']}"
    check_stochastic(stochastic, lowered.layers)
    model = ensemble.with_answers(models, names, samples, task)
    count = noise.samples if noise is not None else 1
    said = {
        "weights": "threshold",
        **metadata,
        **({"int8": eight_bits.to_json()} if eight_bits is not None else {}),
        "task": task,
        "sbn_deploy": __version__,
        "members": len(members),
        "layers": recorded,
        "working_set": working_set(model.graph),
        "activations": "stochastic" if noise is not None else "deterministic",
        "samples": count,
        **({"noise_seed": noise.seed} if noise is not None else {}),
    }
    proto = write.finish(
        model, said, {SEED: noise.seed, FIRST: 0, COUNT: count} if noise is not None else {}
    )
    return Built(proto, lowered, said, traced, eight_bits)


def _check_numbers(member: nn.Module) -> None:
    """Raises ModelError for NaN weights, as of training that diverged."""
    for name, value in state_of(member).items():
        if torch.nn.parameter.is_lazy(value):
            raise ModelError(
                f"{name} has no shape yet; run the module once on an example before exporting it"
            )
        wrong = int(value.isnan().sum()) if value.is_floating_point() else 0
        if wrong:
            raise ModelError(
                f"{name} contains NaN, {wrong:,} of {value.numel():,} numbers: its training"
                " diverged, or its file is damaged"
            )


def _check_activation(traced: Traced, answer: Tensor, task: str) -> None:
    """Raises UnsupportedLayerError where probabilities would be normalised once more."""
    known = find(task)
    if known is None or known.activation != "softmax" or answer.shape[known.axis] < 2:
        return
    _, spelling = before_activation(traced.model.graph.outputs[0], known)
    sums = answer.sum(known.axis)
    if not spelling and bool((answer >= 0).all()) and torch.allclose(sums, torch.ones_like(sums)):
        raise UnsupportedLayerError(
            "the network already outputs probabilities, but not by torch.softmax; end it with"
            " torch.softmax, or with logits, or use --task none"
        )


def _are_pixels(preprocess: object) -> bool:
    """Whether images may be (2 p - 255) / 255 for pixels p, as far as their preprocessing says."""
    if not isinstance(preprocess, dict):
        return True
    known = preprocess_from(preprocess)
    return (
        isinstance(known, Preprocess)
        and known.pixel_max == PIXEL_MAX
        and {*known.mean, *known.std} == {0.5}
    )


def _check(built: Built, members: Sequence[nn.Module], noise: Noise | None, engine: str) -> None:
    """Runs the finished model on the example in an engine and compares its answers with torch's.

    Raises ModelError if they differ, and UnsupportedLayerError if the engine lacks an operator; no
    file is written then.
    """
    if engine == NATIVE and (lacks := native_lacks(built.proto.SerializeToString())):
        raise UnsupportedLayerError(f"engine {NATIVE} cannot run this network: {lacks}")
    inputs = [x.numpy() for x in built.traced.recording.example]
    if noise is None and _answers_alike(built, members, inputs, engine):
        return
    # Float layers may decide a tie the other way; a closer look shows.
    (result,) = validate_members(
        built.proto,
        list(members),
        inputs,
        stochastic=noise.signs if noise is not None else {},
        engine=engine,
        traced=built.traced,
    )
    if not result.ok:
        raise ModelError(
            f"the exported network differs from torch, first at {result.first_layer},"
            f" by up to {result.logits_difference:.2g}; no file was written. This is a bug in"
            " sbn-deploy: please report it with the network"
        )


def _answers_alike(
    built: Built, members: Sequence[nn.Module], inputs: Sequence[NDArray[Any]], engine: str
) -> bool:
    """Whether the model's outputs are those of torch, with no closer look."""
    opened = engine_of(engine, built.proto.SerializeToString())
    answers = dict(opened.run(as_feed(built.proto, inputs)))
    recording = built.traced.recording
    task = find(built.metadata["task"])
    found = answers_of(answers, recording.outputs, task, several=len(members) > 1)
    batch = tuple(torch.from_numpy(x) for x in inputs)
    for index, member in enumerate(members):
        constants = built.traced.constants(member)
        with torch.no_grad():
            expected = functional_call(recording.graph_module, constants, batch)
        for array, tensor in zip(found, expected, strict=True):
            row = array[index]
            if row.shape != tuple(tensor.shape):
                return False
            if not within_tolerance(row, tensor.float().numpy()):
                return False
    return True
