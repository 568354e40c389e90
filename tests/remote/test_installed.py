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

import numpy as np
import pytest

from sbn_deploy.records.files import load
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


def clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@pytest.mark.long
def test_what_it_writes_is_what_workstations_read(folder: Path, sbn: Path) -> None:
    """The base install has no pydantic, which reads its measurements here."""
    images = np.random.default_rng(0).integers(0, 16, (12, 4, 4, 1), np.uint8)
    labels = np.arange(12) % 3
    names = ("images", "test_images"), ("labels", "test_labels")
    np.savez(
        folder / "data.npz", **dict.fromkeys(names[0], images), **dict.fromkeys(names[1], labels)
    )
    for verb, *options in (
        ("benchmark", "--runs", "2", "--max-seconds", "1000"),
        ("evaluate", "--data", "npz:data.npz"),
    ):
        command = [sbn, verb, "small.onnx", *options, "-o", f"{verb}.json"]
        done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert load(folder / f"{verb}.json").machine.isa == isa()
    done = subprocess.run(
        [sbn, "benchmark", "small.onnx", "--remote", "ssh://nowhere"],
        cwd=folder,
        env=clean(),
        capture_output=True,
        text=True,
    )
    assert "needs pydantic, which is not installed: pip install 'sbn-deploy[report]'" in done.stderr


@pytest.mark.long
def test_installed_wheel_measures_itself_there(device: Device, folder: Path, sbn: Path) -> None:
    pip(f"--python={sbn.with_name('python')}", "install", CONSTRAINTS, "pydantic")
    done = subprocess.run(
        [sbn, "benchmark", "small.onnx", "--remote", device.url, "--runs", "2", "--json"],
        cwd=folder,
        env=clean(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    (wheel,) = folder.glob(f"dist/*_{platform.machine()}.whl")
    assert record["remote"]["program"] == wheel.name
    assert record["remote"]["program_sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    here, there = record["remote"]["here"], record["machine"]
    assert there["isa"] == here["isa"] == isa()
    assert there["sbn_deploy"] == here["sbn_deploy"] == wheel.name.split("-")[1]
    assert [timing["engine"] for timing in record["results"]] == ["sbn"]
    assert device.left_behind() == []
