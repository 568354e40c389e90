"""The wheel of `make wheels`: it measures a device from where it is installed, and is measured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from sbn_runtime import isa

from ..packaging.wheels import CONSTRAINTS, built, pip
from ..small_models import Classifier
from .conftest import Device


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in dist/, beside a newer one for another processor, and a model."""
    folder = tmp_path_factory.mktemp("installed")
    machine = platform.machine()
    (folder / "dist").mkdir()
    wheel = Path(shutil.copy(built(tmp_path_factory, machine), folder / "dist"))
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
    shutil.copyfile(wheel, wheel.with_name(wheel.name.replace(machine, other)))
    Classifier.random().write(folder / "small.onnx")
    return folder


@pytest.fixture(scope="module")
def sbn(folder: Path) -> Path:
    """The command of an installation of the wheel, with nothing but what it requires."""
    (wheel,) = folder.glob(f"dist/*_{platform.machine()}.whl")
    venv.create(folder / "venv", symlinks=True)
    pip(f"--python={folder / 'venv/bin/python'}", "install", CONSTRAINTS, str(wheel))
    return folder / "venv" / "bin" / "sbn"


def test_installed_wheel_measures_itself_there(device: Device, folder: Path, sbn: Path) -> None:
    done = subprocess.run(
        [sbn, "benchmark", "small.onnx", "--remote", device.url, "--runs", "20", "--json"],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    (wheel,) = folder.glob(f"dist/*_{platform.machine()}.whl")
    assert record["remote"]["wheel"] == wheel.name
    assert record["remote"]["wheel_sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    here, there = record["local"]["machine"], record["machine"]
    assert there["isa"] == here["isa"] == isa()
    assert there["sbn_deploy"] == here["sbn_deploy"] == wheel.name.split("-")[1]
    assert [timing["engine"] for timing in record["results"]] == ["sbn"]
    assert device.left_behind() == []
