"""The script on the device removes its folder whatever happens, in every POSIX shell."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from ..sampled import few

SCRIPT = files("sbn_deploy.remote").joinpath("agent.sh").read_text()
SHELLS = ("dash", "bash", "bash --posix", "busybox sh", "mksh")
WAIT_S = 20
LOOK = ("1", "2")


@pytest.fixture(params=few(SHELLS, 1))
def shell(request: pytest.FixtureRequest) -> list[str]:
    command: list[str] = request.param.split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed. Type: sudo apt-get install {command[0]}")
    return command


@pytest.fixture
def agent(shell: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The script after it named its folder, in a session of its own as sshd starts it."""
    with start(shell, tmp_path) as process:
        yield process
        process.kill()


def start(shell: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*shell, "-c", SCRIPT, "sh", str(folder), *LOOK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def named_folder(process: subprocess.Popen[str]) -> Path:
    assert process.stdout
    word, folder, load = process.stdout.readline().split()
    assert word == "sbn-folder"
    assert float(load) >= 0
    assert Path(folder).is_dir()
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    (Path(folder) / "deep").mkdir()
    (Path(folder) / "deep/file").touch()
    return Path(folder)


def ended_cleanly(process: subprocess.Popen[str], folder: Path) -> None:
    process.wait(WAIT_S)
    assert process.stdout
    assert process.stderr
    assert process.stdout.read() == "sbn-removed\n"
    assert process.stderr.read() == ""
    assert not folder.exists()


def test_end_of_input(agent: subprocess.Popen[str]) -> None:
    folder = named_folder(agent)
    assert agent.stdin
    agent.stdin.close()
    ended_cleanly(agent, folder)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals(agent: subprocess.Popen[str], number: signal.Signals) -> None:
    folder = named_folder(agent)
    agent.send_signal(number)
    ended_cleanly(agent, folder)


def test_silence(agent: subprocess.Popen[str]) -> None:
    """Input stays open, but no more beats come."""
    folder = named_folder(agent)
    assert agent.stdin
    agent.stdin.write("\n")
    agent.stdin.flush()
    ended_cleanly(agent, folder)


def test_what_still_runs_is_ended(agent: subprocess.Popen[str]) -> None:
    folder = named_folder(agent)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as step:
        (folder / "step.group").write_text(f"{step.pid}\n")
        agent.terminate()
        ended_cleanly(agent, folder)
        assert step.wait(WAIT_S) == -signal.SIGKILL


def test_reader_that_went_away(agent: subprocess.Popen[str]) -> None:
    """Nobody takes the last word, as when the connection broke."""
    folder = named_folder(agent)
    assert agent.stdin
    assert agent.stdout
    agent.stdout.close()
    agent.stdin.close()
    agent.wait(WAIT_S)
    assert not folder.exists()


def test_nothing_runs_on(agent: subprocess.Popen[str]) -> None:
    named_folder(agent)
    assert agent.stdin
    agent.stdin.close()
    agent.wait(WAIT_S)
    end = time.monotonic() + WAIT_S
    while str(agent.pid) in (groups := process_groups()) and time.monotonic() < end:
        time.sleep(0.1)
    assert str(agent.pid) not in groups


def process_groups() -> list[str]:
    listed = ["ps", "-e", "-o", "pgid="]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


def test_folder_that_cannot_be_made(shell: list[str], tmp_path: Path) -> None:
    with start(shell, tmp_path / "none") as process:
        said, _ = process.communicate()
        assert said == f"sbn-no-folder {tmp_path / 'none'}\n"
        assert process.returncode == 1
