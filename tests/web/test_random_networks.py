"""Random networks in the runtime for browsers; `make sweep` runs five hundred."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, assume, given, settings

from sbn_deploy.engines.onnx import native_lacks
from sbn_deploy.export import onnx_model

from ..converters.random_networks import NetworkSpec, build, networks
from .node import needs_node, needs_wasm
from .test_answers import compare

pytestmark = [needs_wasm, needs_node]


@given(networks())
@settings(
    deadline=None,
    max_examples=settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_packed_bits_are_those_of_onnxruntime(spec: NetworkSpec) -> None:
    network, x = build(spec)
    content = onnx_model.build([network], x).proto.SerializeToString()
    assume(not native_lacks(content))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        compare(path)
