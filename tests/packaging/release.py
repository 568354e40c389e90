"""What a release consists of: the source, and a wheel for each system and architecture.

`python -m tests.packaging.release FOLDER` builds them in a folder, checks them, and lists what
they hold.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

from sbn_deploy.bundle.targets import IOS_FRAMEWORK, IOS_LIBRARIES

from . import foreign
from .wheels import ARCHITECTURES, CONSTRAINTS, ROOT, build, can_cross_compile, check, pip

# Where the packages of the wheel lie in this tree.
PACKAGES = {"sbn_deploy": "", "sbn_converters": "converters/", "sbn_runtime": "runtime/"}
# What is installed elsewhere than it lies: the package for browsers, and what programs in C and
# Swift are made of.
WEB = ("sbn_deploy/libraries/web/", "runtime/web/")
PROGRAMS = {
    "sbn_deploy/libraries/c/classify.c": "runtime/examples/classify.c",
    "sbn_deploy/libraries/c/run.c": "runtime/examples/run.c",
    "sbn_deploy/libraries/c/sbn.h": "runtime/include/sbn.h",
    f"sbn_deploy/libraries/ios/{IOS_FRAMEWORK}/Info.plist": "runtime/ios/Info.plist",
}
for name in IOS_LIBRARIES:
    headers = f"sbn_deploy/libraries/ios/{Path(name).parent.as_posix()}/Headers/sbn_native"
    PROGRAMS[f"{headers}/sbn.h"] = "runtime/include/sbn.h"
    PROGRAMS[f"{headers}/module.modulemap"] = "runtime/ios/module.modulemap"
# What the wheel holds that is compiled.
COMPILED = {
    "sbn_runtime/libsbn.so",
    "sbn_runtime/libsbn_native.so",
    "sbn_runtime/libsbn.sha256",
    *(f"sbn_runtime/{platform.operators}" for platform in foreign.PLATFORMS.values()),
    *(f"sbn_runtime/{platform.runtime}" for platform in foreign.PLATFORMS.values()),
    "sbn_deploy/libraries/aarch64/libsbn.so",
    "sbn_deploy/libraries/aarch64/libsbn_native.so",
    "sbn_deploy/libraries/aarch64/sbn_measure",
    "sbn_deploy/libraries/android/sbn-runtime.zip",
    *(f"sbn_deploy/libraries/ios/{name}" for name in IOS_LIBRARIES),
    f"{WEB[0]}sbn.wasm",
}
# What the source holds: all that builds the wheel, and what a reader looks for first.
SOURCES = ("converters/", "runtime/", "sbn_deploy/")
FILES = {"CHANGELOG.md", "LICENSE", "README.md", "constraints.txt", "pyproject.toml"}


def version() -> str:
    """That of this tree, which pyproject.toml alone says."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert isinstance(said, str)
    return said


def build_source(folder: Path) -> Path:
    """The source distribution, in `folder`."""
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"sbn_deploy-{version()}.tar.gz"


def contents(path: Path) -> dict[str, bytes]:
    """The files of a wheel or source distribution, as they are called in it."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if name[-1] != "/"}
    with tarfile.open(path) as source:
        # Folders have no content.
        opened = ((member.name, source.extractfile(member)) for member in source)
        return {name: file.read() for name, file in opened if file is not None}


def tracked() -> set[str]:
    """The files of this tree that git knows."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    return {name for name in listed.stdout.split("\0") if name}


def unwanted(path: Path) -> list[str]:
    """What is wrong with the contents of a wheel or source distribution, a line for each."""
    held, known = contents(path), tracked()
    if path.suffix == ".whl":
        folder = f"sbn_deploy-{version()}.dist-info/"
        licence = f"{folder}licenses/LICENSE"
        made = {name for name in held if name in COMPILED or name.startswith(folder)}
        places = {name: _place(name) for name in held.keys() - made}
        own = (f"{place}{package}/" for package, place in PACKAGES.items())
        allowed = (*own, WEB[1], *PROGRAMS.values())
    else:
        folder = f"sbn_deploy-{version()}/"
        licence = f"{folder}LICENSE"
        made = {f"{folder}PKG-INFO"}
        places = {name: name.removeprefix(folder) for name in held.keys() - made}
        allowed = (*SOURCES, *FILES)
    found = []
    for name, place in places.items():
        if not place.startswith(allowed):
            found.append(f"{name}: is not needed")
        elif place not in known:
            found.append(f"{name}: is not a file of this tree")
        elif held[name] != (ROOT / place).read_bytes():
            found.append(f"{name}: differs from this tree's")
    if held.get(licence) != (ROOT / "LICENSE").read_bytes():
        found.append(f"{licence}: is not the licence of this tree")
    machine = "|".join(re.escape(str(at)) for at in (ROOT, Path.home(), tempfile.gettempdir()))
    for name in made & held.keys():
        # The name of such a folder alone may be one that devices have, too.
        if named := re.search(rf"({machine})/\w+".encode(), held[name]):
            found.append(f"{name}: names {named[0].decode()} of the machine that built it")
    return found


def _place(name: str) -> str:
    """Where a file of the wheel lies in this tree."""
    if name.startswith(WEB[0]):
        return name.replace(*WEB)
    if name in PROGRAMS:
        return PROGRAMS[name]
    return PACKAGES.get(name.split("/")[0], "") + name


def install(source: Path) -> str:
    """What `sbn doctor` says where the source distribution was installed, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        pip(f"--python={folder}/bin/python", "install", CONSTRAINTS, str(source))
        command = [f"{folder}/bin/sbn", "doctor"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=folder, timeout=300
        ).stdout


def main(folder: Path) -> int:
    """Builds, checks and lists them; the exit status."""
    made = [build_source(folder)]
    for architecture in ARCHITECTURES:
        wheel = build(architecture, folder, arm_library=can_cross_compile(architecture))
        print(check(wheel))
        made.append(wheel)
    for tag in foreign.PLATFORMS:
        made.append(foreign.build(tag, folder))
        print(foreign.check(made[-1]))
    wrong = [f"{path.name}: {line}" for path in made for line in unwanted(path)]
    for path in made:
        held = contents(path)
        print(f"\n{path}: {path.stat().st_size:,} bytes, {len(held)} files")
        for name in sorted(held):
            print(f"{len(held[name]):>12,}  {name}")
    print(flush=True)
    twine = [sys.executable, "-m", "twine", "check", "--strict", *map(str, made)]
    wrong += ["twine check --strict fails"] * bool(subprocess.run(twine).returncode)
    if not install(made[0]).endswith("models run here\n"):
        wrong.append(f"{made[0].name}: what it installs does not run")
    if f"\n## [{version()}] - " not in (ROOT / "CHANGELOG.md").read_text():
        print(f"CHANGELOG.md has no section for {version()} yet: this is a rehearsal")
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
