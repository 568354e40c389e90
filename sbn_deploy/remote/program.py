"""`sbn_measure` on a connected phone, which has neither Python nor onnxruntime."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from sbn_deploy.bundle.targets import CROSS_REMEDY
from sbn_deploy.machine.describe import describe
from sbn_deploy.records.machine import Machine
from sbn_deploy.records.remote import Remote
from sbn_runtime import MissingDependencyError, RemoteError
from sbn_runtime.native import ISA_VARIABLE

from .adb import FOLDER, AdbConnection
from .answer import PROGRAM, Place, Timed, read_timed
from .calls import Outputs, read_outputs
from .connection import StepError

PROGRAMS = Path(str(files("sbn_deploy").joinpath("libraries/aarch64")))
# What the folder takes besides the files.
SPARE_BYTES = 1_000_000
OUTPUTS = "outputs"

PROPERTIES = ("ro.product.cpu.abi", "ro.product.model", "ro.soc.model", "ro.build.version.release")
PROBE = f'for name in {" ".join(PROPERTIES)}; do getprop "$name"; done'
# adb keeps the permissions of a file, and an installation need not have made it a program.
ALLOW = f"chmod 700 {PROGRAM}"
# The program's own errors have status 2 and say what they are.
RUN = """\
{words} && exit
status=$?
[ "$status" = 2 ] || echo "{program} ended with status $status" >&2
exit "$status"
"""


@dataclass(frozen=True)
class Description:
    """What a phone says about itself; empty where it says nothing."""

    abi: str
    model: str
    soc: str
    android: str


class PhoneProgram:
    """The program in the folder of a phone.

    Args:
        device: the connection.
        isa: the kernel set to use; "" for the fastest.
        say: is called with what happens.

    Attributes:
        serial: of the phone.

    Raises:
        MissingDependencyError: the program is missing here.
        RemoteError: the phone cannot run it, or has no room. So does every method where the phone
            is lost or the program fails.
    """

    def __init__(self, device: AdbConnection, isa: str, say: Callable[[str], None]) -> None:
        self.serial = device.serial
        self._device, self._isa, self._say = device, isa, say
        self._path = program_here()
        self._found = _probe(device)
        self._here = describe()
        self._sent = False

    def send(self, *paths: Path) -> None:
        """Copies files into the folder; the first time, the program as well."""
        device = self._device
        files = [*paths] if self._sent else [self._path, *paths]
        size = sum(path.stat().st_size for path in files)
        free = device.free_bytes()
        if free < size + SPARE_BYTES:
            raise RemoteError(
                f"{self.serial}: {free / 1e6:,.0f} MB are free in {FOLDER},"
                f" {(size + SPARE_BYTES) / 1e6:,.0f} MB are needed; free some"
            )
        self._say(f"{self.serial}: copying {size / 1e6:,.1f} MB to {device.folder}")
        try:
            device.copy(*files)
            if not self._sent:
                device.run(ALLOW)
        except StepError as error:
            raise RemoteError(f"{self.serial}: {_no_copy(error)}") from error
        self._sent = True

    def answer(
        self, model: str, calls: str, threads: int, like: Sequence[Outputs], folder: Path
    ) -> list[Outputs]:
        """What a model answers to calls, all of them files there.

        Args:
            like: the same answers from elsewhere.
            folder: for what comes back.
        """
        self._run("run", model, calls, threads, OUTPUTS)
        try:
            self._device.fetch(OUTPUTS, folder / OUTPUTS)
        except StepError as error:
            raise RemoteError(f"{self.serial}: {_no_copy(error)}") from error
        try:
            return read_outputs(folder / OUTPUTS, like)
        except ValueError as error:
            raise RemoteError(
                f"{self.serial}: {PROGRAM} answers with outputs of other sizes: {error}"
            ) from error

    def time(
        self,
        model: str,
        calls: str,
        threads: int,
        *,
        runs: int,
        warmup: int,
        busy_s: float,
        limit_s: float,
    ) -> Timed:
        """Starts the program and times the first call, `runs` times unless time is up.

        Args:
            warmup, busy_s: untimed calls, and for how long to make such before.
            limit_s: when to begin no more, after the model was loaded.
        """
        busy, limit = (max(1, round(1e3 * seconds)) for seconds in (busy_s, limit_s))
        text = self._run("time", model, calls, threads, runs, warmup, busy, limit)
        return read_timed(text, self.serial)

    def profile(
        self,
        model: str,
        calls: str,
        threads: int,
        *,
        runs: int,
        busy_s: float,
        peak: str,
        peak_calls: str,
    ) -> str:
        """The answer of `sbn_measure profile`, for `read_profiled`."""
        busy = max(1, round(1e3 * busy_s))
        return self._run("profile", model, calls, threads, runs, busy, peak, peak_calls)

    def machine(self, place: Place) -> Machine:
        """The phone."""
        found = self._found
        names = (found.model, found.soc, place.core_name)
        return Machine(
            id=self.serial,
            cpu=", ".join(filter(None, names)) or "unknown phone",
            architecture="aarch64",
            cores=place.usable,
            core=place.cores[0] if len(place.cores) == 1 else None,
            core_name=place.core_name,
            core_max_mhz=place.core_max_mhz,
            isa=place.isa,
            state=place.before,
            system=f"Android {found.android}" if found.android else "Android",
            sbn_kernels=place.version,
        )

    def remote(self) -> Remote:
        """What was done there until now."""
        return Remote(
            host=self.serial,
            device=asdict(self._found),
            load_average_before=self._device.load,
            program=PROGRAM,
            program_sha256=hashlib.sha256(self._path.read_bytes()).hexdigest(),
            commands=tuple(dict.fromkeys(self._device.commands)),
            here=self._here,
        )

    def _run(self, *words: str | int) -> str:
        said = shlex.join(map(str, words))
        kernels = f"{ISA_VARIABLE}={shlex.quote(self._isa)} " if self._isa else ""
        script = RUN.format(words=f"{kernels}./{PROGRAM} {said}", program=PROGRAM)
        try:
            return self._device.run(script)
        except StepError as error:
            raise RemoteError(f"{self.serial}: {PROGRAM} does not run there: {error}") from error


def program_here() -> Path:
    """The program for phones. Raises MissingDependencyError."""
    path = PROGRAMS / PROGRAM
    if not path.is_file():
        raise MissingDependencyError(
            f"this installation has no {PROGRAM} for phones: {CROSS_REMEDY}"
        )
    return path


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


def _no_copy(error: StepError) -> str:
    full = any("No space left" in line for line in error.lines)
    return "its storage is full; free some space" if full else f"copying failed: {error}"
