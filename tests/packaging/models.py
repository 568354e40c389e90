"""Models whose answers must be the same on every device, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sbn_converters import ops
from sbn_deploy import data
from sbn_deploy.export import export_checkpoint
from sbn_deploy.materialize import Form

from ..runtime import one_node, test_stochastic_sign
from .wheels import ROOT

# As `sbn demo` exports a network.
EXPORTS: dict[str, dict[str, Any]] = {
    "threshold": {},
    "ensemble": {"weights": "sample", "members": 8},
    "noise": {"activations": "stochastic", "samples": 8},
}


def write(folder: Path) -> None:
    """Writes trained networks and the golden noise, each with its inputs for answers.py."""
    digits = data.load("digits", "test").images[:32]
    photographs = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    for name, options in EXPORTS.items():
        _network("digits-cnn", folder / f"digits-{name}.onnx", digits, options)
    _network("cifar-vgg-s", folder / "pixels-noise.onnx", photographs, EXPORTS["noise"])
    _golden_noise(folder)


def golden_words() -> dict[str, list[str]]:
    """What each model of the golden noise must answer, 64-bit words in hexadecimal."""
    golden = json.loads(test_stochastic_sign.GOLDEN.read_text())
    return {f"golden-{n}": case["words"] for n, case in enumerate(golden["cases"])}


def _network(model: str, path: Path, images: np.ndarray, options: dict[str, Any]) -> None:
    """Exports a trained network; what passes between its layers becomes an output too."""
    export_checkpoint(ROOT / "models" / model / "checkpoint.safetensors", path, Form(**options))
    proto = onnx.load(path)
    present = {output.name for output in proto.graph.output}
    for node in proto.graph.node:
        if node.domain == ops.DOMAIN and node.output[0] not in present:
            proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    onnx.save(proto, path)
    np.savez(path.with_suffix(".npz"), images=images)


def _golden_noise(folder: Path) -> None:
    golden = json.loads(test_stochastic_sign.GOLDEN.read_text())
    table = np.array(golden["table"], np.int32)
    for (name, _), case in zip(golden_words().items(), golden["cases"], strict=True):
        options = dict(case["options"])
        attributes = {key: options.pop(key) for key in ("layer", "fan_out")}
        x = test_stochastic_sign.golden_input(*case["shape"])
        inputs = test_stochastic_sign.feeds(x, table, **options)
        proto = one_node.model(
            "StochasticSign", inputs, attributes, constants=("table",), functions=False
        )
        onnx.save(proto, folder / f"{name}.onnx")
        np.savez(folder / f"{name}.npz", **{k: v for k, v in inputs.items() if k != "table"})
