"""A real sshd on this machine, which plays the device."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

import pytest

from sbn_deploy.remote import wheels
from sbn_deploy.remote.target import Target
from sbn_runtime import library_path

from .fake_phone import benchmark, fake, model, programs

__all__ = ["benchmark", "fake", "model", "programs"]

ROOT = Path(__file__).resolve().parents[2]
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
PROGRAMS = ("ssh", "ssh-keygen")
# All that a device must have besides Python and sshd.
DEVICE_PROGRAMS = ("cat", "df", "mktemp", "rm", "sh", "sleep", "tail")
WAIT_S = 10

CONFIG = """
ListenAddress 127.0.0.1
HostKey {keys}/host_key
AuthorizedKeysFile {keys}/user_key.pub
AuthenticationMethods publickey
PidFile none
StrictModes no
UsePAM no
SetEnv {environment}
"""
CLIENT = """
IdentityFile {folder}/user_key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
"""
# The system's own program, with settings of the test's.
WRAPPER = """#!/bin/sh
exec {program} -F {folder}/client_config "$@"
"""
# A Python whose system has numpy and onnxruntime: where it makes a virtual environment with
# the system's packages, it adds those of the one that runs the tests.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    {python} "$@" && echo {packages} >venv/{site}/system.pth
else
    PYTHONPATH={packages} exec {python} "$@"
fi
"""


@dataclass
class Device:
    """A running sshd.

    Attributes:
        target: how to reach it, with `folder` to work in.
        url: the same as text.
        folder: what is left in it afterwards was left behind.
        programs: the search path of what runs there.
        process: the sshd that listens.
    """

    target: Target
    folder: Path
    home: Path
    programs: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"ssh://{self.target.login}:{self.target.port}{self.target.folder}"

    def left_behind(self) -> list[str]:
        """All files on the device, once what runs there has ended."""
        end = time.monotonic() + WAIT_S
        while (found := self._files()) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _files(self) -> list[str]:
        return [
            os.path.join(parent, name)
            for top in (self.folder, self.home)
            for parent, folders, files in os.walk(top)
            for name in (*folders, *files)
        ]

    def program(self, name: str, script: str) -> None:
        """Puts a shell script in the place of a program of the device."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(stat.S_IRWXU)

    def sessions(self) -> list[int]:
        """The processes of the sshd that serve connections."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def cut(self) -> None:
        """Ends all connections."""
        for pid in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def system_packages(folder: Path) -> Path:
    """A folder with what the base install needs, taken from where the tests run."""
    from importlib.metadata import distribution

    wanted, seen = ["numpy", "onnxruntime"], set()
    folder.mkdir()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        parts = distribution(name)
        for top in {file.parts[0] for file in parts.files or () if file.parts[0] != ".."}:
            source = Path(str(parts.locate_file(top)))
            if source.exists() and not (folder / top).exists():
                (folder / top).symlink_to(source)
        for line in requires(name) or ():
            if "extra ==" not in line:
                wanted.append(line.split(";")[0].split("[")[0].rstrip("0123456789.<>=!~,* "))
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree with the library that is in use; its build is tested elsewhere."""
    machine = os.uname().machine
    folder = tmp_path_factory.mktemp("dist")
    path = folder / f"sbn_deploy-0.0.0-py3-none-linux_{machine}.whl"
    info = "sbn_deploy-0.0.0.dist-info"
    files = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: sbn-deploy\nVersion: 0.0.0\n"
        "Requires-Dist: numpy>=1.24\nRequires-Dist: onnxruntime>=1.17.3\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\n"
        f"Tag: py3-none-linux_{machine}\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in ("sbn_deploy", "converters/sbn_converters", "runtime/sbn_runtime"):
            parent = (ROOT / package).parent
            for source in (ROOT / package).rglob("*"):
                if source.suffix in (".py", ".sh", ".typed"):
                    archive.write(source, source.relative_to(parent))
        for name in ("libsbn.so", "libsbn_native.so"):
            archive.write(library_path().with_name(name), f"sbn_runtime/{name}")
        if sources := wheels.built_from():
            archive.write(sources, "sbn_runtime/libsbn.sha256")
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return system_packages(tmp_path_factory.mktemp("system") / "packages")


@pytest.fixture
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what sshd and ssh need to know each other; this ssh comes first on PATH."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if SSHD is None or missing:
        names = ", ".join(missing) or "sshd"
        pytest.skip(f"{names} not installed. Type: sudo apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for key in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", folder / key],
            check=True,
        )
    (folder / "client_config").write_text(CLIENT.format(folder=folder))
    (folder / "known_hosts").touch()
    wrapper = folder / "client" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(program=shutil.which("ssh"), folder=folder))
    wrapper.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}/client:{os.environ['PATH']}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    return folder


@pytest.fixture
def device(keys: Path, packages: Path) -> Iterator[Device]:
    """A device that has Python with numpy and onnxruntime, and no network."""
    with running(keys, keys, packages) as found:
        yield found


@pytest.fixture
def scalar_device(
    keys: Path, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Device]:
    """Another one, whose processor has none of our vector instructions."""
    folder = tmp_path_factory.mktemp("scalar")
    with running(keys, folder, packages, SBN_ISA="scalar") as found:
        yield found


@contextmanager
def running(keys: Path, folder: Path, packages: Path, **variables: str) -> Iterator[Device]:
    """A device in `folder`, with these environment variables."""
    assert SSHD is not None
    for name in ("device", "home", "programs"):
        (folder / name).mkdir()
    environment = {
        "PATH": f"{folder}/programs",
        "HOME": f"{folder}/home",
        "PIP_NO_INDEX": "1",
    } | variables
    stated = " ".join(f"{name}={value}" for name, value in environment.items())
    (folder / "sshd_config").write_text(CONFIG.format(keys=keys, environment=stated))
    port, process = start_sshd(SSHD, folder)
    key = (keys / "host_key.pub").read_text()
    with (keys / "known_hosts").open("a") as known:
        known.write(f"[127.0.0.1]:{port} {key}")
    python = getattr(sys, "_base_executable", sys.executable)
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    target = Target(getpass.getuser(), "127.0.0.1", port, f"{folder}/device")
    found = Device(target, folder / "device", folder / "home", folder / "programs", process)
    for name in DEVICE_PROGRAMS:
        program = shutil.which(name)
        assert program
        (found.programs / name).symlink_to(program)
    found.program(
        "python3", PYTHON.format(python=python, packages=packages, site=site).partition("\n")[2]
    )
    yield found
    found.cut()
    process.kill()
    process.wait()


def start_sshd(program: str, folder: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """Starts it on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-f", folder / "sshd_config", "-D", "-e", "-p", str(port)], stderr=log
        )
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if process.poll() is None and probe.connect_ex(("127.0.0.1", port)) == 0:
                return port, process
        time.sleep(0.05)
    process.kill()
    raise AssertionError((folder / "sshd.log").read_text())
