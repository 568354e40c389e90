"""A processor with SME2: qemu 10.1 or newer, which Debian has in the backports of trixie.

    python -m tests.packaging.sme2 [BITS PROGRAM [ARGUMENT …]]

fetches it into build/qemu, where none is installed, and runs a program for ARM with vectors of so
many bits; `make test-sme2` does so.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from .wheels import ROOT

OLDEST = (10, 1)
PROGRAM = "qemu-aarch64"
FOLDER = ROOT / "build" / "qemu"
SUITE = "trixie-backports"  # its qemu-user is one static program
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
LENGTHS = (128, 256, 512)  # bits of a vector
REMEDY = "Type: make test-sme2"


@cache
def qemu() -> str | None:
    """The emulator, None where there is none that is new enough."""
    for program in (FOLDER / "usr" / "bin" / PROGRAM, shutil.which(PROGRAM)):
        if program and Path(program).exists():
            done = subprocess.run([program, "--version"], capture_output=True, text=True)
            found = re.search(r"version (\d+)\.(\d+)", done.stdout)
            if found and (int(found[1]), int(found[2])) >= OLDEST:
                return str(program)
    return None


def processor(length: int) -> str:
    """qemu's name of one with vectors of so many bits in streaming mode, and none outside it."""
    lengths = (128, 256, 512, 1024, 2048)
    return "max,sve=off," + ",".join(f"sme{n}={'on' if n == length else 'off'}" for n in lengths)


def command(length: int, program: str | Path, *arguments: str) -> list[str]:
    """What runs a program for 64-bit ARM there; qemu() is not None."""
    emulator = qemu()
    assert emulator
    library = ("-L", "/usr/aarch64-linux-gnu")
    return [emulator, "-cpu", processor(length), *library, str(program), *arguments]


def fetch() -> None:
    """Debian's package, unpacked into build/qemu. Raises CalledProcessError, RuntimeError."""
    lines = [
        line
        for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*"))
        if file.exists()
        for line in file.read_text().splitlines()
    ]
    mirrors = (re.search(r"https?://\S+/debian/?(?=\s|$)", line.split("#")[0]) for line in lines)
    mirror = next((found[0] for found in mirrors if found), None)
    if mirror is None:
        raise RuntimeError("apt has no mirror of Debian")
    for name in ("lists/partial", "cache/archives/partial"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
    sources = FOLDER / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {mirror} {SUITE} main\n")
    settings = {
        "APT::Sandbox::User": "root",
        "Dir::Cache": FOLDER / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": FOLDER / "lists",
        "Dir::State::status": FOLDER / "status",
    }
    (FOLDER / "status").touch()
    apt = ["apt-get", "-qq", *(f"--option={key}={value}" for key, value in settings.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", "qemu-user"], check=True, cwd=FOLDER)
    for package in FOLDER.glob("qemu-user_*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, FOLDER], check=True)
        package.unlink()


if __name__ == "__main__":
    if qemu() is None:
        try:
            fetch()
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            sys.exit(f"no {PROGRAM} {'.'.join(map(str, OLDEST))} or newer within reach: {error}")
        qemu.cache_clear()
        if qemu() is None:
            sys.exit(f"{SUITE} has no {PROGRAM} that is new enough")
    if len(sys.argv) > 2:
        raise SystemExit(subprocess.run(command(int(sys.argv[1]), *sys.argv[2:])).returncode)
