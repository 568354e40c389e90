"""What `cmake --install` gives a C program, for pkg-config and for CMake."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..built import ROOT, RUNTIME

BUILD = ROOT / f"build/wheel-{platform.machine()}"
CMAKE = Path(sys.executable).with_name("cmake")
PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(sbn 0.1 REQUIRED)
foreach(kind IN ITEMS sbn static)
  add_executable(with_${kind} classify.c)
  target_link_libraries(with_${kind} PRIVATE sbn::${kind})
endforeach()
"""


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed") / "prefix"
    run(CMAKE, "--install", BUILD, "--component", "native", "--prefix", folder)
    return folder


def library_folder(prefix: Path) -> Path:
    """`lib`, or what this system calls it."""
    return next(prefix.glob("lib*"))


def refusal(program: Path, env: dict[str, str] | None = None) -> str:
    """What the program says of a model that is none: then it reached the library."""
    picture, model = program.parent / "picture.pgm", program.parent / "none.onnx"
    picture.write_bytes(b"P5 1 1 255\n\0")
    model.write_bytes(b"")
    done = subprocess.run(
        [program, picture, model], capture_output=True, text=True, check=False, env=env
    )
    return done.stderr


def test_files(prefix: Path) -> None:
    names = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    lib = library_folder(prefix).name
    assert names == {
        "include/sbn.h",
        f"{lib}/libsbn_native.a",
        f"{lib}/libsbn_native.so",
        f"{lib}/libsbn_native.so.1",
        f"{lib}/pkgconfig/sbn.pc",
        f"{lib}/cmake/sbn/sbnConfig.cmake",
        f"{lib}/cmake/sbn/sbnConfigVersion.cmake",
    }
    assert (prefix / lib / "libsbn_native.so").readlink() == Path("libsbn_native.so.1")


def test_cmake(prefix: Path, tmp_path: Path) -> None:
    """The prefix may be moved: nothing in it names where it was made."""
    moved = shutil.copytree(prefix, tmp_path / "moved", symlinks=True)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
    shutil.copy(RUNTIME / "examples/classify.c", tmp_path)
    run(CMAKE, "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={moved}")
    run(CMAKE, "--build", tmp_path / "b")
    for kind in ("sbn", "static"):
        assert "this is no ONNX file" in refusal(tmp_path / f"b/with_{kind}")
    needed = run("readelf", "--dynamic", tmp_path / "b/with_sbn")
    assert "[libsbn_native.so.1]" in needed


def test_pkg_config(prefix: Path, tmp_path: Path) -> None:
    if not (program := shutil.which("pkg-config") or shutil.which("pkgconf")):
        pytest.skip("pkg-config is missing: apt-get install pkg-config")
    source, built = RUNTIME / "examples/classify.c", tmp_path / "classify"
    lib = library_folder(prefix)
    env = {"PKG_CONFIG_PATH": str(lib / "pkgconfig"), "PATH": "/usr/bin:/bin"}
    flags = run(program, "--cflags", "--libs", "sbn", env=env).split()
    run("cc", "-std=c11", source, *flags, f"-Wl,-rpath,{lib}", "-o", built)
    assert "this is no ONNX file" in refusal(built)
