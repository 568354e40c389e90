"""The libraries for macOS: what they say, and that their code answers as Linux's does.

No Mac runs them here: a loader of our own does. test_arm.py runs those for ARM.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from sbn_runtime import __version__

from ..built import RUNTIME
from ..native.library import path_of
from . import macho
from .host import (
    HERE,
    answers,
    compiled,
    functions,
    golden,
    operator_functions,
    platform_folder,
    run,
)

INTEL, ARM = "x86_64-apple-macos11.0", "arm64-apple-macos11.0"
PROCESSORS = {INTEL: macho.X86_64, ARM: macho.ARM64}


@pytest.mark.parametrize("triple", [INTEL, pytest.param(ARM, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["libsbn.dylib", "libsbn_native.dylib"])
def test_library_is_for_its_system(triple: str, name: str) -> None:
    found = macho.read((platform_folder(triple) / name).read_bytes())
    assert (found.processor, found.kind) == (PROCESSORS[triple], macho.DYLIB)
    assert (found.platform, found.minimum) == (macho.MACOS, (11, 0))
    assert found.name == f"@rpath/{name}"
    assert found.libraries == ["/usr/lib/libSystem.B.dylib"]
    assert found.defined == (operator_functions() if "native" not in name else functions())
    assert found.undefined <= macho.system_names(RUNTIME / "src/libc/libSystem.tbd")
    assert not found.writable_code
    # Without a signature an ARM Mac loads nothing.
    assert found.signed > 0 or triple == INTEL
    assert found.wrong == 0


@pytest.mark.long
def test_damage_is_seen() -> None:
    data = bytearray((platform_folder(ARM) / "libsbn.dylib").read_bytes())
    data[0x8000] ^= 1
    assert macho.read(bytes(data)).wrong == 1


@pytest.mark.parametrize("features", ["", "avx512f"])
def test_intel_code_answers_as_linux(
    features: str, models: list[Path], expected: bytes, tmp_path: Path
) -> None:
    library = platform_folder(INTEL) / "libsbn_native.dylib"
    program = compiled(tmp_path, "x86_64", "SBN_MACHO")
    ran = answers(program, library, models, features=features, folder=tmp_path)
    assert ran.sets[0] == "scalar"
    assert set(ran.outputs) == {expected}
    assert ran.version == __version__


def test_operators_answer_as_linux_in_onnxruntime(tmp_path: Path) -> None:
    (ours,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    options = ("-std=gnu11", "-I", RUNTIME / "include", HERE / "operators.c", "-ldl", "-pthread")
    run("cc", *options, "-o", tmp_path / "linux")
    run("cc", "-DSBN_MACHO", *options, "-o", tmp_path / "mac")
    outputs = []
    for program, library in (
        ("linux", path_of("libsbn.so")),
        ("mac", platform_folder(INTEL) / "libsbn.dylib"),
    ):
        run(tmp_path / program, ours, library, tmp_path / f"{program}.out", *golden())
        outputs.append((tmp_path / f"{program}.out").read_bytes())
    assert outputs[0] == outputs[1]
