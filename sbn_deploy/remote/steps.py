"""What is done on a device, step by step, to measure a model there."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.machine.describe import describe
from sbn_deploy.records.benchmark import Remote, Settings
from sbn_deploy.records.files import parse
from sbn_deploy.records.measurement import Model, head
from sbn_deploy.remote.device import IMAGES, JOB, MODEL, Answer, Job
from sbn_runtime import InputError, RemoteError

from .connection import Connection, StepError
from .ssh import SshConnection
from .target import Target
from .wheels import wheel_for

OLDEST_PYTHON = (3, 11)
# What the virtual environment takes with our wheel unpacked, and numpy and onnxruntime with what
# they depend on, together with pip's copies of them while it installs.
ENVIRONMENT_BYTES = 40_000_000
PACKAGES_BYTES = 200_000_000
FULL_BYTES = 2_000_000

# The first Python that is new enough, else whatever python3 is, describes itself.
PROBE = """\
for name in python3 python3.14 python3.13 python3.12 python3.11; do
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    name=python3
done
command -v "$name" >/dev/null || { echo none; exit; }
"$name" - "$name" <<'END'
import json, platform, struct, sys
from importlib.util import find_spec
print(json.dumps({
    "python": sys.argv[1],
    "version": list(sys.version_info[:3]),
    "machine": platform.machine(),
    "bits": 8 * struct.calcsize("P"),
    "system": platform.platform(),
    "pip": find_spec("pip") is not None,
    "venv": all(map(find_spec, ("venv", "ensurepip"))),
    "packages": all(map(find_spec, ("numpy", "onnxruntime"))),
}))
END
"""
# A package of the system counts as installed: a device needs no network if it has all, and no
# second pip if it has one.
MAKE_ENVIRONMENT = '"$1" -m venv --system-site-packages venv'
WITH_PIP_THERE = MAKE_ENVIRONMENT + " --without-pip"
_PIP = (
    "venv/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet install --no-compile"
)
INSTALL_WHEEL = f'{_PIP} --no-deps --force-reinstall "$1"'
INSTALL_PACKAGES = f'{_PIP} "$1"'
MEASURE = "venv/bin/python -m sbn_deploy.remote.device ."


@dataclass(frozen=True)
class Material:
    """What is measured.

    Attributes:
        model, facts: the ONNX file, and what is known of it.
        baselines: by engine name, float models to run in turns with it.
        images, labels: uint8 [N, H, W, C] and int64 [N] to classify; None for none.
        wheel: of this project; None to take the one in dist/ that fits the device.
    """

    model: Path
    facts: Model
    baselines: Mapping[str, Path]
    images: NDArray[np.uint8] | None
    labels: NDArray[np.int64] | None
    wheel: Path | None


@dataclass(frozen=True)
class Device:
    """What a device says about itself."""

    python: str
    version: list[int]
    machine: str
    bits: int
    system: str
    pip: bool
    venv: bool
    packages: bool


def measure_remotely(
    target: Target, material: Material, settings: Settings, say: Callable[[str], None]
) -> Answer:
    """Measures on a device and leaves nothing behind there.

    Args:
        settings: how to measure.
        say: is told of each step.

    Returns:
        The benchmark, made there, and the labels of the images if there are any.

    Raises:
        RemoteError: the device cannot be reached, lacks what is needed, or was lost.
        InputError: the chosen wheel does not fit the device.
        MissingDependencyError: ssh or scp is missing here.
    """
    host = target.host
    say(f"connecting to {target.login}")
    with SshConnection(target, say) as device, tempfile.TemporaryDirectory() as folder:
        found = _probe(device, host)
        wheel = wheel_for(_machine(found, host), material.wheel)
        files = _collect(Path(folder), material, settings)
        size = sum(path.stat().st_size for path in (*files, wheel))
        _check_space(device, target, size + (0 if found.packages else PACKAGES_BYTES))
        say(f"{host}: copying {size / 1e6:,.1f} MB to {device.folder}")
        with _full_disk_named(device, target, "copying failed"):
            device.copy(*files, wheel)
        say(f"{host}: making a virtual environment")
        with _full_disk_named(device, target, "making a virtual environment failed"):
            device.run(WITH_PIP_THERE if found.pip else MAKE_ENVIRONMENT, found.python)
        say(f"{host}: installing {wheel.name}")
        with _full_disk_named(device, target, f"{wheel.name} cannot be installed"):
            device.run(INSTALL_WHEEL, wheel.name)
        if not found.packages:
            say(f"{host}: installing numpy and onnxruntime")
        with _full_disk_named(
            device,
            target,
            "numpy and onnxruntime cannot be installed; connect it to the network, or install them"
            " for its python3",
        ):
            device.run(INSTALL_PACKAGES, wheel.name)
        with _full_disk_named(device, target, "measuring failed"):
            answer = device.run(MEASURE, progress=lambda line: say(f"{host}: {line}"))
        read = _read(answer, wheel)
        remote = Remote(
            host=host,
            device=asdict(found),
            load_average_before=device.load,
            program=wheel.name,
            program_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            commands=tuple(device.commands),
            here=describe(),
        )
    # Made by the command that is running here.
    made = head(read.benchmark.machine) | {"remote": remote}
    return replace(read, benchmark=replace(read.benchmark, **made))


def _probe(device: Connection, host: str) -> Device:
    try:
        answer = device.run(PROBE)
    except StepError as error:
        raise RemoteError(f"{host}: python3 does not run there: {error}") from error
    last = answer.splitlines()[-1]
    if last == "none":
        raise RemoteError(
            f"{host}: there is no python3; install it, as with `sudo apt-get install python3-venv`"
        )
    found = Device(**json.loads(last))
    version = ".".join(map(str, found.version))
    if tuple(found.version) < OLDEST_PYTHON:
        raise RemoteError(
            f"{host}: has Python {version}; {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed"
        )
    if not found.pip and not found.venv:
        raise RemoteError(
            f"{host}: Python {version} has neither pip nor what makes virtual environments;"
            " install them, as with `sudo apt-get install python3-venv`"
        )
    return found


def _machine(found: Device, host: str) -> str:
    if found.bits != 64:
        raise RemoteError(
            f"{host}: runs {found.bits}-bit programs on {found.machine}; install a 64-bit system"
        )
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(found.machine.lower(), found.machine)


def _collect(folder: Path, material: Material, settings: Settings) -> list[Path]:
    """Writes the job's files into `folder` and returns them."""
    baselines = {}
    shutil.copyfile(material.model, folder / MODEL)
    for number, (name, path) in enumerate(material.baselines.items()):
        baselines[name] = f"baseline{number}.onnx"
        shutil.copyfile(path, folder / baselines[name])
    if material.images is not None:
        assert material.labels is not None
        np.savez_compressed(folder / IMAGES, images=material.images, labels=material.labels)
    job = Job(material.facts, settings, baselines, images=material.images is not None)
    (folder / JOB).write_text(job.to_json())
    return sorted(folder.iterdir())


def _read(answer: str, wheel: Path) -> Answer:
    """The last line; a shell's start-up files may have written others."""
    try:
        return parse(Answer, json.loads(answer.splitlines()[-1]), wheel.name)
    except (IndexError, ValueError, InputError) as error:
        raise RemoteError(
            f"{wheel.name} answers in an unknown form; build it from this version"
        ) from error


def _check_space(device: Connection, target: Target, size: int) -> None:
    free, needed = device.free_bytes(), size + ENVIRONMENT_BYTES
    if free < needed:
        raise RemoteError(
            f"{target.host}: {free / 1e6:,.0f} MB are free in {device.folder.rpartition('/')[0]},"
            f" {needed / 1e6:,.0f} MB are needed; free some, or name another folder, as"
            f" ssh://{target.login}/FOLDER"
        )


@contextmanager
def _full_disk_named(device: Connection, target: Target, what: str) -> Iterator[None]:
    """Says where and in which step a command failed, and whether that was for lack of space."""
    try:
        yield
    except StepError as error:
        if device.free_bytes() < FULL_BYTES or any("No space left" in line for line in error.lines):
            raise RemoteError(
                f"{target.host}: the disk is full; free some space, or name another folder, as"
                f" ssh://{target.login}/FOLDER"
            ) from error
        raise RemoteError(f"{target.host}: {what}: {error}") from error
