"""Random networks in the native runtime on emulated ARM: the answers of this machine.

`make test` runs a few, `make sweep` hundreds. All tensors of our operators are compared, bit for
bit.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings

from sbn_deploy.engines.onnx import native_lacks
from sbn_deploy.export import onnx_model
from sbn_deploy.remote.calls import Recording, check_outputs, read_outputs, write_calls
from sbn_runtime.engines.native import Native

from ..converters.random_networks import NetworkSpec, build, networks
from ..packaging import sme2
from ..packaging.native import arm_program, need
from .test_answers import with_inner_outputs

PROCESSORS = {
    "neon": ["qemu-aarch64", "-cpu", "cortex-a76"],
    "neon_lut2": ["qemu-aarch64", "-cpu", "max"],
}


@pytest.fixture(scope="module")
def program() -> Path:
    need("qemu-aarch64")
    return arm_program()


def compare(program: Path, spec: NetworkSpec, kernels: dict[str, tuple[str, list[str]]]) -> None:
    """A network on processors: by what they are called, the kernel set and the emulator."""
    network, x = build(spec)
    proto = onnx_model.build([network], x).proto
    assume(not native_lacks(proto.SerializeToString()))
    (name,) = [value.name for value in proto.graph.input]
    with TemporaryDirectory() as folder:
        model, calls, outputs = (Path(folder) / each for each in ("model.onnx", "calls", "outputs"))
        model.write_bytes(with_inner_outputs(proto).SerializeToString())
        here = Recording(Native(model, threads=1))
        here.run([], {name: x.numpy()})
        write_calls(calls, here.calls)
        for what, (isa, emulator) in kernels.items():
            done = subprocess.run(
                [*emulator, program, "run", model, calls, "1", outputs],
                env=os.environ | {"SBN_ISA": isa},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, (what, done.stderr)
            assert json.loads(done.stdout)["isa"] == isa
            there = read_outputs(outputs, here.answers)
            check_outputs(what, here.outputs, here.answers, there)


@given(networks())
@settings(
    deadline=None,
    max_examples=settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_neon(program: Path, spec: NetworkSpec) -> None:
    compare(program, spec, {isa: (isa, emulator) for isa, emulator in PROCESSORS.items()})


@pytest.mark.parametrize("length", sme2.LENGTHS)
def test_sme2(length: int, program: Path) -> None:
    if sme2.qemu() is None:
        pytest.skip(f"no emulator of SME2 here. {sme2.REMEDY}")
    # Most with the vectors that the kernels are made for: 1,000 in `make sweep`, 100 with others.
    times = 10 if length == 512 else 1

    @given(networks())
    @settings(
        deadline=None,
        max_examples=max(1, settings.default.max_examples * times // 25),
        suppress_health_check=[HealthCheck.too_slow],
    )
    def check(spec: NetworkSpec) -> None:
        compare(program, spec, {f"{length} bits": ("sme2", sme2.command(length, "")[:-1])})

    check()
