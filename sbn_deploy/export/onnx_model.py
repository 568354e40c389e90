"""Modules as one finished ONNX model in memory, checked against torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from sbn_converters.onnx import ensemble, lower, write
from sbn_converters.onnx.layers import Layer
from sbn_converters.onnx.samples import COUNT, FIRST, SEED, Samples
from sbn_converters.onnx.working_set import working_set
from sbn_deploy.validate import validate_members
from sbn_deploy.validate.onnx_engines import as_input
from sbn_deploy.validate.report import within_tolerance
from sbn_runtime import __version__
from sbn_runtime.errors import ModelError
from sbn_runtime.session import session_options

from .noise import Noise, check_drawn
from .trace import trace_program, with_weights


@dataclass(frozen=True)
class Built:
    """A finished model, and what the layers of its first member became."""

    proto: onnx.ModelProto
    layers: list[Layer]
    metadata: dict[str, Any]


def build(
    members: list[torch.nn.Module],
    example: torch.Tensor,
    *,
    metadata: dict[str, object] | None = None,
    noise: Noise | None = None,
) -> Built:
    """Lowers deterministic modules of one architecture to one model.

    The arguments and errors are those of `export_members`; ModelError if the
    model answers the example otherwise than torch.
    """
    traced = trace_program(members[0], example).model
    lowered, layers = [], []
    samples = Samples()
    draws = noise.draws if noise is not None else {}
    for index, member in enumerate(members):
        model = with_weights(traced, member)
        found = lower.lower(model, draws, samples)
        if index == 0:
            layers = found
        lowered.append(model)
    names = [f"member{index}" for index in range(len(members))]
    recorded = [layer.to_json() for layer in layers]
    if len(members) > 1:
        for entry in recorded:
            entry["node"] = f"{names[0]}/{entry['node']}"
    check_drawn(draws, layers)
    model = ensemble.with_probabilities(lowered, names, samples)
    count = noise.samples if noise is not None else 1
    said = {
        "weights": "threshold",
        **(metadata or {}),
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
    if noise is None:
        _check(proto, members, example)
    else:
        _check_draws(proto, members, example, noise)
    return Built(proto, layers, said)


def _check(proto: onnx.ModelProto, members: list[torch.nn.Module], example: torch.Tensor) -> None:
    """Runs the finished model on the example and compares its logits with torch's.

    Raises ModelError if they differ; no file is written then.
    """
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    found = session.run([proto.graph.output[0].name], {"input": as_input(proto, example.numpy())})[
        0
    ]
    with torch.no_grad():
        expected = torch.stack([member(example) for member in members]).numpy()
    if within_tolerance(np.reshape(found, expected.shape), expected):
        return
    # Float layers may decide a tie the other way; a close look tells.
    (result,) = validate_members(proto, members, example.numpy(), every_engine=False)
    if not result.ok:
        raise ModelError(
            f"the exported network differs from torch's from {result.first_layer} on;"
            " no file was written; `sbn doctor` shows the kernels in use"
        )


def _check_draws(
    proto: onnx.ModelProto, members: list[torch.nn.Module], example: torch.Tensor, noise: Noise
) -> None:
    """Runs the finished model on the example and compares what it draws with torch.

    Raises ModelError if they differ; no file is written then.
    """
    (result,) = validate_members(
        proto, members, example.numpy(), draws=noise.draws, every_engine=False
    )
    if not result.ok:
        raise ModelError(
            f"the exported network draws otherwise than torch from {result.first_layer} on;"
            " no file was written; `sbn doctor` shows the kernels in use"
        )
