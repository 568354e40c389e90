"""Verbs that write, met by kill -9, Ctrl-C, a full disk, a folder in place of the file, a twin.

Whatever happens, no file is half-written, and the next run ends as one that met nothing.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.numpy import load_file

from sbn_deploy.cli import main

from ..command_server import warm

SWEEP = """\
checkpoint = "given/checkpoint.safetensors"
data = "npz:given/data.npz"
members = [1, 2]
samples = [2]
threads = [1]
engines = ["sbn"]
batch = [1]
runs = 30
"""
TRAIN = "train --data npz:given/data.npz --epochs 2 --seed 3 --set members=1 --set model.width=16"
DISK_BYTES = 4096


@dataclass(frozen=True)
class Verb:
    """A command that writes `output` from what lies in the folder `given`.

    Attributes:
        same: whether each run writes the same bytes.
        resumes: whether the output is a folder that a second run goes on with.
    """

    command: str
    output: str
    same: bool = True
    resumes: bool = False

    @property
    def words(self) -> list[str]:
        return self.command.split()


VERBS = (
    Verb(f"{TRAIN} --resume --out run", "run/checkpoint.safetensors", resumes=True),
    Verb("export given/checkpoint.safetensors -o m.onnx", "m.onnx"),
    Verb("export given/checkpoint.safetensors -o m.tflite", "m.tflite"),
    Verb("bundle given/m.onnx --target linux-x86_64 -o m.zip", "m.zip"),
    Verb("evaluate given/m.onnx --data npz:given/data.npz -o e.json", "e.json", same=False),
    Verb("profile given/m.onnx --runs 20 -o p.json", "p.json", same=False),
    Verb("benchmark given/m.onnx --runs 40 -o b.json", "b.json", same=False),
    Verb("report given/e.json -o r.html", "r.html", same=False),
    Verb("card given/m.onnx given/e.json -o c.md", "c.md"),
    Verb("import given/m.tflite -o i.onnx", "i.onnx"),
    Verb("calibrate given/m.onnx --data npz:given/data.npz", "given/m.onnx"),
    Verb("sweep given/sweep.toml --out s", "s/answer.json", same=False, resumes=True),
)
READERS: dict[str, Callable[[Path], object]] = {
    ".onnx": lambda path: onnx.checker.check_model(onnx.load(path)),
    ".tflite": lambda path: path.read_bytes()[4:8] == b"TFL3" or 1 / 0,
    ".zip": lambda path: zipfile.ZipFile(path).testzip(),
    ".json": lambda path: json.loads(path.read_text()),
    ".html": lambda path: path.read_text().rstrip().endswith("</html>") or 1 / 0,
    ".md": lambda path: path.read_text().endswith("\n") or 1 / 0,
    ".safetensors": load_file,
}


def prepare() -> None:
    """Finds out what undisturbed commands write and how long they take, once for all cases."""
    for verb in VERBS:
        duration(verb)
        if verb.same:
            _undisturbed(verb)


def check(seed: int, folder: Path) -> str:
    """One verb meets one thing."""
    rng = random.Random(seed)
    verb = VERBS[seed % len(VERBS)]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        here = Path(place)
        shutil.copytree(given(), here / "given")
        return rng.choice(WAYS)(rng, verb, here)


def killed(rng: random.Random, verb: Verb, here: Path) -> str:
    """kill -9 at a random moment, then the same command again."""
    status, _ = run(verb, here, stop=(signal.SIGKILL, rng.random()))
    _whole(verb, here)
    _ends_as_ever(verb, here)
    return "accepted" if status else "refused"


def interrupted(rng: random.Random, verb: Verb, here: Path) -> str:
    """Ctrl-C at a random moment."""
    status, said = run(verb, here, stop=(signal.SIGINT, rng.random()))
    assert status in (0, 130, -signal.SIGINT), (status, said)
    assert "Traceback" not in said, said
    _whole(verb, here)
    _ends_as_ever(verb, here)
    return "accepted" if status else "refused"


def full(rng: random.Random, verb: Verb, here: Path) -> str:
    """No file can grow beyond a few thousand bytes, which is how a full disk looks."""
    status, said = run(verb, here, disk=rng.randrange(DISK_BYTES))
    _one_line(status, said)
    _whole(verb, here)
    _ends_as_ever(verb, here)
    return "accepted" if status == 0 else "refused"


def folder_there(rng: random.Random, verb: Verb, here: Path) -> str:
    """A folder has the name of the file."""
    (here / verb.output).unlink(missing_ok=True)
    (here / verb.output).mkdir(parents=True)
    status, said = run(verb, here)
    assert status == 2, (status, said)
    _one_line(status, said)
    return "refused"


def twice(rng: random.Random, verb: Verb, here: Path) -> str:
    """Two processes write the same file."""
    other = _start(verb, here, None)
    status, said = run(verb, here)
    _, late = os.waitpid(other, 0)
    for each in (status, os.waitstatus_to_exitcode(late)):
        assert each in (0, 2), (each, said)
    _one_line(status, said)
    _whole(verb, here)
    _ends_as_ever(verb, here)
    return "accepted" if status == 0 else "refused"


WAYS = (killed, killed, killed, killed, interrupted, full, folder_there, twice)


def _one_line(status: int, said: str) -> None:
    """Done, or refused in one line that begins as all do."""
    assert status in (0, 2), (status, said)
    assert "Traceback" not in said, said
    errors = [line for line in said.splitlines() if line.startswith("sbn: error: ")]
    assert len(errors) == (status == 2), said


def _whole(verb: Verb, here: Path) -> None:
    """The output is not there, or whole."""
    path = here / verb.output
    if path.is_file():
        READERS[path.suffix](path)
    seen = {entry.name for entry in here.iterdir() if not entry.name.startswith(".")}
    expected = {"given", "out.txt", Path(verb.output).parts[0]}
    if verb.command.startswith("report"):
        expected.add("r.json")
    if verb.command.startswith("evaluate"):
        expected |= {entry for entry in seen if entry.endswith(".part")}
    assert seen <= expected, seen


def _ends_as_ever(verb: Verb, here: Path) -> None:
    status, said = run(verb, here)
    assert status == 0, (verb, said)
    path = here / verb.output
    READERS[path.suffix](path)
    if verb.same:
        assert path.read_bytes() == _undisturbed(verb), f"{verb.output} is another one"


@cache
def _undisturbed(verb: Verb) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        shutil.copytree(given(), here / "given")
        status, said = run(verb, here)
        assert status == 0, said
        return (here / verb.output).read_bytes()


@cache
def duration(verb: Verb) -> float:
    """Seconds that a verb takes undisturbed."""
    begin = time.monotonic()
    _undisturbed.__wrapped__(verb)
    return time.monotonic() - begin


@cache
def given() -> Path:
    """A trained checkpoint, its exports, an evaluation, data, a sweep."""
    warm()
    here = Path(tempfile.mkdtemp(prefix="sbn-soak-"))
    folder = here / "given"
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 4
    images = rng.integers(0, 120, (600, 8, 8, 1)) + 30 * labels[:, None, None, None]
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=labels)
    (folder / "sweep.toml").write_text(SWEEP)
    for command in (
        f"{TRAIN} --out run",
        "export run/checkpoint.safetensors -o given/m.onnx",
        "export run/checkpoint.safetensors -o given/m.tflite",
        "evaluate given/m.onnx --data npz:given/data.npz -o given/e.json",
    ):
        status, said = run(Verb(command, ""), here)
        assert status == 0, said
    shutil.copy(here / "run" / "checkpoint.safetensors", folder)
    return folder


def run(
    verb: Verb,
    here: Path,
    *,
    stop: tuple[int, float] | None = None,
    disk: int | None = None,
) -> tuple[int, str]:
    """Exit status and what was said; `stop` is a signal and when, as a share of the time."""
    wait = 0.0 if stop is None else stop[1] * duration(verb)
    process = _start(verb, here, disk)
    if stop is not None:
        time.sleep(wait)
        with suppress(ProcessLookupError):
            os.killpg(process, stop[0])
    _, status = os.waitpid(process, 0)
    # One that was killed at once has said nothing.
    output = here / "out.txt"
    said = output.read_text(errors="replace") if output.exists() else ""
    return os.waitstatus_to_exitcode(status), said


def _start(verb: Verb, here: Path, disk: int | None) -> int:
    """A child that runs a verb, forked from this process, which has imported what it needs."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(here)
        out = os.open("out.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if disk is not None:
            # What is said goes to a pipe or terminal, where there is room.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (disk, resource.RLIM_INFINITY))
        sys.argv[1:] = verb.words
        try:
            status = main(verb.words)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
