"""Libraries for ARM that this machine's system cannot load, in loaders of our own under qemu."""

from __future__ import annotations

from pathlib import Path

import pytest

from .host import SETS, answers, compiled, platform_folder

WINDOWS, MACOS = "aarch64-pc-windows-msvc", "arm64-apple-macos11.0"
LIBRARIES = {
    WINDOWS: ("sbn_native.dll", "SBN_PE"),
    MACOS: ("libsbn_native.dylib", "SBN_MACHO"),
}
DOT, ALL = "FEAT_DotProd", "FEAT_DotProd,FEAT_I8MM"
long = pytest.mark.long


@pytest.mark.parametrize(
    ("triple", "features", "cpu"),
    [
        pytest.param(WINDOWS, "", "cortex-a53", marks=long),
        (WINDOWS, ALL, "max"),
        # Every Mac for ARM has dot products.
        pytest.param(MACOS, DOT, "max", marks=long),
        pytest.param(MACOS, ALL, "max", marks=long),
    ],
)
def test_code_answers_as_linux(
    triple: str, features: str, cpu: str, models: list[Path], expected: bytes, tmp_path: Path
) -> None:
    name, loader = LIBRARIES[triple]
    library = platform_folder(triple) / name
    program = compiled(tmp_path, "aarch64", loader)
    ran = answers(program, library, models, features=features, cpu=cpu, folder=tmp_path)
    assert ran.sets == SETS["aarch64"]
    assert set(ran.outputs) == {expected}
