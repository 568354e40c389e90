"""Files in which Linux tells what it knows: of this machine, or fetched from another one."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The text of a file of /sys or /proc, or None where it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return None
