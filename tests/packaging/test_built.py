"""An old native library is not tested."""

from __future__ import annotations

import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from sbn_runtime import library_path

from .. import built, conftest
from ..built import RUNTIME, changed_sources, stale_library

DIGESTS = library_path().with_suffix(".sha256")


def test_this_library_is_of_this_tree() -> None:
    assert stale_library() == ""


def test_every_source_has_a_digest() -> None:
    listed = set(re.findall(r"^[0-9a-f]{64}  (.+)$", DIGESTS.read_text(), re.MULTILINE))
    names = {
        "android": ("*.cc", "*.java"),
        "examples": ("*.c",),
        "include": ("*.*",),
        "src": ("*.*",),
    }
    assert listed >= {
        str(path.relative_to(RUNTIME))
        for folder, kinds in names.items()
        for kind in kinds
        for path in (RUNTIME / folder).rglob(kind)
    }


def test_what_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"abc")
    (tmp_path / "edited").write_bytes(b"abd")
    digests = tmp_path / "digests"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    digests.write_text("".join(f"{abc}  {name}\n" for name in ("same", "edited", "deleted")))
    assert changed_sources(tmp_path, digests) == ["edited", "deleted"]


@pytest.mark.parametrize(
    ("digests", "reason"),
    [
        (None, "libsbn.so is of unknown sources. Type: "),
        (f"{'0' * 64}  src/pack.cc\n", "libsbn.so is not of this tree's src/pack.cc. Type: "),
    ],
)
def test_pytest_refuses_an_old_library(
    digests: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sbn_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    if digests is not None:
        (package / "libsbn.sha256").write_text(digests)
    monkeypatch.delitem(sys.modules, "sbn_runtime")
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    monkeypatch.syspath_prepend(tmp_path)
    conftest.pytest_configure()  # another installation's library is none of ours
    monkeypatch.setattr(built, "RUNTIME", tmp_path)
    with pytest.raises(pytest.UsageError, match=re.escape(reason)):
        conftest.pytest_configure()
