"""The wheel of this project that fits a device."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from sbn_runtime import InputError, RemoteError

# As `make wheels` names them.
_NAME = re.compile(r"sbn_deploy-[^-]+-py3-none-\w*linux\w*?_(?P<machine>x86_64|aarch64)")
MACHINES = ("x86_64", "aarch64")


def wheel_for(machine: str, chosen: Path | None) -> Path:
    """The wheel for a CPU architecture as `uname -m` names it: `chosen`, or the newest in dist/.

    dist/ is looked for in the current folder, then in the source tree that this runs from.

    Raises:
        InputError: `chosen` is not a wheel of sbn-deploy, or is for another architecture.
        RemoteError: there is none.
    """
    if machine not in MACHINES:
        raise RemoteError(
            f"the device runs {machine} programs; wheels are for {' and '.join(MACHINES)} only"
        )
    if chosen is not None:
        _check(chosen, machine)
        return chosen
    folders = dict.fromkeys(
        (Path("dist").absolute(), Path(str(files("sbn_deploy"))).parent / "dist")
    )
    for folder in folders:
        fitting = [path for path in folder.glob("*.whl") if _machine_of(path) == machine]
        if fitting:
            return max(fitting, key=lambda path: path.stat().st_mtime)
    raise RemoteError(
        f"no wheel for {machine} found in {' or '.join(map(str, folders))};"
        " build one with `make wheels`, or name one with --wheel"
    )


def _check(path: Path, machine: str) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    built = _machine_of(path)
    if built is None:
        raise InputError(f"{path}: not a wheel of sbn-deploy for Linux")
    if built != machine:
        raise InputError(f"{path}: is for {built}, the device is {machine}")


def _machine_of(path: Path) -> str | None:
    found = _NAME.match(path.stem)
    return found["machine"] if found and path.suffix == ".whl" else None
