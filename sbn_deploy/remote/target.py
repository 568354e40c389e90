"""Where a device is: ssh://[USER@]HOST[:PORT][/FOLDER] or adb:[SERIAL]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sbn_runtime import InputError

FORM = "ssh://[USER@]HOST[:PORT][/FOLDER]"
PHONE_FORM = "adb:[SERIAL]"

# Neither part may begin with a dash, which ssh would take for an option, nor hold what a
# shell on the device would read as more than text.
_SSH = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][\w.+-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])"
    r"(?::(?P<port>\d{1,5}))?(?P<folder>(?:/[\w.+@-]+)*)/?",
    re.ASCII,
)
# A serial number, or HOST:PORT of a phone in the network.
_ADB = re.compile(r"adb:(?P<serial>[A-Za-z0-9_][\w.:-]*)?", re.ASCII)


@dataclass(frozen=True)
class Target:
    """A machine that is reached over ssh.

    Attributes:
        user, port: None for what ssh's own settings say.
        host: name, alias of ssh's settings, or address.
        folder: where to make the temporary folder; None to let the device choose.
    """

    user: str | None
    host: str
    port: int | None
    folder: str | None

    @property
    def login(self) -> str:
        """USER@HOST, as people and ssh write it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def name(self) -> str:
        """HOST or HOST:PORT, which tells devices apart."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def with_folder(self, folder: str) -> str:
        """The address with another folder."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.name}{folder}"


@dataclass(frozen=True)
class Phone:
    """A phone that is reached over adb; `serial` None for the only one."""

    serial: str | None

    @property
    def name(self) -> str:
        """adb:SERIAL."""
        return f"adb:{self.serial or ''}"


def file_name(device: str) -> str:
    """A device's name as a part of names of files, where colons do not go on every system."""
    return re.sub(r"[^\w.-]", "+", device)


def takes_serial(serial: str) -> bool:
    """Whether adb:SERIAL is an address."""
    return _ADB.fullmatch(f"adb:{serial}") is not None


def parse(text: str) -> Target | Phone:
    """Reads `FORM` or `PHONE_FORM`. Raises InputError."""
    if phone := _ADB.fullmatch(text):
        return Phone(phone["serial"])
    found = _SSH.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is not a device address; write {FORM}, as ssh://pi@raspberrypi.local,"
            f" or {PHONE_FORM}"
        )
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise InputError(f"{text}: invalid port {port}; ports range from 1 to 65535")
    return Target(found["user"], found["host"].strip("[]"), port, found["folder"] or None)
