"""One connection: what it runs and copies, and that nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_deploy.measure.remote.connection import Connection, StepError

from .conftest import Device


def quiet(_: str) -> None: ...


def test_run_and_copy(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    said: list[str] = []
    with Connection(device.target, said.append) as connection:
        connection.copy(tmp_path / "file")
        assert connection.run("cat file") == "content\n"
        assert connection.run('echo "$2" "$1"', "a b", "$HOME") == "$HOME a b\n"
        seen: list[str] = []
        connection.run("echo one >&2; echo two >&2", progress=seen.append)
        assert seen == ["one", "two"]
        assert connection.free_bytes() > 0
        assert connection.load is not None
        assert Path(connection.folder).parent == device.folder
        with pytest.raises(StepError, match=r"^broken$"):
            connection.run("echo broken >&2; exit 3")
        assert Path(connection.folder).exists()
    assert said == [f"removed {connection.folder} on 127.0.0.1"]
    assert device.left_behind() == []
