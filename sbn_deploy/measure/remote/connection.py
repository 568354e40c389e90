"""One connection to a device, with a folder there that lasts as long as the connection.

Uses the system's ssh and scp, and so the user's own settings, keys and known hosts. The
first ssh connects once for all that follow (ControlMaster) and runs keeper.sh, which
makes the folder and removes it at the end.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import IO

from sbn_runtime import MissingDependencyError, RemoteError

from .target import Target

CONNECT_S = 10
BEAT_S = 15
LOOK_S = 5
LOOKS = 12
GOODBYE_S = 30
LAST_WORDS_S = 3

# What ssh says, and what to do about it.
ADVICE = {
    "could not resolve hostname": "check the name",
    "connection refused": "check the port, and that a sshd runs there",
    "no route to host": "check the address and that the device is on",
    "timed out": "check the address and that the device is on",
    "host key verification failed": "connect once with `{ssh}` and check its key",
    "host identification has changed": "connect once with `{ssh}` and check its key",
    "permission denied": "log in with a key: `ssh-copy-id {login}`",
}

# Makes itself known to the keeper, which ends it if the connection is lost. All that it
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


class Connection:
    """An open connection; a context manager that leaves nothing behind on the device.

    Args:
        target: where to connect to.
        say: is told that everything was removed.

    Attributes:
        folder: the temporary folder on the device.
        load: the load average when the connection began.
        commands: what was run there.

    Raises:
        RemoteError: the device cannot be reached, or has no place for the folder.
        MissingDependencyError: there is no ssh or scp here.
    """

    folder: str
    load: float | None

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        self._target = target
        self._say = say
        self.commands: list[str] = []
        # Its path must be short: a socket's has at most 107 characters.
        self._local = tempfile.TemporaryDirectory(prefix="sbn-", dir="/tmp")
        self._socket = str(Path(self._local.name) / "ssh")
        self._ended = Event()

    def __enter__(self) -> Connection:
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
            self._say(f"removed {self.folder} on {self._target.host}")
        elif error is None:
            raise self._lost()

    def run(
        self, script: str, *arguments: str, progress: Callable[[str], None] | None = None
    ) -> str:
        """Runs a shell script in the folder and returns what it writes to standard output.

        Args:
            script: for a POSIX shell, with the arguments as $1, $2, ….
            progress: is told each line of standard error as it comes.

        Raises:
            StepError: the script failed.
            RemoteError: the connection was lost.
        """
        command = script.strip()
        for number, argument in enumerate(arguments, 1):
            command = command.replace(f'"${number}"', shlex.quote(argument))
        self.commands.append(command)
        words = ["sh", "-c", _PROLOGUE + script, "sh", self.folder, *arguments]
        return self._finish(self._ssh(shlex.join(words)), progress)

    def copy(self, *paths: Path) -> None:
        """Copies files into the folder. Raises StepError or RemoteError."""
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        user = f"{self._target.user}@" if self._target.user else ""
        place = f"{user}{host}:{self.folder}/"
        port = ["-P", str(self._target.port)] if self._target.port else []
        self._finish(["scp", "-q", *self._options(), *port, "--", *map(str, paths), place], None)

    def free_bytes(self) -> int:
        """Free space for the folder; asking takes none itself. Raises as `run` does."""
        table = self._finish(self._ssh(shlex.join(["df", "-Pk", self.folder])), None)
        found = re.search(r"\s(\d+)\s+\d+%\s", table)
        if found is None:
            raise RemoteError(f"df on {self._target.host} says {table.strip()!r}, which is no size")
        return int(found[1]) * 1024

    def _connect(self) -> None:
        script = files(__package__).joinpath("keeper.sh").read_text()
        words = ["sh", "-c", script, "sh", self._target.folder or "", str(LOOK_S), str(LOOKS)]
        self._keeper = _start(
            [
                *("ssh", "-M", *self._options(proxy=False)),
                *(f"-oConnectTimeout={CONNECT_S}", "-oServerAliveInterval=5"),
                *("-oServerAliveCountMax=3", "-oControlPersist=no", *self._host()),
                shlex.join(words),
            ],
            stdin=subprocess.PIPE,
        )
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        Thread(target=_beat, args=(self._keeper.stdin, self._ended), daemon=True).start()
        for line in self._keeper.stdout:
            if line.startswith("sbn-folder "):
                _, self.folder, *load = line.split()
                self.load = float(load[0]) if load else None
                return
            if line.startswith("sbn-no-folder "):
                raise RemoteError(
                    f"{self._target.host}: cannot make a folder in {line.split()[1]}; name another"
                    f" one, as ssh://{self._target.login}/FOLDER"
                )
        raise self._unreachable()

    def _unreachable(self) -> RemoteError:
        assert self._keeper.stderr is not None
        lines = [line.strip() for line in self._keeper.stderr if line.strip()]
        said = lines[-1].removeprefix("ssh: ") if lines else "it does not answer"
        advice = next(
            (advice for known, advice in ADVICE.items() if known in " ".join(lines).lower()),
            "it must offer a POSIX shell over ssh",
        )
        port = f"-p {self._target.port} " if self._target.port else ""
        advice = advice.format(
            ssh=f"ssh {port}{self._target.login}", login=f"{port}{self._target.login}"
        )
        return RemoteError(f"cannot connect to {self._target.login}: {said.rstrip('.')}; {advice}")

    def _lost(self) -> RemoteError:
        return RemoteError(
            f"the connection to {self._target.host} was lost; the device ends what it was doing"
            f" and removes {self.folder} within {LOOK_S * LOOKS} seconds if it is still on"
        )

    def _finish(self, command: list[str], progress: Callable[[str], None] | None) -> str:
        """Runs one of our ssh or scp commands to its end."""
        with tempfile.TemporaryFile("w+", dir=self._local.name) as output:
            step = _start(command, stdout=output)
            lines = []
            assert step.stderr is not None
            try:
                for line in step.stderr:
                    lines.append(line.strip())
                    if progress is not None:
                        progress(line.strip())
                status = step.wait()
            finally:
                step.kill()
                step.wait()
                step.stderr.close()
            if status:
                if self._has_ended(LAST_WORDS_S if status == 255 else 0):
                    raise self._lost()
                raise StepError(
                    next((line for line in reversed(lines) if line), "it failed"), lines
                )
            output.seek(0)
            return output.read()

    def _has_ended(self, patience: float) -> bool:
        """Whether the connection has ended, or does so in `patience` seconds."""
        try:
            self._keeper.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _ssh(self, command: str) -> list[str]:
        return ["ssh", *self._options(), *self._host(), command]

    def _options(self, *, proxy: bool = True) -> list[str]:
        """Of ssh and scp; with `proxy` they use the open connection or none at all."""
        return [
            *("-oBatchMode=yes", "-oLogLevel=ERROR", f"-oControlPath={self._socket}"),
            *(("-oControlMaster=no", "-oProxyCommand=false") if proxy else ()),
        ]

    def _host(self) -> list[str]:
        port = ["-p", str(self._target.port)] if self._target.port else []
        return [*("-T", *port), "--", self._target.login]

    def _close(self) -> bool:
        """Ends the connection; whether the device said that it removed the folder."""
        self._ended.set()
        removed = False
        if hasattr(self, "_keeper"):
            try:
                said, _ = self._keeper.communicate(timeout=GOODBYE_S)
                removed = "sbn-removed" in said
            except (subprocess.TimeoutExpired, ValueError):
                pass
            self._keeper.kill()
            self._keeper.wait()
            for pipe in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()
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


def _start(
    command: list[str], *, stdin: int = subprocess.DEVNULL, stdout: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Starts a program that Ctrl-C does not reach, so that we can clean up through it."""
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise MissingDependencyError(
            f"{command[0]} is not installed here: sudo apt-get install openssh-client"
        ) from error
