"""The options of verbs that measure on a device."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime import InputError

if TYPE_CHECKING:
    from sbn_deploy.remote.steps import Site

ADDRESS = "ssh://[USER@]HOST[:PORT][/FOLDER]"


def add_remote_options(parser: argparse.ArgumentParser, *, also: str = "") -> None:
    """`--remote` and what goes with it; `also` is said of other addresses."""
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


def remote_site(options: argparse.Namespace) -> Site:
    """The device of `--remote`, which must be reached over ssh. Raises InputError."""
    from sbn_deploy.remote.steps import Site
    from sbn_deploy.remote.target import Target, parse

    target = parse(options.remote)
    if not isinstance(target, Target):
        raise InputError(
            f"--remote {options.remote}: a phone's operators are timed by `sbn benchmark`; this"
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
