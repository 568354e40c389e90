"""The libraries for Windows: what they say, and that their code answers as Linux's does.

Those for x86-64 run in Wine, also with onnxruntime's own DLL. test_arm.py runs those for ARM.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import onnxruntime
import pytest

from sbn_runtime import __version__

from ..built import RUNTIME
from ..native.library import path_of
from ..once import once
from ..packaging.wheels import pip
from . import pe, wine
from .host import (
    HERE,
    finished,
    functions,
    golden,
    operator_functions,
    platform_folder,
    run,
)

X64, ARM = "x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"
MACHINES = {X64: pe.X86_64, ARM: pe.ARM64}
# The oldest whose wheels for Windows have onnxruntime's library by itself, and that of Linux here.
OLDEST = "1.20.0"


@pytest.mark.parametrize("triple", MACHINES)
@pytest.mark.parametrize("name", ["sbn", "sbn_native"])
def test_library_is_for_its_system(triple: str, name: str) -> None:
    found = pe.read((platform_folder(triple) / f"{name}.dll").read_bytes())
    assert found.machine == MACHINES[triple]
    assert found.exports == (operator_functions() if name == "sbn" else functions())
    assert found.system <= (10, 0)
    flags = pe.ANYWHERE | pe.EVERYWHERE | pe.NO_CODE_IN_DATA
    assert found.flags & flags == flags
    assert not found.writable_code
    known = set((RUNTIME / "src/libc/kernel32.def").read_text().split()[1:])
    assert set(found.imports) == {"kernel32.dll"}
    assert found.imports["kernel32.dll"] <= known


def test_every_declared_function_is_one_that_is_linked() -> None:
    declared = re.findall(
        r"^SBN_KERNEL32 .*?(\w+)\(", (RUNTIME / "src/base/kernel32.h").read_text(), re.MULTILINE
    )
    listed = (RUNTIME / "src/libc/kernel32.def").read_text().partition("EXPORTS\n")[2].split()
    assert sorted(declared) == listed


def test_runtime_answers_as_linux(models: list[Path], expected: bytes, tmp_path: Path) -> None:
    library = platform_folder(X64) / "sbn_native.dll"
    command = ("wine", wine.compiled("answers", tmp_path))
    ran = finished(command, library, models, env=wine.ready(), folder=tmp_path)
    assert ran.sets[0] == "scalar"
    assert set(ran.outputs) == {expected}
    assert ran.version == __version__
    assert ran.refusal.startswith("none.onnx: File not found")


@pytest.fixture(scope="module", params=[OLDEST, onnxruntime.__version__])
def dll(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime.dll of this version, from its wheel."""

    def fetch(folder: Path) -> None:
        where = ("--only-binary=:all:", "--platform=win_amd64", "--python-version=3.12")
        pip("download", "--no-deps", *where, f"--dest={folder}", f"onnxruntime=={request.param}")
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract("onnxruntime/capi/onnxruntime.dll", folder)

    wine.ready()
    try:
        folder = once(tmp_path_factory, f"onnxruntime-{request.param}", fetch)
    except AssertionError as failure:
        pytest.skip(f"onnxruntime {request.param} for Windows cannot be fetched: {failure}")
    return folder / "onnxruntime/capi/onnxruntime.dll"


def test_operators_answer_as_linux(dll: Path, tmp_path: Path) -> None:
    environment = wine.ready()
    here = tmp_path / "linux"
    run("cc", "-std=gnu11", "-I", RUNTIME / "include", HERE / "operators.c", "-o", here, "-ldl")
    (ours,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    wanted, got = tmp_path / "wanted", tmp_path / "got"
    said = run(here, ours, path_of("libsbn.so"), wanted, *golden())
    program = wine.compiled("operators", tmp_path)
    library = platform_folder(X64) / "sbn.dll"
    said_there = run("wine", program, dll, library, got, *golden(), env=environment)
    assert said_there.splitlines()[:2] == said.splitlines()[:2]
    assert got.read_bytes() == wanted.read_bytes()
