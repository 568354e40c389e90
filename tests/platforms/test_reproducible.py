"""A library has the same bytes wherever it is built, and says nothing of the folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ..built import ROOT, RUNTIME
from .host import platform_folder, run

LIBRARIES = {
    "x86_64-pc-windows-msvc": ("sbn.dll", "sbn_native.dll"),
    "aarch64-pc-windows-msvc": ("sbn.dll", "sbn_native.dll"),
    "x86_64-apple-macos11.0": ("libsbn.dylib", "libsbn_native.dylib"),
    "arm64-apple-macos11.0": ("libsbn.dylib", "libsbn_native.dylib"),
}


@pytest.mark.long
@pytest.mark.parametrize("triple", LIBRARIES)
def test_another_folder_gives_the_same_bytes(triple: str, tmp_path: Path) -> None:
    here = platform_folder(triple)
    source, build = tmp_path / "a copy/runtime", tmp_path / "build"
    shutil.copytree(RUNTIME, source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source.parent)
    toolchain = "clang-windows" if "windows" in triple else "clang-apple"
    cmake = Path(sys.executable).with_name("cmake")
    options = ("-DCMAKE_BUILD_TYPE=Release", "-DSBN_NATIVE=ON", f"-DSBN_TARGET={triple}")
    file = f"-DCMAKE_TOOLCHAIN_FILE={source}/cmake/{toolchain}.cmake"
    run(cmake, "-S", source, "-B", build, *options, file)
    run(cmake, "--build", build)
    for name in LIBRARIES[triple]:
        data = (build / name).read_bytes()
        assert data == (here / name).read_bytes()
        for folder in (tmp_path, ROOT):
            assert str(folder).encode() not in data
