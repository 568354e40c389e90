"""The source and the wheel hold what they should, and nothing that was lying about."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..once import once
from .release import COMPILED, build_source, contents, install, unwanted, version
from .wheels import ROOT


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this tree, once for all tests."""
    (path,) = once(tmp_path_factory, "source", build_source).iterdir()
    return path


def test_the_source_is_this_tree(source: Path) -> None:
    assert unwanted(source) == []
    names = {name.partition("/")[2] for name in contents(source)}
    assert {"LICENSE", "README.md", "runtime/CMakeLists.txt", "sbn_deploy/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "models/", "."))]


def test_the_wheel_is_this_tree(wheel: Path) -> None:
    assert unwanted(wheel) == []


def test_what_does_not_belong_there_is_named(source: Path, wheel: Path, tmp_path: Path) -> None:
    """A file that nobody committed, one that was changed, and paths of this machine."""
    broken = Path(shutil.copy(wheel, tmp_path / wheel.name))
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(broken, "w") as archive:
        for name in whole.namelist():
            data = whole.read(name)
            if name == "sbn_deploy/names.py":
                data += b"#"
            if name in COMPILED and name.endswith(".sha256"):
                data += f"{ROOT}/runtime/src".encode()
            if not name.endswith("/LICENSE"):
                archive.writestr(name, data)
        archive.writestr("sbn_deploy/photo.jpg", b"")
        archive.writestr("tests/golden/signs.onnx", b"")
    licence = f"sbn_deploy-{version()}.dist-info/licenses/LICENSE"
    assert sorted(unwanted(broken)) == [
        f"{licence}: is not the licence of this tree",
        "sbn_deploy/names.py: differs from this tree's",
        "sbn_deploy/photo.jpg: is not a file of this tree",
        f"sbn_runtime/libsbn.sha256: names {ROOT}/runtime of the machine that built it",
        "tests/golden/signs.onnx: is not needed",
    ]
    with tarfile.open(tmp_path / source.name, "w:gz") as archive:
        archive.add(ROOT / "Makefile", f"sbn_deploy-{version()}/Makefile")
    assert f"sbn_deploy-{version()}/Makefile: is not needed" in unwanted(tmp_path / source.name)


def test_no_other_file_says_the_version(project: dict[str, Any]) -> None:
    """And follows the scheme that the changelog names."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", project["version"])
    files = (ROOT / name for name in ("CITATION.cff", "README.md", "CONTRIBUTING.md", "Makefile"))
    assert not [file.name for file in files if project["version"] in file.read_text()]


@pytest.mark.long
def test_the_source_installs_in_a_fresh_environment(source: Path) -> None:
    assert install(source).endswith("models run here\n")
