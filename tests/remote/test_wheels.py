"""Which wheel goes to a device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sbn_deploy.remote import wheels
from sbn_deploy.remote.wheels import wheel_for
from sbn_runtime import InputError, RemoteError

NAME = "sbn_deploy-{}-py3-none-manylinux_2_28_{}.whl"
TREE = "tree"


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dist/ of the current folder; that of the source tree, which `make wheels` fills, is TREE."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wheels, "files", lambda package: tmp_path / TREE / package)
    (tmp_path / TREE / "dist").mkdir(parents=True)
    (tmp_path / "dist").mkdir()
    return tmp_path / "dist"


def touch(path: Path, time: int = 0) -> Path:
    path.touch()
    os.utime(path, (time, time))
    return path


def test_the_one_that_fits(dist: Path) -> None:
    fitting = {
        machine: touch(dist / NAME.format("1.0", machine)) for machine in ("x86_64", "aarch64")
    }
    touch(dist / "other-1.0-py3-none-manylinux_2_28_aarch64.whl", 9)
    touch(dist / "sbn_deploy-1.0.tar.gz", 9)
    for machine, path in fitting.items():
        assert wheel_for(machine, None) == path


def test_the_newest(dist: Path) -> None:
    touch(dist / NAME.format("1.9", "aarch64"), 5)
    newest = touch(dist / NAME.format("1.10", "aarch64"), 6)
    touch(dist / NAME.format("1.2", "aarch64"), 4)
    assert wheel_for("aarch64", None) == newest


def test_the_source_tree_comes_second(dist: Path) -> None:
    second = touch(dist.parent / TREE / "dist" / NAME.format("1.0", "aarch64"), 9)
    assert wheel_for("aarch64", None) == second
    first = touch(dist / NAME.format("1.0", "aarch64"))
    assert wheel_for("aarch64", None) == first


def test_none(dist: Path) -> None:
    touch(dist / NAME.format("1.0", "x86_64"))
    with pytest.raises(RemoteError, match=r"no wheel for aarch64 found in .*dist.*`make wheels`"):
        wheel_for("aarch64", None)


def test_no_such_architecture(dist: Path) -> None:
    with pytest.raises(RemoteError, match="the device runs armv7l programs"):
        wheel_for("armv7l", None)


@pytest.mark.parametrize(
    "name",
    [
        NAME.format("1.0", "aarch64"),
        "sbn_deploy-1.0-py3-none-linux_aarch64.whl",
        "sbn_deploy-1.0-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    ],
)
def test_chosen(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / name)
    assert wheel_for("aarch64", path) == path
    with pytest.raises(InputError, match="is for aarch64, the device is x86_64"):
        wheel_for("x86_64", path)


@pytest.mark.parametrize(
    "name", ["sbn_deploy-1.0.tar.gz", "numpy-2.0-cp311-cp311-linux_x86_64.whl"]
)
def test_chosen_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a wheel of sbn-deploy"):
        wheel_for("x86_64", touch(tmp_path / name))


def test_chosen_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        wheel_for("x86_64", tmp_path / NAME.format("1.0", "x86_64"))
