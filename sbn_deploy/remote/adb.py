"""A connection to a phone over the system's adb."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sbn_deploy.system import host
from sbn_runtime import MissingDependencyError, RemoteError

from .connection import Connection, Ended
from .target import Phone, takes_serial

# The one folder of Android that adb's shell may write to and run programs from.
FOLDER = "/data/local/tmp"
SERVER_S = 60

# adb's words for a phone that it cannot use, and the remedy.
ADVICE = {
    "unauthorized": "unlock it and allow USB debugging for this computer on its screen",
    "authorizing": "unlock it and allow USB debugging for this computer on its screen",
    "offline": "unplug it and plug it in again, or type `adb reconnect offline`",
    "no permissions": "allow this user to use it: sudo apt-get install android-sdk-platform-tools-"
    "common, then plug it in again",
}
# The same states in a sentence.
STATES = {
    "unauthorized": "does not allow this computer to debug it yet",
    "authorizing": "is asking whether this computer may debug it",
    "no permissions": "is not accessible to this user",
}
# Ends what a command writes: not every adb returns the status of a command or tells that the
# connection broke.
_END = "sbn-exit "


class AdbConnection(Connection):
    """An open connection to a phone; see `Connection`.

    Args:
        phone: which one.
        say: is called when everything was removed.

    Attributes:
        serial: of the phone.

    Raises:
        RemoteError: there is no phone, there are several, or it cannot be used.
        MissingDependencyError: adb is not installed here.
    """

    def __init__(self, phone: Phone, say: Callable[[str], None]) -> None:
        self.serial = _serial(phone)
        super().__init__(self.serial, FOLDER, say)
        self._adb = ["adb", "-s", self.serial]

    def copy(self, *paths: Path) -> None:
        """Copies files into the folder. Raises StepError, and RemoteError as `run` does."""
        # From the root: adb takes what begins with a dash for an option.
        self._transfer("push", *(str(path.absolute()) for path in paths), f"{self.folder}/")

    def fetch(self, name: str, path: Path) -> None:
        """Copies a file of the folder to `path` here. Raises as `copy` does."""
        self._transfer("pull", f"{self.folder}/{name}", str(path.absolute()))

    def _transfer(self, *words: str) -> None:
        ended = self._call([*self._adb, *words])
        if ended.status:  # some write what is wrong to standard output
            said = [*ended.text.splitlines(), *ended.lines]
            ended = replace(ended, status=255, lines=[line for line in said if "error" in line])
        self._check(ended)

    def _agent_command(self, words: Sequence[str]) -> list[str]:
        return [*self._adb, "shell", "-T", shlex.join(words)]

    def _shell(self, words: Sequence[str]) -> list[str]:
        return [*self._adb, "shell", "-T", f'{shlex.join(words)}; echo "{_END}$?"']

    def _call(self, command: list[str], progress: Callable[[str], None] | None = None) -> Ended:
        ended = super()._call(command, progress)
        if "shell" not in command:
            return ended
        text, _, status = ended.text.rpartition(_END)
        if not status.strip().isdigit():
            return replace(ended, status=255)
        return replace(ended, status=int(status), text=text)

    def _no_folder(self, base: str) -> RemoteError:
        return RemoteError(f"{self._name}: cannot make a folder in {base}; free some space there")

    def _unreachable(self, lines: Sequence[str], _said: str, _status: int) -> RemoteError:
        said = " ".join(lines).lower()
        why = next((line for line in lines if "error" in line), "it does not answer")
        why = re.sub(r"^(adb: )?(error: )?", "", why)
        advice = next(
            (advice for known, advice in ADVICE.items() if known in said),
            "plug it in again; it must run Android 7 or newer",
        )
        return RemoteError(f"{self._name}: {why.rstrip('.')}; {advice}")


def _serial(phone: Phone) -> str:
    """The serial number of the phone that is meant. Raises as `AdbConnection` does."""
    found = _listed()
    if phone.serial is None and len(found) > 1:
        raise RemoteError(f"there are several phones; name one: {_addresses(found)}")
    if not found:
        raise RemoteError(
            "adb finds no phone; plug one in with USB debugging enabled in its developer"
            " options, and check `adb devices`"
        )
    serial = phone.serial or next(iter(found))
    if serial not in found:
        raise RemoteError(f"adb finds no phone {serial}, but {_addresses(found)}")
    state = found[serial]
    if state != "device":
        advice = next(
            (advice for known, advice in ADVICE.items() if state.startswith(known)),
            "start Android on it",
        )
        plain = next(
            (words for known, words in STATES.items() if state.startswith(known)),
            f"is {state.split(' (')[0]}",
        )
        raise RemoteError(f"{serial}: {plain}; {advice}")
    return serial


def _addresses(found: Mapping[str, str]) -> str:
    """How to name each phone."""
    return ", ".join(
        f"adb:{serial}"
        if takes_serial(serial)
        else f"{serial!r} (its serial number cannot be used: unplug the others)"
        for serial in found
    )


def _listed() -> dict[str, str]:
    """The state of each phone that adb knows, by serial number."""
    # A file: the server that adb may start keeps what it writes to open.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
    ):
        try:
            status = subprocess.run(
                ["adb", "devices"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=SERVER_S,
            ).returncode
        except FileNotFoundError as error:
            raise MissingDependencyError(
                f"adb is not installed here: {host.INSTALL['adb']}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise RemoteError("adb does not answer; type `adb kill-server`") from error
        for file in (output, errors):
            file.seek(0)
        listed, said = output.read(), errors.read().split("\n")
    if status:
        last = next((line for line in reversed(said) if line.strip()), "it failed")
        raise RemoteError(f"adb cannot list phones: {last.strip()}")
    lines = (line.partition("\t") for line in listed.splitlines())
    return {serial.strip(): state.strip() for serial, tab, state in lines if tab}
