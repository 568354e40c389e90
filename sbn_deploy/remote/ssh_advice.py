"""What ssh says when it cannot connect, and what to do about it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .target import Target

# Of what ends a connection, what ssh said first is the cause, and this the order in which causes
# are looked for. {ssh}, {login}, {known}: the words of a command for this device; {file}: of a key.
ADVICE = {
    "could not resolve hostname": "check the name",
    "host identification has changed": "if the device was reinstalled, remove its old key with"
    " `ssh-keygen -R {known}` and connect once with `{ssh}`; if not, another machine answers at"
    " this address",
    "host key verification failed": "connect once with `{ssh}` and check its key",
    "stdio forwarding failed": "the jump host of ssh's settings does not reach it; try `{ssh}`",
    "are too open": "keep the key to yourself: `chmod 600 {file}`",
    "permission denied": "log in with a key: `ssh-copy-id {login}`",
    "too many authentication failures": "name the one key for it in ~/.ssh/config: IdentityFile"
    " and IdentitiesOnly yes",
    "connection refused": "check the port, and that a sshd runs there",
    "no route to host": "check the address and that the device is on",
    "timed out": "check the address and that the device is on",
    "no matching": "its ssh is too old or too new for this one; try `{ssh}`",
    "bad owner or permissions": "fix the permissions of that file",
    "bad configuration option": "fix that line of ssh's settings",
}
_SILENT = "it must offer a POSIX shell over ssh; try `{ssh}`"
# The status of ssh itself where there was no connection.
_NO_CONNECTION = 255
# Lines that only frame what is said.
_FRAME = re.compile(r"@*|@ *WARNING.*|It is .*possible.*|Someone could .*|.*\bClosed\b.*")


def explain(target: Target, lines: Sequence[str], said: str, status: int) -> str:
    """What went wrong, and the remedy, in one line.

    Args:
        lines: what ssh wrote to standard error.
        said: what came from the device.
        status: of ssh.
    """
    if status != _NO_CONNECTION and (status or said):
        return (
            f"it answers {said or next(iter(lines), 'nothing')!r} instead of starting a shell,"
            " like accounts without one (nologin) and keys with a forced command; try"
            f" `{_words(target)['ssh']}`"
        )
    for known, advice in ADVICE.items():
        line = next((line for line in lines if known in line.lower()), None)
        if line is None:
            continue
        words = _words(target)
        if known == "are too open":
            found = re.search(r"'(.*)'", line)
            words["file"] = shlex.quote(found[1] if found else "FILE")
        if known == "permission denied" and (key := _locked_key(target)):
            return f"{_plain(line)}; its key has a passphrase: type `ssh-add {shlex.quote(key)}`"
        return f"{_plain(line)}; {advice.format(**words)}"
    first = next((line for line in lines if not _FRAME.fullmatch(line)), "it does not answer")
    return f"{_plain(first)}; {_SILENT.format(**_words(target))}"


def _plain(line: str) -> str:
    return line.removeprefix("ssh: ").strip("@ ").rstrip(".")


def _words(target: Target) -> dict[str, str]:
    port = f"-p {target.port} " if target.port else ""
    known = f"'[{target.host}]:{target.port}'" if target.port else target.host
    login = f"{port}{target.login}"
    return {"ssh": f"ssh {login}", "login": login, "known": known}


def _locked_key(target: Target) -> str:
    """A key that ssh would try and that has a passphrase; empty if there is none."""
    port = ["-p", str(target.port)] if target.port else []
    settings = _ask(["ssh", "-G", *port, "--", target.login])
    for line in settings.splitlines():
        name, _, value = line.partition(" ")
        path = Path(value).expanduser()
        if name == "identityfile" and path.is_file():
            key = ["ssh-keygen", "-y", "-P", "", "-f", str(path)]
            if "passphrase" in _ask(key).lower():
                return str(path)
    return ""


def _ask(command: list[str]) -> str:
    """All that a program writes, empty where it is missing or does not end."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
