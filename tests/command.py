"""Runs `sbn` the way a person at a terminal does, without waiting for its imports.

Each command is a process of its own, forked from one that has imported what the
verbs need (`command_server.py`). Where an environment variable or a prefix must act
on the interpreter itself, a new one starts.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

COMMAND = (sys.executable, "-m", "sbn_deploy.cli")


@dataclass(frozen=True)
class Outcome:
    """What a finished command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def refused(self) -> str:
        """The message of a command that met bad usage or input: one line, status 2."""
        assert len(self.stderr.splitlines()) == 1, self
        return self.refused_after_progress()

    def refused_after_progress(self) -> str:
        """The same of a command that had told before what it was about to do."""
        assert self.status == 2, self
        assert self.stdout == ""
        assert "Traceback" not in self.stderr
        line = self.stderr.splitlines()[-1]
        assert line.startswith("sbn: error: ")
        return line.removeprefix("sbn: error: ")


def sbn(*arguments: str | Path, prefix: Sequence[str] = (), **variables: str) -> Outcome:
    """Runs one command to its end; with a prefix or more variables, in a new interpreter."""
    words = [str(argument) for argument in arguments]
    if prefix or variables:
        done = subprocess.run(
            [*prefix, *COMMAND, *words],
            capture_output=True,
            text=True,
            env=os.environ | variables,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
    with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
        status = _ask(
            arguments=words,
            folder=os.getcwd(),
            environment=dict(os.environ),
            stdout=stdout.name,
            stderr=stderr.name,
        )
        return Outcome(status, _text(stdout), _text(stderr))


def _text(file: IO[bytes]) -> str:
    return file.read().decode().replace("\r\n", "\n").replace("\r", "\n")


def _ask(**request: Any) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, "the server of commands has ended"
    return int(answer)


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.command_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        # Its thread would not be there in the forked processes, which would wait for it.
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
    )
    atexit.register(server.communicate)
    return server
