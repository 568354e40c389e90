"""What people's devices and settings do to a connection: it works, or says in a line why not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sbn_deploy.remote import connection as connection_module
from sbn_deploy.remote.ssh import SshConnection
from sbn_deploy.remote.target import Target
from sbn_runtime import RemoteError

from ..sampled import few
from .conftest import WAIT_S, Device

# Runs what ssh was asked for in another shell, as a login shell of that kind does.
SHELLS = {
    "dash": "exec dash -c",
    "bash": "exec bash -c",
    "zsh": "exec zsh -c",
    "fish": "exec fish -c",
    "tcsh": "exec tcsh -c",
}
# What start-up files print before that, to both streams.
START_UP = {
    "a line": "echo Welcome; echo again >&2;",
    "no end of line": r"printf '\033]0;title\007'; printf oops >&2;",
    "much": "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2;",
}


def quiet(_: str) -> None: ...


def ignored(_: int) -> None: ...


def folder_of(device: Device) -> Path:
    """Where sshd and ssh have their settings."""
    return device.folder.parent


def login_shell(device: Device, command: str) -> None:
    """What runs in place of what ssh asks for, which is in SSH_ORIGINAL_COMMAND."""
    path = folder_of(device) / "user_key.pub"
    key = path.read_text().partition("ssh-ed25519")[2]
    quoted = command.replace('"', '\\"')
    path.write_text(f'command="PATH={os.environ["PATH"]}; {quoted}" ssh-ed25519{key}')


def configure(device: Device, *lines: str) -> None:
    """Adds to ssh's own settings."""
    with (folder_of(device) / "client_config").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def refused(target: Target) -> str:
    with pytest.raises(RemoteError) as caught, SshConnection(target, quiet):
        pass
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def works(device: Device, tmp_path: Path) -> None:
    """Output, errors and files come as they are."""
    (tmp_path / "file").write_bytes(b"content\n" * 5000)
    with SshConnection(device.target, quiet) as connection:
        connection.copy("python3", [(tmp_path / "file", "file")], ignored)
        heard: list[str] = []
        script = 'cat file; echo "$1" >&2'
        assert connection.run(script, "it's $HOME!", progress=heard.append) == "content\n" * 5000
        assert heard == ["it's $HOME!"]
        assert connection.free_bytes() > 0
    assert device.left_behind() == []


@pytest.mark.parametrize("shell", few(SHELLS, 1))
def test_login_shells(device: Device, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed. Type: sudo apt-get install {shell}")
    # fish makes folders for itself.
    own = f"XDG_CONFIG_HOME={tmp_path} XDG_DATA_HOME={tmp_path} XDG_CACHE_HOME={tmp_path}"
    login_shell(device, f'export {own}; {SHELLS[shell]} "$SSH_ORIGINAL_COMMAND"')
    works(device, tmp_path)


@pytest.mark.parametrize("prints", few(reversed(START_UP), 1))
def test_start_up_files_that_print(device: Device, tmp_path: Path, prints: str) -> None:
    login_shell(device, f'{START_UP[prints]} exec sh -c "$SSH_ORIGINAL_COMMAND"')
    works(device, tmp_path)


def test_start_up_files_that_wait(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HELLO_S", 2)
    login_shell(device, "echo Continue?; exec sleep 600")
    message = refused(device.target)
    assert "does not start our command within 2 seconds after 'Continue?'; its start-up" in message


@pytest.mark.parametrize(
    "command",
    ["echo This account is currently not available.; exit 1", "echo only backups here"],
    ids=["nologin", "forced command"],
)
def test_accounts_without_a_shell(device: Device, command: str) -> None:
    login_shell(device, command)
    words = command.removeprefix("echo ").partition(";")[0]
    message = refused(device.target)
    assert f"it answers {words!r} instead of starting a shell" in message


@pytest.mark.long
def test_umask(device: Device, tmp_path: Path) -> None:
    login_shell(device, 'umask 077; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    works(device, tmp_path)


def test_settings_for_terminals(device: Device, tmp_path: Path) -> None:
    """What people have in ~/.ssh/config for their own logins does not reach us."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configure(
            device,
            "RemoteCommand tmux new -A",
            "RequestTTY force",
            f"LocalForward {port} 127.0.0.1:22",
            "ExitOnForwardFailure yes",
            "ForwardAgent yes",
            "PermitLocalCommand yes",
            f"LocalCommand touch {tmp_path}/owned",
        )
        works(device, tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.long
def test_proxy_command(device: Device, tmp_path: Path) -> None:
    script = folder_of(device) / "proxy.py"
    script.write_text(PROXY)
    configure(device, f"ProxyCommand {sys.executable} {script} %h %p 1000000000")
    works(device, tmp_path)


@pytest.mark.long
def test_jump_host(device: Device, tmp_path: Path) -> None:
    """It is the device itself."""
    ssh = shutil.which("ssh")
    config = folder_of(device) / "client_config"
    configure(
        device,
        "Host board",
        "HostName 127.0.0.1",
        f"ProxyCommand {ssh} -F {config} -p {device.target.port} -W %h:%p 127.0.0.1",
        "HostKeyAlias [127.0.0.1]:%p".replace("%p", str(device.target.port)),
    )
    works(replace(device, target=replace(device.target, host="board")), tmp_path)


def test_jump_host_that_does_not_reach_it(device: Device) -> None:
    configure(device, "Host board", f"ProxyJump 127.0.0.1:{device.target.port}")
    wrapper = folder_of(device) / "client" / "ssh"
    configure(device, "HostName 127.0.0.1")
    assert wrapper.exists()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    # ProxyJump starts ssh by itself with the settings that it was given.
    message = refused(replace(device.target, host="board", port=closed))
    assert "the jump host of ssh's settings does not reach it" in message


def test_changed_host_key(device: Device) -> None:
    known = folder_of(device) / "known_hosts"
    other = (folder_of(device) / "user_key.pub").read_text()
    known.write_text(f"[127.0.0.1]:{device.target.port} {other}")
    message = refused(device.target)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in message
    assert f"`ssh-keygen -R '[127.0.0.1]:{device.target.port}'`" in message


@pytest.mark.long
def test_key_that_others_can_read(device: Device) -> None:
    key = folder_of(device) / "user_key"
    key.chmod(0o644)
    message = refused(device.target)
    assert f"are too open; keep the key to yourself: `chmod 600 {key}`" in message


def test_key_with_a_passphrase(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = folder_of(device) / "user_key"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True)
    message = refused(device.target)
    assert "Permission denied" in message
    assert message.endswith(f"its key has a passphrase: type `ssh-add {key}`")


def test_killed_for_lack_of_memory(device: Device) -> None:
    with (
        SshConnection(device.target, quiet) as connection,
        pytest.raises(
            RemoteError, match="it was killed, probably because the device ran out of memory"
        ),
    ):
        connection.run("kill -9 $$")


@pytest.mark.parametrize("number", few([signal.SIGTERM, signal.SIGHUP, signal.SIGINT], 1))
@pytest.mark.parametrize("stage", ["connecting", "copying"])
def test_ended_at_each_stage(
    device: Device, tmp_path: Path, number: signal.Signals, stage: str
) -> None:
    """Nothing stays there, nothing runs on here, and no copy lies here."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(20_000_000_000)
    if stage == "connecting":
        login_shell(device, 'sleep 3; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    program = [sys.executable, "-c", COPY, *_target(device.target), str(large)]
    with subprocess.Popen(
        program, env=os.environ | {"TMPDIR": str(temporary)}, start_new_session=True
    ) as process:
        _wait(lambda: device.sessions() if stage == "connecting" else _copies(device))
        process.send_signal(number)
        process.wait(timeout=60)
    assert device.left_behind() == []
    assert not list(temporary.iterdir())
    _wait(lambda: not _running(str(device.target.port)))


@pytest.mark.long
def test_slow_link(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life pass between the pieces of a copy, however slow the link is."""
    monkeypatch.setattr("sbn_deploy.remote.ssh.ALIVE_S", 1)
    monkeypatch.setattr("sbn_deploy.remote.ssh.ALIVE_COUNT", 3)
    script = folder_of(device) / "proxy.py"
    script.write_text(PROXY)
    configure(device, f"ProxyCommand {sys.executable} {script} %h %p 20000")
    content = os.urandom(60_000)
    (tmp_path / "file").write_bytes(content)
    arrived: list[int] = []
    with SshConnection(device.target, quiet) as connection:
        connection.copy("python3", [(tmp_path / "file", "file")], arrived.append)
        assert (Path(connection.folder) / "file").read_bytes() == content
    assert len(arrived) > 3
    assert device.left_behind() == []


# Carries bytes to a port, so many a second.
PROXY = """\
import os, socket, sys, threading, time
host, port, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
link = socket.create_connection((host, port))
def back():
    while data := link.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
piece = min(65536, max(1, rate // 20))
while data := os.read(0, piece):
    link.sendall(data)
    time.sleep(len(data) / rate)
"""
COPY = """\
import sys
from pathlib import Path
from sbn_deploy.remote.ssh import SshConnection
from sbn_deploy.remote.target import Target
user, host, port, folder, large = sys.argv[1:]
try:
    with SshConnection(Target(user, host, int(port), folder), print) as connection:
        connection.copy("python3", [(Path(large), "large")], lambda more: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def _target(target: Target) -> Sequence[str]:
    return [str(target.user), target.host, str(target.port), str(target.folder)]


def _copies(device: Device) -> list[Path]:
    return [path for path in device.folder.glob("*/large") if path.stat().st_size]


def _running(word: str) -> list[str]:
    """Programs of ours that have this word, but for the sshd."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(b"ssh") and word.encode() in words:
                found.append(path.parent.name)
    return found


def _wait(for_: object) -> None:
    end = time.monotonic() + WAIT_S
    assert callable(for_)
    while not for_() and time.monotonic() < end:
        time.sleep(0.05)
    assert for_()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system here")
@pytest.mark.long
def test_read_only_home(device: Device, tmp_path: Path) -> None:
    device.home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    works(device, tmp_path)
