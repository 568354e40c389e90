"""Verbs of `sbn`, run by other verbs as a user would run them."""

from __future__ import annotations

import shlex
import subprocess
import sys

from sbn_runtime.errors import SbnError


def command_line(*arguments: str) -> str:
    """What a user would type."""
    return shlex.join(["sbn", *arguments])


def run_verb(*arguments: str, quiet: bool = False) -> None:
    """Runs a verb in a process of its own; its results go where its options say.

    Args:
        arguments: the verb and its options.
        quiet: show what it says only if it fails.

    Raises SbnError if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "sbn_deploy.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stderr or "", end="", file=sys.stderr)
        raise SbnError(f"stopped at `{command_line(*arguments)}`")
