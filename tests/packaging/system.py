"""A whole 64-bit ARM system on this machine, in which programs start other programs.

arm.py starts a Python under qemu, and no program of ARM can be started from there. Here the
kernel itself starts each of them under qemu: binfmt_misc, for one user namespace only
(Linux 6.7), so no privileges are needed and nothing changes outside.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import arm
from .wheels import ROOT

FOLDER = ROOT / "build" / "arm64-system"
# A shell, and what docs/raspberry-pi.md installs.
PACKAGES = ("coreutils", "dash", "g++", "python3-venv")
# qemu is a program of this machine, and needs its libraries there too.
HOST_FOLDERS = ("/dev", "/lib64", "/lib/x86_64-linux-gnu")
SOURCE, WORK = "/src", "/work"
HANDLER = (
    ":sbn-arm64:M::"
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
    "{emulator}:FP"
)
# $1: root folder; $2: folder to work in; $3: source tree; $4: HANDLER; then the command.
ENTER = f"""
root=$1 work=$2 source=$3 handler=$4
shift 4
mount -t proc proc "$root/proc"
mount --bind "$root/cpuinfo" "$root/proc/cpuinfo"
mount -t binfmt_misc none "$root/mnt"
printf %s "$handler" >"$root/mnt/register"
for folder in {" ".join(HOST_FOLDERS)}; do mount --rbind "$folder" "$root$folder"; done
mount --bind "$work" "$root{WORK}"
mount --bind "$source" "$root{SOURCE}"
mount -o remount,bind,ro "$root{SOURCE}"
exec chroot "$root" "$@"
"""


def run(
    core: str, work: Path, *command: str, timeout: int = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command there as root, as on this core.

    Args:
        work: the folder that is WORK there, also for temporary files. This source tree is
            SOURCE, which cannot be written to.
        variables: the environment; nothing else of this machine's is passed on.
    """
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": WORK,
        "TMPDIR": WORK,
        "LANG": "C.UTF-8",
        "QEMU_CPU": core,
        **variables,
    }
    handler = HANDLER.format(emulator=shutil.which("qemu-aarch64"))
    return subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-euc", ENTER, "sh", str(FOLDER), str(work), str(ROOT), handler),
            *("/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items())),
            *command,
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def make() -> None:
    """The system below build/, fetched first if it is not there.

    Raises:
        RuntimeError: apt has no packages for arm64 within reach.
    """
    arm.unpack_once(FOLDER, PACKAGES, _complete)


def _complete(root: Path) -> None:
    for name in (*HOST_FOLDERS, SOURCE, WORK, "/proc", "/mnt"):
        (root / name[1:]).mkdir(parents=True, exist_ok=True)
    (root / "cpuinfo").write_text(arm.cpuinfo())
