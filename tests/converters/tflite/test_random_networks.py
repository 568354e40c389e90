"""Random networks in LCE's interpreter agree with torch, bit for bit, in all its kernels.

`make test` runs a few; `make sweep` runs five hundred.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.converters.random_networks import NetworkSpec, build, networks

from .lce import exact, needs_lce


@needs_lce
@given(networks())
@settings(
    max_examples=settings.default.max_examples // 5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_every_kind_of_kernels_agrees_with_torch(spec: NetworkSpec) -> None:
    network, x = build(spec)
    exact(network, x, may_tie=any(block.residual for block in spec.convs))
