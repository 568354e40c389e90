"""One connection to a device, with a folder there that lasts as long as the connection.

One command, which runs agent.sh, lasts as long: it makes the folder and removes it at the end.
What carries commands and files is in ssh.py and adb.py.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread, Timer
from types import TracebackType
from typing import IO, Self

from sbn_deploy.system import host
from sbn_runtime import MissingDependencyError, RemoteError

# How long the login shell may take to come to our command.
HELLO_S = 60
BEAT_S = 15
LOOK_S = 5
LOOKS = 12
GOODBYE_S = 30
LAST_WORDS_S = 3

# Comes before what a command writes, to standard output and standard error: the start-up files
# of a login shell may write there first, with or without an end of line.
_MARK = "sbn-output"
_MARKED = f'echo; echo {_MARK}; echo >&2; echo {_MARK} >&2; exec "$@"'
# How much of what a shell says is repeated.
_SAID = 200

# Makes itself known to the remote agent, which ends it if the connection is lost. All that it
# writes stays in the folder, and Python is not led to other packages.
_PROLOGUE = """\
cd "$1" && read -r x x x x group x </proc/$$/stat && echo "$group" >step.group || exit 1
trap 'rm -f "$TMPDIR/step.group"' EXIT
export TMPDIR="$1" XDG_CACHE_HOME="$1" PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME
shift
"""


class StepError(RemoteError):
    """A command on the device failed; `lines` is what it wrote to standard error."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(message)
        self.lines = list(lines)


@dataclass(frozen=True)
class Ended:
    """A finished command: exit status, standard output, and the lines of standard error."""

    status: int
    text: str
    lines: list[str]


class Connection(ABC):
    """An open connection; a context manager that leaves nothing behind on the device.

    Args:
        name: of the device, as messages call it.
        place: where to make the folder; None to let the device choose.
        say: is called when everything was removed.

    Attributes:
        folder: the temporary folder on the device.
        load: the load average when the connection began.
        commands: what was run there.
    """

    folder: str
    load: float | None
    # What a command ends with that was killed, by signal 9, while the connection lasts.
    killed: tuple[int, ...] = (128 + 9,)

    def __init__(self, name: str, place: str | None, say: Callable[[str], None]) -> None:
        self._name = name
        self._place = place
        self._say = say
        self.commands: list[str] = []
        self._local = tempfile.TemporaryDirectory(prefix="sbn-", dir=host.SHORT_FOLDER)
        # What our program for the agent writes to standard error; `_close` closes it.
        errors = Path(self._local.name) / "errors"
        self._errors = errors.open("w+", encoding="utf-8", errors="replace")
        self._ended = Event()

    @abstractmethod
    def _agent_command(self, words: Sequence[str]) -> list[str]:
        """The program to start here that runs `words` there for as long as we are connected."""

    @abstractmethod
    def _shell(self, words: Sequence[str]) -> list[str]:
        """The program to start here that runs `words` there."""

    @abstractmethod
    def _no_folder(self, base: str) -> RemoteError:
        """What to raise where no folder can be made in `base`."""

    @abstractmethod
    def _unreachable(self, lines: Sequence[str], said: str, status: int) -> RemoteError:
        """What to raise where the agent did not start.

        lines: what our program wrote to standard error. said: what came from the device.
        status: of our program.
        """

    def __enter__(self) -> Self:
        try:
            self._connect()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        removed = self._close()
        if removed:
            self._say(f"removed {self.folder} on {self._name}")
        elif error is None:
            raise self._lost()

    def run(
        self, script: str, *arguments: str, progress: Callable[[str], None] | None = None
    ) -> str:
        """Runs a shell script in the folder and returns what it writes to standard output.

        Args:
            script: for a POSIX shell, with the arguments as $1, $2, ….
            progress: is called with each line of standard error as it comes.

        Raises:
            StepError: the script failed.
            RemoteError: the connection was lost.
        """
        command = script.strip()
        for number, argument in enumerate(arguments, 1):
            command = command.replace(f'"${number}"', shlex.quote(argument))
        self.commands.append(command)
        words = ["sh", "-c", _PROLOGUE + script, "sh", self.folder, *arguments]
        return self._remote(words, progress)

    def free_bytes(self) -> int:
        """Free space for the folder; asking takes none itself. Raises as `run` does."""
        table = self._remote(["df", "-Pk", self.folder])
        found = re.search(r"\s(\d+)\s+\d+%\s", table)
        if found is None:
            raise RemoteError(f"df on {self._name} says {table.strip()!r}, which is not a size")
        return int(found[1]) * 1024

    def _connect(self) -> None:
        script = files(__package__).joinpath("agent.sh").read_text(encoding="utf-8")
        words = ["sh", "-c", script, "sh", self._place or "", str(LOOK_S), str(LOOKS)]
        self._agent = start(self._agent_command(words), stdin=subprocess.PIPE, stderr=self._errors)
        assert self._agent.stdin is not None
        assert self._agent.stdout is not None
        Thread(target=_beat, args=(self._agent.stdin, self._ended), daemon=True).start()
        _open.add(self)
        late = Event()

        def give_up() -> None:
            late.set()
            self._agent.kill()

        hello = Timer(HELLO_S, give_up)
        hello.start()
        said = ""
        try:
            for line in self._agent.stdout:
                _, found, rest = line.partition("sbn-folder ")
                if found:
                    self.folder, *load = rest.split()
                    self.load = float(load[0]) if load else None
                    return
                _, found, rest = line.partition("sbn-no-folder ")
                if found:
                    raise self._no_folder(rest.split()[0])
                said = (said + line)[:_SAID]
        finally:
            hello.cancel()
        said = " ".join(said.split())
        if late.is_set():
            after = f" after {said!r}" if said else ""
            raise RemoteError(
                f"{self._name}: its login shell does not start our command within {HELLO_S:g}"
                f" seconds{after}; its start-up files (.bashrc, config.fish …) must not wait for"
                " input without a terminal"
            )
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        raise self._unreachable(lines, said, self._agent.wait())

    def _lost(self) -> RemoteError:
        return RemoteError(
            f"the connection to {self._name} was lost; the device ends what it was doing"
            f" and removes {self.folder} within {LOOK_S * LOOKS} seconds if it is still on"
        )

    def _remote(self, words: Sequence[str], progress: Callable[[str], None] | None = None) -> str:
        """Runs a command there to its end; see `run`."""
        marked = self._shell(["sh", "-c", _MARKED, "sh", *words])
        text = self._check(self._call(marked, progress))
        return text.partition(f"{_MARK}\n")[2]

    def _call(self, command: list[str], progress: Callable[[str], None] | None = None) -> Ended:
        """Runs one of our commands here to its end; `progress` hears lines after the mark."""
        with tempfile.TemporaryFile("w+", dir=self._local.name, encoding="utf-8") as output:
            step = start(command, stdout=output)
            lines: list[str] = []
            marked = False
            assert step.stderr is not None
            with awaited(step), step.stderr:
                for line in step.stderr:
                    if line.strip() == _MARK and not marked:
                        marked = True
                        lines.clear()
                        continue
                    lines.append(line.strip())
                    if marked and progress is not None:
                        progress(line.strip())
                status = step.wait()
            output.seek(0)
            return Ended(status, output.read(), lines)

    def _check(self, ended: Ended) -> str:
        """The output of a command that succeeded."""
        if ended.status == 0:
            return ended.text
        said = next((line for line in reversed(ended.lines) if line), "it failed")
        # What ssh ends with without a connection; the agent's end follows.
        if self._has_ended(LAST_WORDS_S if ended.status == 255 else 0):
            raise self._lost()
        if ended.status in self.killed:
            said = "it was killed, probably because the device ran out of memory"
        raise StepError(said, ended.lines)

    def _has_ended(self, patience: float) -> bool:
        """Whether the connection has ended, or does so in `patience` seconds."""
        try:
            self._agent.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def let_go(self) -> None:
        """Tells the device that it is over; the connection is closed elsewhere."""
        self._ended.set()
        stdin, self._agent.stdin = self._agent.stdin, None
        if stdin is not None:
            with suppress(OSError):
                stdin.close()

    def _close(self) -> bool:
        """Ends the connection; whether the device said that it removed the folder."""
        self._ended.set()
        _open.discard(self)
        removed = False
        if hasattr(self, "_agent"):
            try:
                said, _ = self._agent.communicate(timeout=GOODBYE_S)
                removed = "sbn-removed" in said
            except (subprocess.TimeoutExpired, ValueError):
                pass
            self._agent.kill()
            self._agent.wait()
            for pipe in (self._agent.stdin, self._agent.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        self._errors.close()
        self._local.cleanup()
        return removed


def _beat(stdin: IO[str], ended: Event) -> None:
    """Lets the device know that we are here, until we are not."""
    while True:
        try:
            stdin.write("\n")
            stdin.flush()
        except (OSError, ValueError):
            return
        if ended.wait(BEAT_S):
            return


def start(
    command: list[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Starts a program that Ctrl-C does not reach, so that we can clean up through it."""
    check_not_halted()
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            **host.AWAY_FROM_CTRL_C,
        )
    except FileNotFoundError as error:
        raise MissingDependencyError(
            f"{command[0]} is not installed here: {host.INSTALL[command[0]]}"
        ) from error


# In whatever thread: what is waited for, and what is open. Once halted, nothing more starts.
_awaited: set[subprocess.Popen[str]] = set()
_open: set[Connection] = set()
_halted = Event()


@contextmanager
def awaited(process: subprocess.Popen[str]) -> Iterator[None]:
    """While a program is waited for; then it has ended, or is ended."""
    _awaited.add(process)
    try:
        yield
    finally:
        _awaited.discard(process)
        process.kill()
        process.wait()


def halt() -> None:
    """Ends all connections and what waits for them, from another thread.

    What is open closes as at its end. What was to start raises RemoteError.
    """
    _halted.set()
    for process in tuple(_awaited):
        process.kill()
    # That may be held open by the program that shares its connection: the device ends it.
    for connection in tuple(_open):
        connection.let_go()


def resume() -> None:
    """Lets connections be made again."""
    _halted.clear()


def check_not_halted() -> None:
    """Raises RemoteError after `halt`."""
    if _halted.is_set():
        raise RemoteError("interrupted")
