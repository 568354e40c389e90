"""Archives of every format that Python writes, against Python's own reader."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from sbn_deploy.reading import tar

NAMES = ("a.png", "b/ü.png", f"{'long' * 30}/{'name' * 20}.png", f"{'x' * 180}.png")


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mtime", [0, 1.5])
def test_members_are_those_that_python_finds(tmp_path: Path, kind: int, mtime: float) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=kind) as archive:
        for number, name in enumerate(NAMES):
            if kind == tarfile.USTAR_FORMAT and "xxx" in name:
                continue
            for form in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE):
                member = tarfile.TarInfo(name)
                member.type, member.linkname, member.mtime = form, "a.png", mtime
                data = bytes([number]) * (500 * number + 12)
                member.size = len(data) if member.isreg() else 0
                archive.addfile(member, io.BytesIO(data))
    with tarfile.open(path) as archive:
        expected = [
            (one.name, one.offset, one.offset_data, one.size) for one in archive if one.isreg()
        ]
        contents = [archive.extractfile(one).read() for one in archive if one.isreg()]  # type: ignore[union-attr]
    found = [(one, tar.content(path, one, file)) for one, file in tar.members(path)]
    assert [(one.name, one.offset, one.start, one.size) for one, _ in found] == expected
    assert [content for _, content in found] == contents
    # From any member on.
    for index, (one, _) in enumerate(found):
        rest = [member for member, _ in tar.members(path, one.offset)]
        assert rest == [member for member, _ in found[index:]]
