"""The archive for apps, unpacked, and its classes called from a JVM.

The archive's library for x86-64 runs on this machine: all that it asks for is in any C library, but
for the name of the library, `libc.so`, and that of bionic's `errno`.
"""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from sbn_deploy.bundle import aar
from sbn_deploy.bundle.targets import TARGETS
from sbn_runtime import MissingDependencyError

from ..once import once
from ..packaging.native import need, run

HERE = Path(__file__).parent
BIONIC = "#include <errno.h>\nint* __errno(void);\nint* __errno(void) { return &errno; }\n"
MACHINES = {"arm64-v8a": "AArch64", "x86_64": "Advanced Micro Devices X86-64"}


def installed() -> Path:
    """sbn-runtime.zip of this installation; skips the test where there is none."""
    try:
        (found,) = TARGETS["android"].libraries()
    except MissingDependencyError:
        pytest.skip("the runtime for Android is not built. Type: make android")
    return found


def packed() -> bytes:
    """sbn-runtime.aar, as a bundle has it; skips the test where there is none."""
    return aar.archive(installed())


def unpacked(factory: pytest.TempPathFactory) -> Path:
    """The archive's files, once for all tests."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(packed())) as archive:
            archive.extractall(folder)

    return once(factory, "android", make)


def bionic(compiler: str, folder: Path) -> Path:
    """A folder with a library that stands for Android's, for a machine's compiler."""
    folder.mkdir()
    (folder / "bionic.c").write_text(BIONIC)
    run(
        compiler, "-shared", "-fPIC", "-Wl,-soname,libc.so", "bionic.c", "-o", "libc.so", cwd=folder
    )
    return folder


def compiled(factory: pytest.TempPathFactory) -> Path:
    """A folder with Ask.class and what stands for Android's library, once for all tests."""
    need("javac", "java", "cc")
    classes = unpacked(factory) / "classes.jar"

    def make(folder: Path) -> None:
        run("javac", "-Xlint:all", "-Werror", "-cp", classes, "-d", folder, HERE / "Ask.java")
        bionic("cc", folder / "bionic")

    return once(factory, "android-ask", make)


def jvm(factory: pytest.TempPathFactory, classes: Path, *command: str, calls: str = "") -> str:
    """What a program of Java writes that has the archive's classes and library, on this machine."""
    archive = unpacked(factory)
    library = archive / "jni" / "x86_64"
    path = ("-cp", f"{archive / 'classes.jar'}:{classes}")
    # One compiler of the JVM, and few threads: it starts sooner.
    options = ("-Xcheck:jni", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    done = subprocess.run(
        ["java", *options, *path, f"-Djava.library.path={library}", *command],
        input=calls,
        env=os.environ | {"LD_LIBRARY_PATH": str(compiled(factory) / "bionic")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    assert "WARNING" not in done.stdout, done.stdout
    return done.stdout


def ask(factory: pytest.TempPathFactory, calls: Sequence[Sequence[object]]) -> list[str]:
    """The answers of Ask.java to calls."""
    text = "".join("\t".join(map(str, call)) + "\n" for call in calls)
    answers = jvm(factory, compiled(factory), "Ask", calls=text).splitlines()
    assert len(answers) == len(calls)
    return answers
