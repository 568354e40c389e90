"""The native library loads anywhere: it needs no libc, and any size of memory page will do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sbn_runtime import library_path

from .arm import CORES
from .native import (
    CROSS_COMPILER,
    HERE,
    ROOT,
    STRICT,
    arm_library,
    arm_packages,
    emulator,
    need,
    run,
)

EXPORTS = {
    "RegisterCustomOps",
    "sbn_isa",
    "sbn_isa_available",
    "sbn_run_cycles",
    "sbn_set_isa",
    "sbn_version",
}
INCLUDE = ROOT / "runtime" / "include"
LOAD = HERE / "load.c"
PAGE = 16384


@pytest.fixture(scope="module", params=["native", "aarch64"])
def library(request: pytest.FixtureRequest) -> Path:
    need("readelf")
    return library_path() if request.param == "native" else arm_library()


def readelf(option: str, library: Path) -> str:
    return run("readelf", "--wide", option, library, LC_ALL="C")


def test_library_needs_nothing(library: Path) -> None:
    dynamic = readelf("--dynamic", library)
    assert "NEEDED" not in dynamic
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic
    assert "Library soname: [libsbn.so]" in dynamic


def test_the_platform_keeps_its_register() -> None:
    """Android has a stack in x18."""
    library = arm_library()
    need("aarch64-linux-gnu-objdump")
    code = run("aarch64-linux-gnu-objdump", "--disassemble", "--no-show-raw-insn", library)
    assert re.search(r"\bx17\b", code)
    assert not re.search(r"\b[xw]18\b", code)


def test_library_stays_loaded(library: Path) -> None:
    """onnxruntime's Java API closes it with the session's options, before the session."""
    assert re.search(r"FLAGS_1.*NODELETE", readelf("--dynamic", library))


def test_library_exports_what_the_header_declares(library: Path) -> None:
    symbols = [line.split() for line in readelf("--dyn-syms", library).splitlines()]
    named = [fields for fields in symbols if fields[4:5] in (["GLOBAL"], ["WEAK"])]
    assert {fields[7] for fields in named} == EXPORTS
    assert all(fields[6] != "UND" for fields in named)
    # Behind this comment are the functions of the native runtime: tests/native.
    header, marked, _ = (INCLUDE / "sbn.h").read_text().partition("/* libsbn_native\n")
    assert marked
    assert set(re.findall(r"^[\w *]+?(\w+)\(", header, re.MULTILINE)) == EXPORTS


def test_code_is_neither_written_nor_moved_to(library: Path) -> None:
    """What Android's loader refuses: relocations in code, segments both writable and executable."""
    assert "TEXTREL" not in readelf("--dynamic", library)
    segments = [line.split() for line in readelf("--segments", library).splitlines()]
    loads = [fields for fields in segments if fields[:1] == ["LOAD"]]
    assert loads
    for _, offset, address, *_, alignment in loads:
        assert int(alignment, 16) >= PAGE
        assert (int(address, 16) - int(offset, 16)) % PAGE == 0
    flags = [
        "".join(fields[6:-1]) for fields in segments if fields[:1] in (["LOAD"], ["GNU_STACK"])
    ]
    assert not [flag for flag in flags if "W" in flag and "E" in flag]
    # What is made read-only after loading must not share a page with what stays writable.
    (relro,) = (fields for fields in segments if fields[:1] == ["GNU_RELRO"])
    assert (int(relro[2], 16) + int(relro[5], 16)) % PAGE == 0


@pytest.mark.parametrize("standard", ["-std=c11", "-xc++"])
def test_header_stands_alone(standard: str, tmp_path: Path) -> None:
    need("cc")
    strict = [option for option in STRICT if not option.startswith("-std")]
    run("cc", standard, *strict, "-fsyntax-only", INCLUDE / "sbn.h")


def check_load(*command: str | Path, library: Path) -> None:
    """Runs load.c's program and looks at what it says."""
    _, *lines = run(*command, library).splitlines()
    assert lines == [
        "1 0",
        "1 0 scalar",
        "libsbn needs onnxruntime 1.17 or newer, this is 1.2.3; upgrade onnxruntime",
    ]


@pytest.mark.parametrize("compiler", ["cc", "musl-gcc"])
def test_library_loads_under(compiler: str, tmp_path: Path) -> None:
    need(compiler)
    program = tmp_path / "load"
    run(compiler, *STRICT, "-I", INCLUDE, LOAD, "-o", program, "-ldl")
    check_load(program, library=library_path())


@pytest.mark.parametrize("core", CORES)
def test_arm_library_loads_under_glibc(core: str, tmp_path: Path) -> None:
    need(CROSS_COMPILER, "qemu-aarch64")
    program = tmp_path / "load"
    run(CROSS_COMPILER, "-std=c11", "-I", INCLUDE, LOAD, "-o", program, "-ldl")
    check_load(*emulator(core), program, library=arm_library())


@pytest.mark.long
def test_arm_library_loads_under_musl(tmp_path: Path) -> None:
    """The compiler is glibc's; headers, start files and libc are musl's."""
    need(CROSS_COMPILER, "qemu-aarch64")
    musl = arm_packages(tmp_path / "musl", "musl", "musl-dev")
    start = musl / "usr/lib/aarch64-linux-musl"
    program = tmp_path / "load"
    run(
        *(CROSS_COMPILER, "-std=c11", "-no-pie", "-nostdlib", "-nostdinc"),
        *("-isystem", musl / "usr/include/aarch64-linux-musl", "-I", INCLUDE),
        *(start / "crt1.o", start / "crti.o", LOAD, start / "crtn.o"),
        *(musl / "lib/aarch64-linux-musl/libc.so", "-o", program),
        "-Wl,--dynamic-linker=/lib/ld-musl-aarch64.so.1",
    )
    check_load("qemu-aarch64", "-L", musl, program, library=arm_library())
