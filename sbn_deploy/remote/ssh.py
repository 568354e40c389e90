"""A connection over the system's ssh and scp, with the user's own settings, keys and known hosts.

The first ssh connects once for all that follow (ControlMaster).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from sbn_runtime import RemoteError

from .connection import Connection
from .target import Target

CONNECT_S = 10

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


class SshConnection(Connection):
    """An open connection over ssh; see `Connection`.

    Args:
        target: where to connect to.
        say: is told that everything was removed.

    Raises:
        RemoteError: the device cannot be reached, or has no place for the folder.
        MissingDependencyError: there is no ssh or scp here.
    """

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        super().__init__(target.host, target.folder, say)
        self._target = target
        self._socket = str(Path(self._local.name) / "ssh")

    def copy(self, *paths: Path) -> None:
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        user = f"{self._target.user}@" if self._target.user else ""
        place = f"{user}{host}:{self.folder}/"
        port = ["-P", str(self._target.port)] if self._target.port else []
        # From the root: scp takes HOST:FILE for a file of another machine.
        files = [str(path.absolute()) for path in paths]
        self._check(self._call(["scp", "-q", *self._options(), *port, "--", *files, place]))

    def _agent_command(self, words: Sequence[str]) -> list[str]:
        return [
            *("ssh", "-M", *self._options(proxy=False)),
            *(f"-oConnectTimeout={CONNECT_S}", "-oServerAliveInterval=5"),
            *("-oServerAliveCountMax=3", "-oControlPersist=no", *self._host()),
            shlex.join(words),
        ]

    def _shell(self, words: Sequence[str]) -> list[str]:
        return ["ssh", *self._options(), *self._host(), shlex.join(words)]

    def _no_folder(self, base: str) -> RemoteError:
        return RemoteError(
            f"{self._name}: cannot make a folder in {base}; name another one, as"
            f" ssh://{self._target.login}/FOLDER"
        )

    def _unreachable(self, lines: Sequence[str]) -> RemoteError:
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

    def _options(self, *, proxy: bool = True) -> list[str]:
        """Of ssh and scp; with `proxy` they use the open connection or none at all."""
        return [
            *("-oBatchMode=yes", "-oLogLevel=ERROR", f"-oControlPath={self._socket}"),
            *(("-oControlMaster=no", "-oProxyCommand=false") if proxy else ()),
        ]

    def _host(self) -> list[str]:
        port = ["-p", str(self._target.port)] if self._target.port else []
        return [*("-T", *port), "--", self._target.login]
