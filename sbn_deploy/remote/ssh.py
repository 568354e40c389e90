"""A connection over the system's ssh, with the user's own settings, keys and known hosts.

The first ssh connects once for all that follow (ControlMaster), where the system's ssh can share
a connection; elsewhere each connects.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from sbn_deploy.system import host
from sbn_runtime import RemoteError

from .connection import Connection
from .sending import RECEIVE, send
from .ssh_advice import explain
from .target import Target

CONNECT_S = 10
# A link is lost that brings no answer for so long: it may be slow, and busy with a copy.
ALIVE_S, ALIVE_COUNT = 5, 6

# Settings of the user's that are meant for terminals, and would start something else than our
# commands, or something beside them. Those that older versions of ssh lack are ignored there.
_PLAIN = (
    "-oIgnoreUnknown=ForkAfterAuthentication,SessionType,StdinNull",
    *("-oForkAfterAuthentication=no", "-oSessionType=default", "-oStdinNull=no"),
    *("-oRemoteCommand=none", "-oPermitLocalCommand=no", "-oTunnel=no"),
    *("-oClearAllForwardings=yes", "-oForwardAgent=no", "-oForwardX11=no"),
)


# Login shells agree on what a quoted word of letters, digits and backslashes is, but not on line
# ends and quotes in it. So words are spelled with these alone, and a POSIX shell reads them.
_READ = (
    'n=$#; while [ $n -gt 0 ]; do w=$(printf %b. "$1"); shift; set -- "$@" "${w%.}";'
    ' n=$((n - 1)); done; exec "$@"'
)


def _spelled(words: Sequence[str]) -> str:
    """The command line that runs `words`, whatever the login shell is."""
    spelled = (
        "".join(
            chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\0{byte:03o}"
            for byte in word.encode()
        )
        for word in words
    )
    return shlex.join(["sh", "-c", _READ, "sh", *spelled])


class SshConnection(Connection):
    """An open connection over ssh; see `Connection`.

    Args:
        target: where to connect to.
        say: is called when everything was removed.

    Raises:
        RemoteError: the device cannot be reached, or has no place for the folder.
        MissingDependencyError: ssh is not installed here.
    """

    # To ssh, a killed command has no status, which is 255 as well.
    killed = (*Connection.killed, 255)

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        super().__init__(target.name, target.folder, say)
        self._target = target
        self._socket = str(Path(self._local.name) / "ssh") if host.SHARES_SSH else "none"

    def copy(
        self, python: str, files: Sequence[tuple[Path, str]], progress: Callable[[int], None]
    ) -> None:
        """Copies files into the folder, each under its name there, which may have folders.

        Args:
            python: the device's.
            progress: is called with the number of bytes that arrived.

        Raises:
            StepError: a file cannot be written there.
            RemoteError: the connection was lost.
        """
        for path, name in files:
            words = [python, "-c", RECEIVE, f"{self.folder}/{name}"]
            self._check(send(self._shell(words), path, progress))

    def _agent_command(self, words: Sequence[str]) -> list[str]:
        return [
            *("ssh", *(["-M"] if host.SHARES_SSH else []), *self._options(first=True)),
            *(f"-oConnectTimeout={CONNECT_S}", f"-oServerAliveInterval={ALIVE_S}"),
            *(f"-oServerAliveCountMax={ALIVE_COUNT}", "-oControlPersist=no", *self._host()),
            _spelled(words),
        ]

    def _shell(self, words: Sequence[str]) -> list[str]:
        return ["ssh", *self._options(), *self._host(), _spelled(words)]

    def _no_folder(self, base: str) -> RemoteError:
        return RemoteError(
            f"{self._name}: cannot make a folder in {base}; name another one, as"
            f" {self._target.with_folder('/FOLDER')}"
        )

    def _unreachable(self, lines: Sequence[str], said: str, status: int) -> RemoteError:
        return RemoteError(
            f"cannot connect to {self._target.login}: {explain(self._target, lines, said, status)}"
        )

    def _options(self, *, first: bool = False) -> list[str]:
        """Of the first command, or of one that uses its connection where connections are shared."""
        later = ["-oControlMaster=no", *(["-oProxyCommand=false"] if host.SHARES_SSH else [])]
        return [
            *("-oBatchMode=yes", "-oLogLevel=ERROR", f"-oControlPath={self._socket}", *_PLAIN),
            *([] if first else later),
        ]

    def _host(self) -> list[str]:
        port = ["-p", str(self._target.port)] if self._target.port else []
        return [*("-T", *port), "--", self._target.login]
