"""Wheels for Windows and macOS, which `make wheels` builds and checks in the same way."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..once import once
from .foreign import PLATFORMS, TOOLS, build, can_build, can_build_for_boards, check
from .wheels import CROSS_COMPILER

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not can_build(), reason=f"builds wheels with {', '.join(TOOLS)}"),
]


def wheel(factory: pytest.TempPathFactory, tag: str) -> Path:
    folder = once(factory, f"wheel-{tag}", lambda folder: build(tag, folder))
    (found,) = folder.glob("*.whl")
    return found


def rewritten(good: Path, folder: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A wheel with what `change` makes of each file, without those that it leaves out."""
    path = folder / good.name
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as to:
        for name in archive.namelist():
            data = change(name, archive.read(name))
            if data is not None:
                to.writestr(name, data)
    return path


@pytest.mark.parametrize("tag", PLATFORMS)
def test_wheel_keeps_its_tag(tag: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert check(wheel(tmp_path_factory, tag)).startswith(f"{tag}: ")


@pytest.mark.parametrize("tag", PLATFORMS)
def test_the_same_source_gives_the_same_wheel(
    tag: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    assert build(tag, tmp_path).read_bytes() == wheel(tmp_path_factory, tag).read_bytes()


@pytest.mark.parametrize(
    ("tag", "other"),
    [
        ("win_amd64", "win_arm64"),
        ("win_arm64", "win_amd64"),
        ("macosx_11_0_arm64", "macosx_11_0_x86_64"),
        ("macosx_11_0_x86_64", "macosx_11_0_arm64"),
    ],
)
def test_libraries_of_another_machine_are_seen(
    tag: str, other: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    good = wheel(tmp_path_factory, tag)
    renamed = tmp_path / good.name.replace(tag, other)
    shutil.copy(good, renamed)
    with pytest.raises(ValueError, match=f"does not keep its tag {other}: .*(machine|processor)"):
        check(renamed)


def test_a_file_that_was_changed_is_seen(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    good = wheel(tmp_path_factory, "win_amd64")
    changed = rewritten(
        good, tmp_path, lambda name, data: data + b" " if name == "sbn_runtime/py.typed" else data
    )
    with pytest.raises(ValueError, match=r"sbn_runtime/py.typed is not as listed"):
        check(changed)


@pytest.mark.skipif(not can_build_for_boards(), reason=f"missing: {CROSS_COMPILER}")
def test_a_library_that_bundles_need_is_missed(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    good = wheel(tmp_path_factory, "win_amd64")
    lacking = rewritten(
        good,
        tmp_path,
        lambda name, data: None if name.startswith("sbn_deploy/libraries/aarch64/") else data,
    )
    with pytest.raises(ValueError, match=r"has no libsbn\.so for linux-arm64"):
        check(lacking)
