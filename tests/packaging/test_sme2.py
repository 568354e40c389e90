"""The kernels of SME2 against their definition, on a processor of qemu that has it."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from ..once import once
from ..sampled import few
from ..tools.sme2_assembly import ASSEMBLY
from . import sme2
from .native import ROOT, arm_build, need, run, try_run

COMPILER = "aarch64-linux-gnu-g++"
PROBLEMS = 64
THRESHOLDS = {"conv_threshold", "dense_threshold"}
# What does nothing, by what it was, and the kernels that are wrong then.
FAULTS = {
    "bmops za0.s": THRESHOLDS | {"conv_float", "dense_float"},
    "usmopa za1.s": {"pixel_conv_threshold", "pixel_conv_float"},
    "fmopa za2.s": {"float_product"},
    "addha za3.s": THRESHOLDS | {"pixel_conv_threshold"},
    "cmplt p4.b": THRESHOLDS | {"pixel_conv_threshold"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the program kernel_test, and of what it was linked."""
    if sme2.qemu() is None:
        pytest.skip(f"no qemu with SME2. {sme2.REMEDY}")
    need(COMPILER)

    def make(folder: Path) -> None:
        options = ("-std=c++17", "-O1", "-DSBN_SME2=1", f"-I{ROOT / 'runtime' / 'src'}", "-c")
        source = ROOT / "runtime" / "tests" / "kernel_test.cc"
        run(COMPILER, *options, source, "-o", folder / "kernel_test.o")
        link(folder / "kernel_test", folder / "kernel_test.o", *operators())

    return once(tmp_path_factory, "sme2", make)


@pytest.fixture
def kernel_test(folder: Path) -> Path:
    return folder / "kernel_test"


def operators() -> list[Path]:
    """The objects of the library."""
    return list(arm_build("sbn_operators").glob("CMakeFiles/sbn_operators.dir/**/*.o"))


def link(program: Path, *objects: Path) -> None:
    run(COMPILER, "-static", *objects, "-o", program)


def on_processor(length: int, program: Path, *arguments: str) -> list[str]:
    return run(*sme2.command(length, program, *arguments)).splitlines()


@pytest.mark.parametrize("length", sme2.LENGTHS)
def test_every_kernel_computes_its_definition(kernel_test: Path, length: int) -> None:
    *tested, fastest, failures = on_processor(length, kernel_test, str(PROBLEMS), "0", "sme2")
    layers = ("conv", "dense", "pixel_conv")
    ops = [f"{layer}_{end}" for layer in layers for end in ("threshold", "float")]
    assert tested == [f"tested {op}_sme2" for op in (*ops, "float_product")]
    assert failures == "0 failures"
    # Made for 512 bits, and taken by itself there; with others a timing decides.
    sets = ("sme2",) if length == 512 else ("neon", "neon_lut2", "sme2")
    assert fastest.removeprefix("fastest kernel set: ") in sets


@pytest.mark.parametrize("instruction", few(FAULTS, 2))
def test_a_missing_instruction_is_noticed(folder: Path, tmp_path: Path, instruction: str) -> None:
    pattern = rf"\.inst\t\S+(?=  // {re.escape(instruction)})"
    code, faults = re.subn(pattern, "nop", ASSEMBLY.read_text())
    assert faults
    broken = tmp_path / "broken.s"
    broken.write_text(code)
    others = [path for path in operators() if path.name != f"{ASSEMBLY.name}.o"]
    link(tmp_path / "kernel_test", folder / "kernel_test.o", broken, *others)
    done = try_run(*sme2.command(512, tmp_path / "kernel_test", "16", "0", "sme2"))
    assert done.returncode == 1, done.stderr
    found = set(re.findall(r"^FAILED (\w+)_sme2: ", done.stdout, re.MULTILINE))
    assert found == FAULTS[instruction]


def test_longer_vectors_are_not_for_these_kernels(kernel_test: Path) -> None:
    *lines, _, failures = on_processor(1024, kernel_test, "1", "0", "sme2")
    assert len(lines) == 7
    assert all(line.endswith("_sme2: not on this machine") for line in lines)
    assert failures == "0 failures"


@pytest.mark.parametrize("core", ["cortex-a76", "max,sme=off"])
def test_a_core_without_sme_does_not_run_them(kernel_test: Path, core: str) -> None:
    """The emulator ends a program at the first instruction that the core lacks."""
    emulator = sme2.qemu()
    assert emulator
    done = try_run(emulator, "-cpu", core, kernel_test, "1", "0")
    assert done.returncode == 0
    assert "skipped conv_float_sme2: not on this machine" in done.stdout
    assert "tested conv_float_neon\n" in done.stdout


def test_they_make_no_library_much_larger(tmp_path: Path) -> None:
    """That for x86-64 Linux has seven of them, for boards, phones and simulators."""
    need(COMPILER)
    ours = [path for path in operators() if "sme2" in path.name or path.parent.name == "sme2"]
    assert len(ours) == 6
    code = b""
    for path in ours:
        copied = tmp_path / "code"
        sections = ("--only-section=.text*", "--only-section=.rodata*")
        run("aarch64-linux-gnu-objcopy", "-O", "binary", *sections, path, copied)
        code += copied.read_bytes()
    assert len(zlib.compress(code)) < 15_000
