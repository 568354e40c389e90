"""A phone that is a folder, behind an adb of our own; its programs run in qemu."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sbn_deploy import cli
from sbn_deploy.engines.engine import example
from sbn_deploy.remote import connection, phone, program
from sbn_deploy.remote.phone import Twin

from ..packaging.native import arm_program, need
from ..small_models import Classifier

WAIT_S = 10
SERIAL = "0A1B2C"
PROGRAMS = ("cat", "chmod", "df", "mktemp", "rm", "sleep")
PROPERTIES = {
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.model": "Phone 1",
    "ro.soc.model": "SM1234",
    "ro.build.version.release": "14",
}
GETPROP = """#!/bin/sh
cat "{folder}/properties/$1" 2>/dev/null || echo
"""
# A command in a process of its own, to be interrupted.
DRIVER = """
import sys
from pathlib import Path
from sbn_deploy import cli
from sbn_deploy.remote import program
program.PROGRAMS = Path(sys.argv[1])
sys.exit(cli.main(sys.argv[2:]))
"""


@dataclass
class FakePhone:
    """The folder that fake_adb.py works with."""

    folder: Path

    def list_devices(self, *lines: str) -> None:
        (self.folder / "devices").write_text("".join(f"{line}\n" for line in lines))

    def set_property(self, name: str, value: str) -> None:
        (self.folder / "properties" / name).write_text(f"{value}\n")

    def program(self, name: str, script: str) -> None:
        """Puts a shell script in the place of a program of the phone."""
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(stat.S_IRWXU)

    def refuse(self, text: str, file: str = "refusal") -> None:
        (self.folder / file).write_text(text)

    def cut(self) -> None:
        """Ends every adb, as when the cable is pulled."""
        for client in (self.folder / "clients").iterdir():
            with suppress(ProcessLookupError):
                os.kill(int(client.name), signal.SIGKILL)

    def left_behind(self) -> list[str]:
        end = time.monotonic() + WAIT_S
        while (found := os.listdir(self.folder / "phone")) and time.monotonic() < end:
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an installation has the program for phones."""
    need("qemu-aarch64")
    folder = tmp_path_factory.mktemp("libraries")
    shutil.copy(arm_program(), folder / "sbn_measure")
    return folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePhone]:
    """One phone, on which nothing may be left; with Android's own shell where that is installed."""
    folder = tmp_path / "fake"
    for name in ("phone", "bin", "clients", "properties", "root", "path"):
        (folder / name).mkdir(parents=True)
    toybox = shutil.which("toybox")
    for name in PROGRAMS:
        found = toybox or shutil.which(name)
        assert found
        (folder / "bin" / name).symlink_to(found)
    (folder / "bin" / "sh").symlink_to(shutil.which("mksh") or "/bin/sh")
    (folder / "bin" / "getprop").write_text(GETPROP.format(folder=folder))
    (folder / "bin" / "getprop").chmod(stat.S_IRWXU)
    adb = folder / "path" / "adb"
    script = Path(__file__).with_name("fake_adb.py")
    adb.write_text(f'#!/bin/sh\nexec {sys.executable} {script} {folder} "$@"\n')
    adb.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder / 'path'}:{os.environ['PATH']}")
    monkeypatch.setattr(connection, "LOOK_S", 1)
    monkeypatch.setattr(connection, "LAST_WORDS_S", 1)
    phone = FakePhone(folder)
    phone.list_devices(f"{SERIAL}\tdevice")
    for key, value in PROPERTIES.items():
        phone.set_property(key, value)
    yield phone
    assert phone.left_behind() == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Classifier.random().write(tmp_path / "small.onnx")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def benchmark(
    fake: FakePhone,
    model: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """`sbn benchmark --remote adb:`: exit status, standard output and error."""
    monkeypatch.setattr(program, "PROGRAMS", programs)
    monkeypatch.setattr(phone, "BUSY_S", 0.01)

    def run(
        *more: str,
        remote: str = "adb:",
        path: Path = model,
        also: Path | None = None,
        runs: int | None = 9,
    ) -> tuple[int, str, str]:
        models = [str(path) for path in (path, also) if path is not None]
        words = ["benchmark", *models, "--remote", remote, "--warmup", "1"]
        words += [] if runs is None else ["--runs", str(runs)]
        status = cli.main([*words, *more])
        return status, *capfd.readouterr()

    return run


def stand_in(folder: Path, model: Path, text: str, *, outputs: bytes | None = None) -> Path:
    """The folder of a program that computes the right thing, or `outputs`, and says `text`."""
    right = b"".join(x.tobytes() for x in answers(model))
    (folder / "right").write_bytes(right if outputs is None else outputs)
    compute = f'if [ "$1" = run ]; then cat "{folder}/right" >outputs; exit; fi'
    (folder / "sbn_measure").write_text(f"#!/bin/sh\n{compute}\necho '{text}'\n")
    return folder


def answers(model: Path) -> list[Any]:
    """What a model answers here to the example that is timed."""
    twin = Twin(model)
    recording = twin.recorded()
    recording.run([], example(twin.inputs, 1))
    return recording.answers[0]


def timed(**fields: Any) -> dict[str, Any]:
    """What the program says of a phone of unlike cores."""
    place = {"isa": "neon", "version": "1", "usable": 8, "cores": [7], "before": {}, "after": {}}
    times = {"load_ns": 3_000_000, "resident_bytes": 1000, "peak_bytes": 5000, "clock_ns": 40}
    return place | times | {"ns": [1000, 1000, 1000]} | fields


def refusal(outcome: tuple[int, str, str]) -> str:
    status, output, errors = outcome
    assert status == 2, errors
    assert output == ""
    assert "Traceback" not in errors
    line = errors.splitlines()[-1]
    assert line.startswith("sbn: error: ")
    return line.removeprefix("sbn: error: ")
