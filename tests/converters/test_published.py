"""Networks in the manner of published methods, as their authors write them, become packed files.

`python -m tests.tools.published` does the same with the networks in their published sizes.
"""

from __future__ import annotations

import pytest
import torch

from sbn_deploy.export.onnx_model import build
from sbn_deploy.oracle import validate_members
from sbn_deploy.oracle.report import within_tolerance
from tests.published.catalogue import NETWORKS

from ..sampled import few


@pytest.mark.parametrize("name", few(NETWORKS, 3))
def test_binary_layers_are_packed_and_answer_as_torch(name: str) -> None:
    network = NETWORKS[name]
    module = network.tiny.build()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    built = build([module], network.tiny.example())

    layers = [layer for layer in built.lowered.layers if layer.candidate]
    floats = {layer.name: layer.why for layer in layers if layer.kind == "float"}
    assert floats.keys() == network.floats.keys()
    assert all(network.floats[layer] in why for layer, why in floats.items())
    packed = {layer.name for layer in layers if layer.kind == "binary"}
    assert len(packed) == network.binary - len(floats)

    # Other numbers and another batch than those of the export.
    x = network.tiny.example(3, seed=2)
    (result,) = validate_members(
        built.proto, [module], x.numpy(), engine="sbn", traced=built.traced
    )
    assert result.ok, result
    assert result.compared_bits >= len(packed)
    with torch.no_grad():
        (recorded,) = built.traced.network(module)(x)
        expected = module(x)
    assert within_tolerance(recorded.numpy(), expected.numpy())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
