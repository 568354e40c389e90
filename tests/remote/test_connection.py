"""One connection: what it runs and copies, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sbn_deploy.remote import connection as connection_module
from sbn_deploy.remote import ssh
from sbn_deploy.remote.connection import StepError
from sbn_deploy.remote.ssh import SshConnection
from sbn_deploy.remote.target import Target
from sbn_deploy.system import host
from sbn_runtime import MissingDependencyError, RemoteError

from .conftest import WAIT_S, Device

LOST = r"the connection to 127\.0\.0\.1:\d+ was lost"


PYTHON = "python3"


def quiet(_: str) -> None: ...


def ignored(_: int) -> None: ...


@pytest.mark.parametrize("shares", [True, False], ids=["one connection", "one for each command"])
def test_run_and_copy(
    device: Device, tmp_path: Path, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SHARES_SSH", shares)
    (tmp_path / "file").write_text("content\n")
    said: list[str] = []
    with SshConnection(device.target, said.append) as connection:
        arrived: list[int] = []
        files = [(tmp_path / "file", "file"), (tmp_path / "file", "deep/er")]
        connection.copy(PYTHON, files, arrived.append)
        assert sum(arrived) == 16
        assert connection.run("cat file deep/er") == "content\ncontent\n"
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
    assert said == [f"removed {connection.folder} on {device.target.name}"]
    assert device.left_behind() == []


@pytest.mark.parametrize(
    "name", ["host:file", "-oProxyCommand=false", "$(touch owned)", "a;touch owned"]
)
def test_names_of_files_are_no_hosts_options_or_commands(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("content\n")
    with SshConnection(device.target, quiet) as connection:
        connection.copy(PYTHON, [(Path(name), name)], ignored)
        assert connection.run('cat <"$1"', name) == "content\n"
        assert connection.run("test -e owned || echo none") == "none\n"


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended; nobody may have asked for its status."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("way", ["connection", "network"])
def test_connection_lost_half_way(
    device: Device, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Cut, or fallen silent: what runs there is ended, and all is removed without us."""
    monkeypatch.setattr(connection_module, "BEAT_S", 0.2)
    monkeypatch.setattr(connection_module, "LOOK_S", 1)
    monkeypatch.setattr(connection_module, "LOOKS", 2)
    stopped: list[int] = []

    def lose(line: str) -> None:
        running = int(line)
        assert is_running(running)
        if way == "connection":
            device.cut()
        else:
            stopped.append(connection._agent.pid)
            os.kill(stopped[0], signal.SIGSTOP)
        assert device.left_behind() == []
        end = time.monotonic() + WAIT_S
        while is_running(running) and time.monotonic() < end:
            time.sleep(0.05)  # was killed, and goes when a busy machine gets to it
        assert not is_running(running)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    with (
        pytest.raises(RemoteError, match=LOST),
        SshConnection(device.target, quiet) as connection,
    ):
        connection.run("sleep 600 & echo $! >&2; wait", progress=lose)


def test_connection_lost_while_copying(device: Device, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(20_000_000_000)

    def cut() -> None:
        while not list(device.folder.glob("*/large")):
            time.sleep(0.01)
        device.cut()

    def copy() -> None:
        with SshConnection(device.target, quiet) as connection:
            connection.copy(PYTHON, [(large, "large")], ignored)

    with ThreadPoolExecutor() as cutting:
        cutting.submit(cut)
        with pytest.raises(RemoteError, match=LOST):
            copy()
    assert device.left_behind() == []


def test_connection_lost_at_the_end(device: Device) -> None:
    with (
        pytest.raises(RemoteError, match=LOST),
        SshConnection(device.target, quiet),
    ):
        device.cut()
    assert device.left_behind() == []


def refused(target: Target) -> str:
    with pytest.raises(RemoteError) as caught, SshConnection(target, quiet):
        pass
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_unknown_host(device: Device) -> None:
    message = refused(replace(device.target, host="no-such-host.invalid"))
    assert message.startswith(f"cannot connect to {device.target.user}@no-such-host.invalid: ")
    assert message.endswith("check the name")


def test_port_where_nothing_listens(device: Device) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        message = refused(replace(device.target, port=free.getsockname()[1]))
    assert "Connection refused; check the port" in message


def test_port_of_another_service(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing."""
    monkeypatch.setattr(ssh, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        message = refused(replace(device.target, port=mute.getsockname()[1]))
    assert "timed out" in message
    assert message.endswith("check the address and that the device is on")


def test_unknown_host_key(device: Device) -> None:
    (device.folder.parent / "known_hosts").write_text("")
    message = refused(device.target)
    login = f"ssh -p {device.target.port} {device.target.login}"
    assert f"Host key verification failed; connect once with `{login}`" in message


def test_key_that_is_not_accepted(device: Device) -> None:
    (device.folder.parent / "user_key.pub").write_text("")
    message = refused(device.target)
    assert "Permission denied (publickey); log in with a key: `ssh-copy-id" in message


def test_no_ssh_here(device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(MissingDependencyError, match="ssh is not installed here"),
        SshConnection(device.target, quiet),
    ):
        pass


def test_no_temporary_files_stay_here(device: Device) -> None:
    before = set(Path("/tmp").glob("sbn-*"))
    with SshConnection(device.target, quiet) as connection:
        made = Path(connection._local.name)
        assert made not in before
    assert not made.exists()
