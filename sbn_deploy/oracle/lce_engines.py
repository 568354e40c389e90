"""A TFLite file in LCE's interpreter with each of its kernels, compared with torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sbn_converters.tflite.metadata import metadata
from sbn_converters.tflite.model import Model
from sbn_converters.tflite.words32 import to_words64
from sbn_converters.tflite.write import write
from sbn_deploy.lce.interpreter import KERNELS, Kernels
from sbn_deploy.lce.process import run_lce
from sbn_deploy.tracing.trace import Traced, trace
from sbn_runtime.errors import ModelError

from .onnx_engines import as_pixels
from .reference import Output, Reference
from .report import EngineResult


@dataclass(frozen=True)
class _Signs:
    """A layer's signs in the file: and which of them the file negates, int32 [words]."""

    output: Output
    negated: NDArray[np.int32] | None


def validate_lce(
    model: Model,
    members: list[torch.nn.Module],
    images: NDArray[np.float32],
    *,
    name: str,
    kernels: Sequence[Kernels] = KERNELS,
    traced: Traced | None = None,
) -> list[EngineResult]:
    """Compares a translated model with the modules that it came from.

    Args:
        images: float32 [N, C, H, W], as the network takes them.
        name: what errors call the file.
        traced: the first member, if it was traced already.

    Raises:
        MissingDependencyError: larq-compute-engine is not installed.
        ModelError: the file does not contain the layers named in its metadata; or
            LCE cannot run it.
    """
    signs = _signs(model, len(members), name)
    outputs = {node: found.output for node, found in signs.items()}
    if traced is None:
        traced = trace(members[0], torch.from_numpy(images[:2]))
    reference = Reference(traced, members, outputs, [], "classification", name)
    indices = {tensor.name: index for index, tensor in enumerate(model.tensors)}
    added = [indices[made.value] for made in outputs.values()]
    shown = list(dict.fromkeys([*model.outputs, *added]))
    data = write(replace(model, outputs=shown, output_names=[]))
    fed = as_tflite_input(model, images)
    results = []
    for kind in kernels:
        arrays = run_lce(data, fed, kernels=kind, name=name)
        values = {
            model.tensors[index].name: array for index, array in zip(shown, arrays, strict=True)
        }
        packed = {
            found.output.value: _words(found, values, len(images), node, name)
            for node, found in signs.items()
        }
        logits = logits_of(values, name)
        results.append(reference.compare(f"lce {kind}", [images], packed, [logits], {}, None))
    return results


def as_tflite_input(model: Model, images: NDArray[np.float32]) -> NDArray[Any]:
    """Normalised images [N, C, H, W] as the file takes them: [N, H, W, C], or pixels of those."""
    if not model.inputs:
        raise ModelError("the TFLite file has no input; export it again")
    if model.tensors[model.inputs[0]].dtype == np.uint8:
        return as_pixels(images)
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))


def logits_of(values: dict[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """Logits [M, N, K] from the outputs of N runs by name: [N, M, 1, K] or [N, 1, K].

    name: what errors call the file. Raises ModelError if there are none.
    """
    match values:
        case {"member_logits": logits} if logits.ndim == 4:
            return logits[:, :, 0].swapaxes(0, 1)
        case {"logits": logits} if logits.ndim == 3:
            return logits.swapaxes(0, 1)
    raise ModelError(f"{name} has no output with logits; export it again")


def _words(
    found: _Signs,
    values: dict[str, NDArray[Any]],
    count: int,
    node: str,
    name: str,
) -> NDArray[np.uint64]:
    """What the file holds of a layer's signs of each image, uint64 [N, pixels, words]."""
    held = values[found.output.value]
    try:
        words = to_words64(held if found.negated is None else held ^ found.negated)
        return words.reshape(count, -1, words.shape[-1])
    except ValueError as error:
        raise ModelError(
            f"{name}: {found.output.value} does not contain the signs of {node}; export it again"
        ) from error


def _signs(model: Model, members: int, name: str) -> dict[str, _Signs]:
    """By the node's name in the ONNX file, where the signs of a layer are."""
    meta = metadata(model, name)
    tensors = {tensor.name: index for index, tensor in enumerate(model.tensors)}
    exact = _exact(model)
    found = {}
    try:
        for member in range(members):
            for layer in meta["layers"]:
                node = layer["node"].replace("member0/", f"member{member}/", 1)
                if not layer.get("source") or node not in meta["packed"]:
                    continue
                held = meta["packed"][node]
                index = tensors[held["tensor"]]
                negated = None
                if "turned" in held:
                    negated = np.frombuffer(bytes.fromhex(held["turned"]), "<i4")
                if model.tensors[index].dtype != np.int32:
                    raise ValueError(f"{held['tensor']} is not packed")
                output = Output(node, held["tensor"], member, layer["source"], index in exact)
                found[node] = _Signs(output, negated)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{name} does not contain the layers named in its metadata ({error}); export it again"
        ) from error
    return found


def _exact(model: Model) -> set[int]:
    """Signs of integers, whatever torch computes of these: there are no ties."""
    exact: set[int] = set()
    for operator in model.operators:
        if model.tensors[operator.outputs[0]].dtype != np.int32 or operator.name == "LceQuantize":
            continue
        packed = {i for i in operator.inputs if i >= 0 and model.tensors[i].data is None}
        if operator.name == "LceBconv2d" or packed <= exact:
            exact.update(operator.outputs)
    return exact
