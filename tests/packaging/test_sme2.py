"""The kernels of SME2 against their definition, on a processor of qemu that has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..once import once
from . import sme2
from .native import ROOT, arm_build, need, run, try_run

COMPILER = "aarch64-linux-gnu-g++"
PROBLEMS = 64


@pytest.fixture(scope="module")
def kernel_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sme2.qemu() is None:
        pytest.skip(f"no qemu with SME2. {sme2.REMEDY}")
    need(COMPILER)

    def make(folder: Path) -> None:
        objects = arm_build("sbn_operators").glob("CMakeFiles/sbn_operators.dir/**/*.o")
        options = ("-std=c++17", "-O1", "-static", "-DSBN_SME2=1", f"-I{ROOT / 'runtime' / 'src'}")
        source = ROOT / "runtime" / "tests" / "kernel_test.cc"
        run(COMPILER, *options, source, *objects, "-o", folder / "kernel_test")

    return once(tmp_path_factory, "sme2", make) / "kernel_test"


def on_processor(length: int, program: Path, *arguments: str) -> list[str]:
    return run(*sme2.command(length, program, *arguments)).splitlines()


@pytest.mark.parametrize("length", sme2.LENGTHS)
def test_every_kernel_computes_its_definition(kernel_test: Path, length: int) -> None:
    *tested, fastest, failures = on_processor(length, kernel_test, str(PROBLEMS), "0", "sme2")
    ops = ("conv", "dense", "pixel_conv")
    assert tested == [f"tested {op}_{end}_sme2" for op in ops for end in ("threshold", "float")]
    assert failures == "0 failures"
    # Made for 512 bits, and taken by itself there only.
    assert (fastest == "fastest kernel set: sme2") == (length == 512)


def test_longer_vectors_are_not_for_these_kernels(kernel_test: Path) -> None:
    *lines, _, failures = on_processor(1024, kernel_test, "1", "0", "sme2")
    assert len(lines) == 6
    assert all(line.endswith("_sme2: not on this machine") for line in lines)
    assert failures == "0 failures"


def test_a_core_without_sme_does_not_run_them(kernel_test: Path) -> None:
    emulator = sme2.qemu()
    assert emulator
    done = try_run(emulator, "-cpu", "cortex-a76", kernel_test, "1", "0", "sme2")
    assert done.returncode == 0
    assert "skipped conv_float_sme2: not on this machine" in done.stdout
