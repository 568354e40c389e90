"""The options of verbs that measure on devices, and how several devices are measured."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sbn_runtime.errors import InputError, RemoteError, SbnError
from sbn_runtime.files import check_writable
from sbn_runtime.native import ISA_VARIABLE

from .common import printable, say, writable

if TYPE_CHECKING:
    from sbn_deploy.records.measurement import Measurement
    from sbn_deploy.remote.target import Phone, Target

ADDRESS = "ssh://[USER@]HOST[:PORT][/FOLDER]"
PHONE_ADDRESS = "adb:[SERIAL]"

M = TypeVar("M", bound="Measurement")


def add_remote_options(parser: argparse.ArgumentParser) -> None:
    """`--remote` and what goes with it."""
    parser.add_argument(
        "--remote",
        action="append",
        default=[],
        metavar="DEVICE",
        help=f"measure there: {ADDRESS}, or {PHONE_ADDRESS} for a phone; with several --remote,"
        " at the same time on all of them",
    )
    parser.add_argument(
        "--remote-python",
        type=_name,
        metavar="PYTHON",
        help="the device's Python, such as /opt/python/bin/python3 (default: the first recent"
        " enough python3 on its path)",
    )
    parser.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="wheel to install on the device (default: the matching one in dist/)",
    )


def remote_devices(options: argparse.Namespace) -> dict[str, Target | Phone]:
    """The devices of `--remote` by name, in order. Raises InputError."""
    from sbn_deploy.remote.target import Phone, parse

    for name in ("wheel", "remote_python"):
        option = f"--{name.replace('_', '-')}"
        if getattr(options, name) is None:
            continue
        if not options.remote:
            raise InputError(f"{option} needs --remote, as in --remote ssh://pi@raspberrypi.local")
        if all(text.startswith("adb:") for text in options.remote):
            raise InputError(
                f"{option} does not go with --remote adb:; a phone's shell has no Python: leave"
                " it out"
            )
    found: dict[str, Target | Phone] = {}
    for text in options.remote:
        device = parse(text)
        if device.name in found:
            raise InputError(f"--remote {text}: {device.name} is given twice")
        found[device.name] = device
    phones = [device for device in found.values() if isinstance(device, Phone)]
    if len(phones) > 1 and any(phone.serial is None for phone in phones):
        raise InputError("--remote adb: means the only phone; name each of several by its serial")
    _check_different([device for device in found.values() if not isinstance(device, Phone)])
    return found


def _check_different(boards: Sequence[Target]) -> None:
    """Raises InputError where two names are of one machine, which would be measured busy."""
    from sbn_deploy.remote.destination import destinations

    if len(boards) < 2:
        return
    known: dict[tuple[str, ...], str] = {}
    for board in boards:
        for place in destinations(board):
            if known.setdefault(place, board.name) != board.name:
                raise InputError(
                    f"--remote: {known[place]} and {board.name} are the same device ({place[0]},"
                    f" port {place[1]}); name it once"
                )


def has_phone(options: argparse.Namespace) -> bool:
    """Whether a device of `--remote` is a phone."""
    return any(text.startswith("adb:") for text in options.remote)


@contextmanager
def phone_kernels(options: argparse.Namespace) -> Iterator[str]:
    """The kernel set that `SBN_ISA` names for phones, where it has no effect here; else ""."""
    wanted = os.environ.pop(ISA_VARIABLE, "") if has_phone(options) else ""
    try:
        yield wanted
    finally:
        if wanted:
            os.environ[ISA_VARIABLE] = wanted


def outputs(output: Path | None, devices: Mapping[str, object]) -> dict[str, Path]:
    """Where the measurement of each device goes, or "" for that of this machine: `output`, or
    with several devices a file for each in the folder `output`.

    Raises InputError or OutputError if nothing can be written there.
    """
    from sbn_deploy.remote.target import file_name

    if output is None:
        return {}
    if len(devices) < 2 and not (devices and output.is_dir()):
        return {name: writable(output) for name in devices or [""]}
    if output.suffix == ".json":
        raise InputError(
            f"-o {output}: with several --remote, name a folder, where each has a file of its own"
        )
    check_writable(output)
    return {name: writable(output / f"{file_name(name)}.json") for name in devices}


def measure_each(jobs: Mapping[str, Callable[[], M]], files: Mapping[str, Path]) -> dict[str, M]:
    """Measures on devices at the same time, and writes each measurement when it is there.

    Args:
        jobs: by the device's name.
        files: where measurements go, by the same names.

    Returns:
        The measurements, in the order of `jobs`, of the devices that did not fail, of which there
        is one at least. With several devices, it is said at once which failed and why.

    Raises:
        SbnError: of the only device, or of the last if all failed.
    """
    from sbn_deploy.records.files import save
    from sbn_deploy.remote.together import at_once

    found: dict[str, M] = {}
    errors: list[SbnError] = []

    def done(name: str, outcome: M | SbnError) -> None:
        if isinstance(outcome, SbnError):
            errors.append(outcome)
            if len(jobs) > 1:
                say(f"{name} failed: {printable(' '.join(str(outcome).split()))}")
            return
        if name in files:
            save(files[name], outcome)
        found[name] = outcome

    at_once(jobs, done)
    if not found:
        raise errors[-1] if len(jobs) == 1 else RemoteError("no device could be measured")
    return {name: found[name] for name in jobs if name in found}


def check_complete(jobs: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Raises RemoteError if a device was not measured."""
    if missing := [name for name in jobs if name not in found]:
        raise RemoteError(f"not measured: {', '.join(missing)}; the others are complete")


def remote_words(options: argparse.Namespace) -> list[str]:
    """What goes with `--remote`, as typed."""
    names = ("remote_python", "wheel")
    given = ((name, getattr(options, name)) for name in names)
    return [
        word
        for name, value in given
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _name(text: str) -> str:
    if not text.isprintable() or not text or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a program")
    return text
