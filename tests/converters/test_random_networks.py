"""Random networks agree with torch in every engine, bit for bit.

`make test` runs a few; `make sweep` runs a thousand.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from sbn_deploy.export import onnx_model
from sbn_deploy.oracle import validate_members
from sbn_runtime import available_isas

from .random_networks import NetworkSpec, build, networks


@given(networks())
@settings(
    deadline=None,
    max_examples=settings.default.max_examples * 2 // 5,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_every_engine_agrees_with_torch(spec: NetworkSpec) -> None:
    network, x = build(spec)
    made = onnx_model.build([network], x)
    results = validate_members(made.proto, [network], x.numpy(), traced=made.traced)
    engines = {result.engine for result in results}
    assert {f"sbn {isa}" for isa in available_isas()} < engines
    # Not every network has only operators that our own runtime has.
    assert len(engines - {"native"}) == len(available_isas()) + 2
    assert all(result.compared_bits for result in results)
    assert [result for result in results if not result.ok or result.tied_inputs] == []
