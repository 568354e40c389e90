"""Wheels for Windows and macOS, built here too and checked for what their tags promise."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from sbn_deploy.bundle import TARGETS
from tests.platforms import macho, pe
from tests.platforms.host import functions, operator_functions

from .wheels import (
    CROSS_COMPILER,
    ROOT,
    build_folder,
    can_build_for_android,
    can_build_for_browsers,
    can_build_for_ios,
    pip_wheel,
)

TOOLS = ("clang++-19", "lld-link-19", "llvm-lib-19", "ld64.lld-19")
# An index takes no larger file without asking.
MOST_BYTES = 12_000_000
KERNEL32 = "kernel32.dll"


@dataclass(frozen=True)
class Platform:
    """What a wheel's tag stands for.

    Attributes:
        triple: the target as clang calls it.
        toolchain: CMake's, in runtime/cmake.
        operators, runtime: names of the libraries.
        machine: as the libraries have it.
    """

    triple: str
    toolchain: str
    operators: str
    runtime: str
    machine: int


_DLLS, _DYLIBS = ("sbn.dll", "sbn_native.dll"), ("libsbn.dylib", "libsbn_native.dylib")
PLATFORMS = {
    "win_amd64": Platform("x86_64-pc-windows-msvc", "clang-windows", *_DLLS, pe.X86_64),
    "win_arm64": Platform("aarch64-pc-windows-msvc", "clang-windows", *_DLLS, pe.ARM64),
    "macosx_11_0_arm64": Platform("arm64-apple-macos11.0", "clang-apple", *_DYLIBS, macho.ARM64),
    "macosx_11_0_x86_64": Platform("x86_64-apple-macos11.0", "clang-apple", *_DYLIBS, macho.X86_64),
}


def can_build() -> bool:
    """Whether clang and LLVM's linkers are installed."""
    return all(map(shutil.which, TOOLS))


def can_build_for_boards() -> bool:
    """Whether a wheel can hold the library for 64-bit ARM Linux as well."""
    return shutil.which(CROSS_COMPILER) is not None


def build(tag: str, folder: Path) -> Path:
    """The wheel of a tag in `PLATFORMS`, in `folder`."""
    platform = PLATFORMS[tag]
    definitions = {
        "CMAKE_TOOLCHAIN_FILE": str(ROOT / f"runtime/cmake/{platform.toolchain}.cmake"),
        "SBN_TARGET": platform.triple,
        "SBN_AARCH64": "ON" if can_build_for_boards() else "OFF",
        "SBN_AARCH64_DIR": str(build_folder("aarch64")),
    }
    return pip_wheel(f"py3-none-{tag}", build_folder(tag), definitions, folder)


def check(wheel: Path) -> str:
    """What the wheel holds for its system, in one line.

    Raises:
        ValueError: it does not keep what its tag promises.
    """
    tag = wheel.stem.split("-")[-1]
    platform = PLATFORMS[tag]
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    wrong = _wrong_record(contents) + _missing_for_bundles(contents)
    for name, expected in (
        (platform.operators, operator_functions()),
        (platform.runtime, functions()),
    ):
        data = contents.get(f"sbn_runtime/{name}")
        if data is None:
            wrong.append(f"has no {name}")
        elif tag.startswith("win"):
            wrong += [f"{name}: {what}" for what in _wrong_dll(data, platform, expected)]
        else:
            wrong += [f"{name}: {what}" for what in _wrong_dylib(data, platform, name, expected)]
    wrong += [
        f"has {name}"
        for name in contents
        if name.startswith("sbn_runtime/lib") and name.endswith(".so")
    ]
    if wheel.stat().st_size > MOST_BYTES:
        wrong.append(f"has {wheel.stat().st_size:,} bytes")
    if wrong:
        raise ValueError(f"{wheel.name} does not keep its tag {tag}: {'; '.join(wrong)}")
    return f"{tag}: {platform.operators}, {platform.runtime}, {wheel.stat().st_size:,} bytes"


def _wrong_record(contents: dict[str, bytes]) -> list[str]:
    """What the list of files says wrongly."""
    (name,) = (name for name in contents if name.endswith(".dist-info/RECORD"))
    listed = [line.rsplit(",", 2) for line in contents[name].decode().splitlines()]
    wrong = [f"{path} is not listed" for path in contents.keys() - {path for path, *_ in listed}]
    for path, digest, _ in listed:
        if path not in contents:
            wrong.append(f"{path} is listed and missing")
        elif path != name:
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(contents[path]).digest())
            if digest != f"sha256={sha256.decode().rstrip('=')}":
                wrong.append(f"{path} is not as listed")
    return wrong


def _missing_for_bundles(contents: Container[str]) -> list[str]:
    """What `sbn bundle` needs for other systems, as far as it can be built here."""
    can = {
        "aarch64": can_build_for_boards(),
        "android": can_build_for_android(),
        "ios": can_build_for_ios(),
        "web": can_build_for_browsers(),
    }
    return [
        f"has no {name} for {target.name}"
        for target in TARGETS.values()
        if can.get(target.folder)
        for name in target.needs
        if f"sbn_deploy/libraries/{target.folder}/{name}" not in contents
    ]


def _wrong_dll(data: bytes, platform: Platform, expected: set[str]) -> list[str]:
    found = pe.read(data)
    wanted = pe.ANYWHERE | pe.EVERYWHERE | pe.NO_CODE_IN_DATA
    return _differences(
        (found.machine, platform.machine, "machine"),
        (sorted(found.imports), [KERNEL32], "imports"),
        (found.exports, expected, "exports"),
        (found.flags & wanted, wanted, "flags"),
        (found.system <= (10, 0), True, "system"),
        (found.writable_code, [], "writable code"),
    )


def _wrong_dylib(data: bytes, platform: Platform, name: str, expected: set[str]) -> list[str]:
    found = macho.read(data)
    known = macho.system_names(ROOT / "runtime/src/libc/libSystem.tbd")
    return _differences(
        (found.processor, platform.machine, "processor"),
        (
            (found.kind, found.platform, found.minimum),
            (macho.DYLIB, macho.MACOS, (11, 0)),
            "system",
        ),
        (found.name, f"@rpath/{name}", "name"),
        (found.libraries, ["/usr/lib/libSystem.B.dylib"], "libraries"),
        (found.defined, expected, "exports"),
        (found.undefined - known, set(), "imports"),
        (found.writable_code, [], "writable code"),
        # Without one an ARM Mac loads nothing.
        (found.signed > 0 or platform.machine != macho.ARM64, True, "signature"),
        (found.wrong, 0, "pages that the signature is not of"),
    )


def _differences(*compared: tuple[object, object, str]) -> list[str]:
    return [f"{what} {found}" for found, wanted, what in compared if found != wanted]
