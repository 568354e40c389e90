"""The options of verbs that measure on a device."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import InputError
from sbn_runtime.native import ISA_VARIABLE

if TYPE_CHECKING:
    from sbn_deploy.remote.steps import Site
    from sbn_deploy.remote.target import Phone

ADDRESS = "ssh://[USER@]HOST[:PORT][/FOLDER]"
PHONE_ADDRESS = "adb:[SERIAL]"


def add_remote_options(parser: argparse.ArgumentParser, *, phones: bool = True) -> None:
    """`--remote` and what goes with it; `phones`: whether the verb measures on these too."""
    also = f", or {PHONE_ADDRESS} for a phone" if phones else ""
    parser.add_argument("--remote", metavar="DEVICE", help=f"measure there: {ADDRESS}{also}")
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


def check_remote(options: argparse.Namespace) -> None:
    """Raises InputError where something goes with `--remote` only."""
    for name in ("wheel", "remote_python"):
        if getattr(options, name) is not None and options.remote is None:
            raise InputError(
                f"--{name.replace('_', '-')} needs --remote, as in --remote"
                " ssh://pi@raspberrypi.local"
            )


def is_phone(options: argparse.Namespace) -> bool:
    """Whether `--remote` is a phone."""
    return options.remote is not None and options.remote.startswith("adb:")


@contextmanager
def phone_kernels(options: argparse.Namespace) -> Iterator[str]:
    """The kernel set that `SBN_ISA` names for a phone, where it has no effect here; else ""."""
    wanted = os.environ.pop(ISA_VARIABLE, "") if is_phone(options) else ""
    try:
        yield wanted
    finally:
        if wanted:
            os.environ[ISA_VARIABLE] = wanted


def remote_phone(options: argparse.Namespace) -> Phone:
    """The phone of `--remote`. Raises InputError."""
    from sbn_deploy.remote.target import Phone, parse

    for name in ("wheel", "remote_python"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} does not go with --remote adb:; a phone's shell has no"
                " Python: leave it out"
            )
    phone = parse(options.remote)
    assert isinstance(phone, Phone)
    return phone


def remote_site(options: argparse.Namespace) -> Site:
    """The device of `--remote`, which must be reached over ssh. Raises InputError."""
    from sbn_deploy.remote.steps import Site
    from sbn_deploy.remote.target import Target, parse

    target = parse(options.remote)
    if not isinstance(target, Target):
        raise InputError(
            f"--remote {options.remote}: `sbn benchmark` and `sbn profile` measure on phones; this"
            f" goes over ssh only: {ADDRESS}"
        )
    return Site(target, options.remote_python or "", options.wheel)


def remote_words(options: argparse.Namespace) -> list[str]:
    """The same options as typed."""
    names = ("remote", "remote_python", "wheel")
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
