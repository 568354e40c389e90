"""Measuring the sbn operators of a model on a phone, which has neither Python nor onnxruntime."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from sbn_deploy.bundle.targets import CROSS_REMEDY
from sbn_deploy.engines.engine import example
from sbn_deploy.engines.session import session_engine
from sbn_deploy.machine.describe import describe
from sbn_deploy.records.benchmark import Benchmark, Settings
from sbn_deploy.records.measurement import describe_model
from sbn_deploy.records.remote import Remote
from sbn_runtime import MissingDependencyError, RemoteError
from sbn_runtime.native import ISA_VARIABLE

from .adb import FOLDER, AdbConnection
from .answer import Description, read_answer, record_of
from .connection import StepError
from .plan import make_plan
from .target import Phone

PROGRAM = "sbn_layers"
PROGRAMS = Path(str(files("sbn_deploy").joinpath("libraries/aarch64")))
PLAN = "plan"
# What the folder takes besides the files.
SPARE_BYTES = 1_000_000
# Timed calls of each operator, unless the user says how many.
RUNS = 1000

PROPERTIES = ("ro.product.cpu.abi", "ro.product.model", "ro.soc.model", "ro.build.version.release")
PROBE = f'for name in {" ".join(PROPERTIES)}; do getprop "$name"; done'
# The program's own errors have status 2 and say what they are.
MEASURE = f"""\
chmod 700 {PROGRAM} || exit
[ -z "$3" ] || export {ISA_VARIABLE}="$3"
./{PROGRAM} {PLAN} "$1" "$2" && exit
status=$?
[ "$status" = 2 ] || echo "{PROGRAM} ended with status $status" >&2
exit "$status"
"""


def measure_on_phone(
    phone: Phone, model: Path, settings: Settings, say: Callable[[str], None]
) -> Benchmark:
    """Measures a model's sbn operators on a phone and leaves nothing behind there.

    Args:
        model: an exported ONNX file.
        settings: how to measure; on one thread, with one batch.
        say: is called with each step.

    Raises:
        RemoteError: the phone cannot be reached, lacks what is needed, was lost, or computed
            something else than this machine.
        MissingDependencyError: adb or the program for 64-bit ARM is missing here.
        ModelError: the model cannot be used.
    """
    program = _program()
    with _fastest_kernels_here() as isa:
        engine = session_engine(model, threads=1)
        here = describe()
        facts = describe_model(model, engine.session.metadata)
        say("looking for the phone")
        with AdbConnection(phone, say) as device, tempfile.TemporaryDirectory() as folder:
            found = _probe(device)
            say("running the model here to know what its operators must compute")
            plan = make_plan(model, example(engine.inputs, settings.batch[0]))
            (Path(folder) / PLAN).write_bytes(plan.data)
            _copy(device, [program, Path(folder) / PLAN], say)
            measured = read_answer(_run(device, settings, isa, say), plan, device.serial)
            remote = Remote(
                host=device.serial,
                device=asdict(found),
                load_average_before=device.load,
                program=PROGRAM,
                program_sha256=hashlib.sha256(program.read_bytes()).hexdigest(),
                commands=tuple(device.commands),
                here=here,
            )
    return record_of(measured, plan, found, facts, settings, remote)


def _run(device: AdbConnection, settings: Settings, isa: str, say: Callable[[str], None]) -> str:
    try:
        return device.run(
            MEASURE,
            *(str(settings.runs or RUNS), str(settings.warmup), isa),
            progress=lambda line: say(f"{device.serial}: {line}"),
        )
    except StepError as error:
        raise RemoteError(f"{device.serial}: {PROGRAM} does not run there: {error}") from error


def _program() -> Path:
    path = PROGRAMS / PROGRAM
    if not path.is_file():
        raise MissingDependencyError(
            f"this installation has no {PROGRAM} for phones: {CROSS_REMEDY}"
        )
    return path


@contextmanager
def _fastest_kernels_here() -> Iterator[str]:
    """SBN_ISA, which is meant for the phone: it has no effect here until the end."""
    wanted = os.environ.pop(ISA_VARIABLE, "")
    try:
        yield wanted
    finally:
        if wanted:
            os.environ[ISA_VARIABLE] = wanted


def _probe(device: AdbConnection) -> Description:
    try:
        lines = device.run(PROBE).splitlines()
    except StepError as error:
        raise RemoteError(f"{device.serial}: does not run Android: {error}") from error
    found = Description(*(line.strip() for line in [*lines, *[""] * 4][:4]))
    if found.abi != "arm64-v8a":
        raise RemoteError(
            f"{device.serial}: runs {found.abi or 'unknown'} programs; only phones of 64-bit ARM"
            " (arm64-v8a) are measured"
        )
    return found


def _copy(device: AdbConnection, paths: list[Path], say: Callable[[str], None]) -> None:
    size = sum(path.stat().st_size for path in paths)
    free = device.free_bytes()
    if free < size + SPARE_BYTES:
        raise RemoteError(
            f"{device.serial}: {free / 1e6:,.0f} MB are free in {FOLDER},"
            f" {(size + SPARE_BYTES) / 1e6:,.0f} MB are needed; free some"
        )
    say(f"{device.serial}: copying {size / 1e6:,.1f} MB to {device.folder}")
    try:
        device.copy(*paths)
    except StepError as error:
        full = any("No space left" in line for line in error.lines)
        why = "its storage is full; free some space" if full else f"copying failed: {error}"
        raise RemoteError(f"{device.serial}: {why}") from error
