"""The wheel of this project that fits a device."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from sbn_runtime import InputError, RemoteError

# As `make wheels` names them.
_NAME = re.compile(r"sbn_deploy-[^-]+-py3-none-\w*linux\w*?_(?P<machine>x86_64|aarch64)")
MACHINES = ("x86_64", "aarch64")
PACKAGES = ("sbn_deploy", "sbn_converters", "sbn_runtime")
# What the native library was built from, where a build has left that.
_SOURCES = "sbn_runtime/libsbn.sha256"


def candidates(chosen: Path | None) -> list[Path]:
    """The wheels that a device may get, the best first: `chosen`, or those in dist/.

    dist/ is looked for in the current folder, then in the source tree that this runs from.

    Raises:
        InputError: `chosen` is not a wheel of sbn-deploy, or is of other code than this.
        RemoteError: there is none of this code.
    """
    if chosen is not None:
        _check(chosen)
        return [chosen]
    folders = dict.fromkeys((Path("dist").absolute(), source_tree() / "dist"))
    older = []
    for folder in folders:
        named = [path for path in folder.glob("*.whl") if _machine_of(path)]
        current = [path for path in named if not difference(path)]
        if current:
            return sorted(current, key=lambda path: path.stat().st_mtime, reverse=True)
        older += named
    if older:
        raise RemoteError(
            f"{older[0]}: was built from other code than this ({difference(older[0])} differs);"
            " build it again with `make wheels`"
        )
    raise RemoteError(
        f"no wheel found in {' or '.join(map(str, folders))}; build one with `make wheels`, or"
        " name one with --wheel"
    )


def fitting(machine: str, wheels: Sequence[Path], *, chosen: bool) -> Path:
    """The first of `candidates` for a CPU architecture as `uname -m` names it.

    Args:
        chosen: whether the user named it.

    Raises:
        InputError: the chosen one is for another architecture.
        RemoteError: there is none.
    """
    if machine not in MACHINES:
        raise RemoteError(
            f"the device runs {machine} programs; wheels are for {' and '.join(MACHINES)} only"
        )
    for path in wheels:
        if _machine_of(path) == machine:
            return path
    if chosen:
        raise InputError(f"{wheels[0]}: is for {_machine_of(wheels[0])}, the device is {machine}")
    raise RemoteError(
        f"no wheel for {machine} built from this code in {wheels[0].parent}; build one with"
        " `make wheels`, or name one with --wheel"
    )


def difference(wheel: Path) -> str:
    """A file of this installation that the wheel has otherwise, or lacks; empty if none is.

    Raises InputError for a file that is not a wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            there = {entry.filename: entry.CRC for entry in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel}: is not a wheel, or is damaged; build it again") from error
    for package in PACKAGES:
        root = folder_of(package)
        for path in sorted(root.rglob("*.py")):
            name = str(PurePosixPath(package, *path.relative_to(root).parts))
            if there.get(name) != zlib.crc32(path.read_bytes()):
                return name
    sources = built_from()
    if sources is not None and there.get(_SOURCES) != zlib.crc32(sources.read_bytes()):
        return "the native library"
    return ""


def built_from() -> Path | None:
    """The file that says what the library here was built from; None where there is none."""
    spec = find_spec("sbn_runtime")
    folders = () if spec is None else spec.submodule_search_locations or ()
    found = (Path(folder, PurePosixPath(_SOURCES).name) for folder in folders)
    return next((path for path in found if path.is_file()), None)


def source_tree() -> Path:
    """The folder of the package that this runs from."""
    return folder_of("sbn_deploy").parent


def folder_of(package: str) -> Path:
    """Where the modules of a package are; what a build made for it may be elsewhere."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if _machine_of(path) is None:
        raise InputError(f"{path}: not a wheel of sbn-deploy for Linux")
    if differs := difference(path):
        raise InputError(
            f"{path}: was built from other code than this ({differs} differs); build it again with"
            " `make wheels`"
        )


def _machine_of(path: Path) -> str | None:
    found = _NAME.match(path.stem)
    return found["machine"] if found and path.suffix == ".whl" else None
