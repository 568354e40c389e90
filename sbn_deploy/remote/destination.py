"""Which machine ssh connects to by a name, by the user's settings and the names of the network."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress

from .target import Target

ASK_S = 10


def destinations(target: Target) -> set[tuple[str, ...]]:
    """Addresses with their port, and the way there if it is not a direct one.

    Two targets that share one are the same machine. None where ssh does not tell.
    """
    port = ["-p", str(target.port)] if target.port else []
    try:
        said = subprocess.run(
            ["ssh", "-G", *port, "--", target.login],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    settings = dict(line.partition(" ")[::2] for line in said.splitlines())
    name, number = settings.get("hostname", target.host), settings.get("port", "22")
    ways = (settings.get(key, "none") for key in ("proxyjump", "proxycommand"))
    way = [way for way in ways if way != "none"]
    if way:  # the name means something there, and not here
        return {(name, number, *way)}
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(name, int(number), type=socket.SOCK_STREAM)
        return {(str(address[0]), number) for *_, address in found}
    return {(name, number)}
