"""Which wheel goes to a device."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sbn_deploy.remote import wheels
from sbn_deploy.remote.wheels import candidates, difference, fitting
from sbn_runtime import InputError, RemoteError

NAME = "sbn_deploy-{}-py3-none-manylinux_2_28_{}.whl"
TREE = "tree"


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dist/ of the current folder; that of the source tree, which `make wheels` fills, is TREE."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wheels, "source_tree", lambda: tmp_path / TREE)
    (tmp_path / TREE / "dist").mkdir(parents=True)
    (tmp_path / "dist").mkdir()
    return tmp_path / "dist"


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel with the code of this tree."""
    path = tmp_path_factory.mktemp("wheel") / "any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for package in wheels.PACKAGES:
            root = wheels.folder_of(package)
            for source in root.rglob("*.py"):
                archive.write(source, Path(package) / source.relative_to(root))
        if sources := wheels.built_from():
            archive.write(sources, "sbn_runtime/libsbn.sha256")
    return path


@pytest.fixture
def make(current: Path) -> Callable[..., Path]:
    """Puts that wheel somewhere, as old as is said."""

    def put(path: Path, time: int = 0) -> Path:
        shutil.copyfile(current, path)
        os.utime(path, (time, time))
        return path

    return put


def wheel_for(machine: str, chosen: Path | None = None) -> Path:
    return fitting(machine, candidates(chosen), chosen=chosen is not None)


def test_the_one_that_fits(dist: Path, make: Callable[..., Path]) -> None:
    found = {machine: make(dist / NAME.format("1.0", machine)) for machine in ("x86_64", "aarch64")}
    make(dist / "other-1.0-py3-none-manylinux_2_28_aarch64.whl", 9)
    make(dist / "sbn_deploy-1.0.tar.gz", 9)
    for machine, path in found.items():
        assert wheel_for(machine) == path


def test_the_newest_of_this_code(dist: Path, make: Callable[..., Path]) -> None:
    """A file of other code may be newer, as one that was copied, and have a higher version."""
    make(dist / NAME.format("1.9", "aarch64"), 5)
    newest = make(dist / NAME.format("1.10", "aarch64"), 6)
    other = make(dist / NAME.format("1.20", "aarch64"), 7)
    with zipfile.ZipFile(other, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("sbn_deploy/cli.py", "")
    os.utime(other, (7, 7))
    assert difference(other) == "sbn_deploy/cli.py"
    assert wheel_for("aarch64") == newest


def test_the_source_tree_comes_second(dist: Path, make: Callable[..., Path]) -> None:
    second = make(dist.parent / TREE / "dist" / NAME.format("1.0", "aarch64"), 9)
    assert wheel_for("aarch64") == second
    first = make(dist / NAME.format("1.0", "aarch64"))
    assert wheel_for("aarch64") == first


def test_none(dist: Path, make: Callable[..., Path]) -> None:
    with pytest.raises(RemoteError, match=r"no wheel found in .*dist.*`make wheels`"):
        candidates(None)
    make(dist / NAME.format("1.0", "x86_64"))
    with pytest.raises(RemoteError, match=r"no wheel for aarch64 .*dist.*`make wheels`"):
        wheel_for("aarch64")


def test_other_code(dist: Path) -> None:
    path = dist / NAME.format("1.0", "x86_64")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sbn_deploy/__init__.py", "")
    said = r"from other code than this \(sbn_deploy/__init__.py differs\); .*`make wheels`"
    with pytest.raises(RemoteError, match=said):
        candidates(None)
    with pytest.raises(InputError, match=said):
        candidates(path)


def test_another_library(dist: Path, make: Callable[..., Path]) -> None:
    path = make(dist / NAME.format("1.0", "x86_64"))
    if wheels.built_from() is None:
        pytest.skip("this build does not say what its library was made from")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("sbn_runtime/libsbn.sha256", "")
    assert difference(path) == "the native library"


def test_no_such_architecture(dist: Path, make: Callable[..., Path]) -> None:
    make(dist / NAME.format("1.0", "x86_64"))
    with pytest.raises(RemoteError, match="the device runs armv7l programs"):
        wheel_for("armv7l")


@pytest.mark.parametrize(
    "name",
    [
        NAME.format("1.0", "aarch64"),
        "sbn_deploy-1.0-py3-none-linux_aarch64.whl",
        "sbn_deploy-1.0-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
    ],
)
def test_chosen(tmp_path: Path, make: Callable[..., Path], name: str) -> None:
    path = make(tmp_path / name)
    assert wheel_for("aarch64", path) == path
    with pytest.raises(InputError, match="is for aarch64, the device is x86_64"):
        wheel_for("x86_64", path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sbn_deploy-1.0.tar.gz", "not a wheel of sbn-deploy"),
        ("numpy-2.0-cp311-cp311-linux_x86_64.whl", "not a wheel of sbn-deploy"),
        (NAME.format("1.0", "x86_64"), "is not a wheel, or is damaged"),
    ],
)
def test_chosen_that_is_none(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"not a zip")
    with pytest.raises(InputError, match=message):
        candidates(tmp_path / name)


def test_chosen_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        candidates(tmp_path / NAME.format("1.0", "x86_64"))
