"""What is done on a device, step by step, to measure a model there."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.machine.describe import describe
from sbn_deploy.records.benchmark import Settings
from sbn_deploy.records.files import parse
from sbn_deploy.records.measurement import Model, head
from sbn_deploy.records.remote import Remote
from sbn_deploy.records.schema import Record
from sbn_runtime import InputError, RemoteError
from sbn_runtime.modelfile import external_files

from .connection import Connection, StepError
from .device import (
    IMAGES,
    JOB,
    MODEL,
    PEAK,
    Answer,
    BenchmarkJob,
    Job,
    ProfileAnswer,
    ProfileJob,
    folder_of,
    to_json,
)
from .ssh import SshConnection
from .target import Target
from .wheels import candidates, fitting

Say = Callable[[str], None]
A = TypeVar("A", bound=Record)

OLDEST_PYTHON = (3, 11)
# What the virtual environment takes with our wheel unpacked, and numpy and onnxruntime with what
# they depend on, together with pip's copies of them while it installs.
ENVIRONMENT_BYTES = 40_000_000
PACKAGES_BYTES = 200_000_000
FULL_BYTES = 2_000_000
# How often the progress of a copy is told.
TELL_S = 5

# The Python that is named, or the first that is new enough, else whatever python3 is, describes
# itself and the folder that it runs in.
PROBE = """\
if [ -n "$1" ]; then
    name=$1
else
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
        name=python3
    done
fi
command -v "$name" >/dev/null || { echo none; exit; }
"$name" - "$name" <<'END'
import json, os, platform, struct, sys
from importlib.util import find_spec
with open("may-run", "w"):
    os.chmod("may-run", 0o700)
    runs = os.access("may-run", os.X_OK)
print(json.dumps({
    "python": sys.argv[1],
    "version": list(sys.version_info[:3]),
    "machine": platform.machine(),
    "bits": 8 * struct.calcsize("P"),
    "system": platform.platform(),
    "pip": find_spec("pip") is not None,
    "venv": all(map(find_spec, ("venv", "ensurepip"))),
    "packages": all(map(find_spec, ("numpy", "onnxruntime"))),
    "runs": runs,
}))
END
"""
# A package of the system counts as installed: a device needs no network if it has all, and no
# second pip if it has one.
MAKE_ENVIRONMENT = '"$1" -m venv --system-site-packages venv'
WITH_PIP_THERE = MAKE_ENVIRONMENT + " --without-pip"
# Of pip's settings on the device, those that say where packages come from are kept, and none that
# would let it write elsewhere (user, target, prefix, log …).
PIP = """\
venv/bin/python - "$@" <<'END'
import ast, os, re, subprocess, sys
pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
kept = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert",
        "client-cert", "timeout", "retries", "only-binary", "prefer-binary")
listing = [*pip, "--log", os.devnull, "config", "list"]
said = subprocess.run(listing, capture_output=True, text=True).stdout
settings = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
for line in said.splitlines():
    found = re.fullmatch(r"(?:global|install|:env:)\\.([a-z-]+)=(.*)", line)
    if found and found[1] in kept:
        value = " ".join(ast.literal_eval(found[2]).split())
        settings["PIP_" + found[1].replace("-", "_").upper()] = value
settings["PIP_CONFIG_FILE"] = os.devnull
install = [*pip, "--no-cache-dir", "--quiet", "install", "--no-compile", *sys.argv[1:]]
sys.exit(subprocess.run(install, env=settings).returncode)
END
"""
MEASURE = "venv/bin/python -m sbn_deploy.remote.device ."
# What pip says where it reaches no index.
_NO_NETWORK = re.compile(
    r"NewConnectionError|Temporary failure|Name or service not known|Network is unreachable"
    r"|timed out|Connection refused|No route to host|ProxyError|--no-index",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Site:
    """Where and with what something is measured.

    Attributes:
        target: the device.
        python: its Python, a name or path; empty for the first python3 there that is new enough.
        wheel: of this project; None to take the one in dist/ that fits the device.
    """

    target: Target
    python: str = ""
    wheel: Path | None = None


@dataclass(frozen=True)
class Material:
    """A model that is timed.

    Attributes:
        model, facts: the ONNX file, and what is known of it.
        baselines: by engine name, what others run in turns with it: the model, or a float one.
    """

    model: Path
    facts: Model
    baselines: Mapping[str, Path]


@dataclass(frozen=True)
class Device:
    """What a device says about itself; `runs`: whether programs in the folder may run."""

    python: str
    version: list[int]
    machine: str
    bits: int
    system: str
    pip: bool
    venv: bool
    packages: bool
    runs: bool


Files = list[tuple[Path, str]]
"""Files, and their names in the folder on the device."""


def measure_remotely(
    site: Site,
    materials: Sequence[Material],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]] | None,
    settings: Settings,
    say: Say,
) -> Answer:
    """Times models on a device in turns, and leaves nothing behind there.

    Args:
        test: images uint8 [N, H, W, C] and labels int64 [N], which the first model classifies.
        settings: how to measure.
        say: is called with each step.

    Returns:
        The benchmark, made there, and the labels of the images if there are any.

    Raises:
        RemoteError: the device cannot be reached, lacks what is needed, or was lost.
        InputError: the chosen wheel does not fit the device, or is of other code than this.
        ModelError: a model's file is damaged or lacks a part.
    """
    files: Files = []
    # Models of one architecture share their floats.
    sent: dict[Path, str] = {}
    for number, material in enumerate(materials):
        files += _with_external(material.model, folder_of(number))
        sent[material.model] = f"{folder_of(number)}/{MODEL}"
    for path in {path: 0 for material in materials for path in material.baselines.values()}:
        if path not in sent:
            sent[path] = f"baseline{len(sent) - len(materials)}.onnx"
            files.append((path, sent[path]))
    job = BenchmarkJob(
        tuple(material.facts for material in materials),
        settings,
        tuple(
            {engine: sent[path] for engine, path in material.baselines.items()}
            for material in materials
        ),
        images=test is not None,
    )
    with tempfile.TemporaryDirectory() as folder:
        if test is not None:
            images = Path(folder) / IMAGES
            np.savez_compressed(images, images=test[0], labels=test[1])
            files.append((images, IMAGES))
        answer, remote = _do(site, job, files, Answer, say)
    # Made by the command that is running here.
    made = head(answer.benchmark.machine) | {"remote": remote}
    return replace(answer, benchmark=replace(answer.benchmark, **made))


def profile_remotely(
    site: Site, model: Path, job: ProfileJob, say: Say
) -> tuple[ProfileAnswer, Remote]:
    """Times each node of a model on a device; raises as `measure_remotely` does."""
    from sbn_deploy.profile.peak import peak_model  # needs onnx

    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / PEAK
        peak.write_bytes(peak_model())
        files = [*_with_external(model, folder_of(0)), (peak, PEAK)]
        return _do(site, job, files, ProfileAnswer, say)


def _with_external(model: Path, folder: str) -> Files:
    """A model's file, and those that hold constants of it, as they lie beside it."""
    beside = [(model.parent / name, f"{folder}/{name}") for name in external_files(model)]
    return [(model, f"{folder}/{MODEL}"), *beside]


def _do(site: Site, job: Job, files: Files, answer: type[A], say: Say) -> tuple[A, Remote]:
    """Does a job on a device: its answer, and what was done there."""
    target, host = site.target, site.target.name
    wheels = candidates(site.wheel)
    say(f"connecting to {target.login}")
    with SshConnection(target, say) as device, tempfile.TemporaryDirectory() as folder:
        found = _probe(device, site)
        wheel = fitting(_machine(found, host), wheels, chosen=site.wheel is not None)
        task = Path(folder) / JOB
        task.write_text(to_json(job), encoding="utf-8")
        _copy(device, site, found, [*files, (task, JOB), (wheel, wheel.name)], say)
        _install(device, site, found, wheel, say)
        with _failures_named(device, site, "measuring failed"):
            text = device.run(MEASURE, progress=lambda line: say(f"{host}: {line}"))
        read = _read(text, wheel, answer)
        remote = Remote(
            host=host,
            device=asdict(found),
            load_average_before=device.load,
            program=wheel.name,
            program_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            commands=tuple(device.commands),
            here=describe(),
        )
    return read, remote


def _probe(device: Connection, site: Site) -> Device:
    host = site.target.name
    try:
        answer = device.run(PROBE, site.python)
    except StepError as error:
        named = site.python or "python3"
        raise RemoteError(f"{host}: {named} does not run there: {error}") from error
    last = answer.splitlines()[-1] if answer.strip() else "none"
    if last == "none":
        raise RemoteError(
            f"{host}: there is no {site.python or 'python3'}; install it, for example with `sudo"
            " apt-get install python3-venv`, or name another one with --remote-python"
        )
    found = Device(**json.loads(last))
    version = ".".join(map(str, found.version))
    if tuple(found.version) < OLDEST_PYTHON:
        raise RemoteError(
            f"{host}: has Python {version}; {'.'.join(map(str, OLDEST_PYTHON))} or newer is"
            " needed; if there is one, name it with --remote-python"
        )
    if not found.pip and not found.venv:
        raise RemoteError(
            f"{host}: Python {version} has neither pip nor venv; install them, for example with"
            " `sudo apt-get install python3-venv`"
        )
    if not found.runs:
        raise RemoteError(
            f"{host}: programs cannot run in {_parent(device)} (it is mounted with noexec);"
            f" name another folder, as {site.target.with_folder('/FOLDER')}"
        )
    return found


def _machine(found: Device, host: str) -> str:
    if found.bits != 64:
        raise RemoteError(
            f"{host}: runs {found.bits}-bit programs on {found.machine}; install a 64-bit system"
        )
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(found.machine.lower(), found.machine)


def _copy(device: SshConnection, site: Site, found: Device, files: Files, say: Say) -> None:
    host, size = site.target.name, sum(path.stat().st_size for path, _ in files)
    _check_space(device, site.target, size + (0 if found.packages else PACKAGES_BYTES))
    say(f"{host}: copying {size / 1e6:,.1f} MB to {device.folder}")
    begin = told = time.monotonic()
    arrived = 0

    def progress(more: int) -> None:
        nonlocal arrived, told
        arrived += more
        now = time.monotonic()
        if now - told < TELL_S or arrived == size:
            return
        told = now
        rate = arrived / (now - begin)
        say(
            f"{host}: {arrived / 1e6:,.1f} of {size / 1e6:,.1f} MB, {rate / 1e3:,.0f} kB/s,"
            f" {(size - arrived) / rate:,.0f} s left"
        )

    with _failures_named(device, site, "copying failed"):
        device.copy(found.python, files, progress)


def _install(device: Connection, site: Site, found: Device, wheel: Path, say: Say) -> None:
    host = site.target.name
    say(f"{host}: creating a virtual environment")
    with _failures_named(device, site, "creating a virtual environment failed"):
        device.run(WITH_PIP_THERE if found.pip else MAKE_ENVIRONMENT, found.python)
    say(f"{host}: installing {wheel.name}")
    with _failures_named(device, site, f"{wheel.name} cannot be installed"):
        device.run(PIP, "--no-deps", "--force-reinstall", wheel.name)
    if not found.packages:
        say(f"{host}: installing numpy and onnxruntime")
    with _failures_named(device, site, "numpy and onnxruntime cannot be installed", _no_packages):
        device.run(PIP, wheel.name)


def _no_packages(error: StepError) -> str:
    """What to do where pip does not get what the wheel needs."""
    lines = " ".join(error.lines)
    if _NO_NETWORK.search(lines) or "No matching distribution" not in lines:
        return "; connect it to the network, or install them for its python3"
    return (
        "; the index has none for its Python and processor: name another Python with"
        " --remote-python, or install them for its python3"
    )


def _read(answer: str, wheel: Path, kind: type[A]) -> A:
    """The last line."""
    try:
        return parse(kind, json.loads(answer.splitlines()[-1]), wheel.name)
    except (IndexError, ValueError, InputError) as error:
        raise RemoteError(
            f"{wheel.name} answers in an unknown format; build it from this version"
        ) from error


def _parent(device: Connection) -> str:
    return device.folder.rpartition("/")[0]


def _check_space(device: Connection, target: Target, size: int) -> None:
    free, needed = device.free_bytes(), size + ENVIRONMENT_BYTES
    if free < needed:
        raise RemoteError(
            f"{target.name}: {free / 1e6:,.0f} MB are free in {_parent(device)},"
            f" {needed / 1e6:,.0f} MB are needed; free some, or name another folder, as"
            f" {target.with_folder('/FOLDER')}"
        )


@contextmanager
def _failures_named(
    device: Connection,
    site: Site,
    what: str,
    remedy: Callable[[StepError], str] = lambda _: "",
) -> Iterator[None]:
    """Says where and in which step a command failed, and whether that was for lack of space."""
    try:
        yield
    except StepError as error:
        host = site.target.name
        if device.free_bytes() < FULL_BYTES or any("No space left" in line for line in error.lines):
            raise RemoteError(
                f"{host}: the disk is full; free some space, or name another folder, as"
                f" {site.target.with_folder('/FOLDER')}"
            ) from error
        raise RemoteError(f"{host}: {what}{remedy(error)}: {error}") from error
