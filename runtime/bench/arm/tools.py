"""Starting programs."""

from __future__ import annotations

import subprocess


def run(*command: str, input: str | None = None) -> str:
    """Standard output of a command. Raises CalledProcessError."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=input)
    return done.stdout
