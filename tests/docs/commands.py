"""The commands of shell examples: which ones there are, and whether they are right."""

from __future__ import annotations

import importlib.util
import re
import runpy
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbn_deploy import cli
from sbn_deploy.networks import names_code
from sbn_deploy.nn import models
from sbn_deploy.train import loop
from sbn_deploy.train.config import TrainConfig

from .pages import ROOT

# Takes the place of a program: notes its name and arguments.
STUB = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\1'; } >> "$RECORD"
"""


def check_settings(config: TrainConfig) -> None:
    """Makes the network, without memory for its parameters; not one of the reader's own."""
    if names_code(config.arch):
        return
    create = models.create_twin if config.twin else models.create
    with torch.device("meta"):
        create(config.arch or "digits-cnn", **config.model)


def check_sbn(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parses a command; that of `sbn train` up to the point where training starts."""
    module = cli.command(arguments[0])

    def train(config: TrainConfig, **_: object) -> None:
        check_settings(config)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if arguments[0] == "train":
            patch.setattr(loop, "train", train)
            assert cli.main(arguments) == 130
        else:
            patch.setattr(module, "run", lambda _: 0)
            assert cli.main(arguments) == 0


def check_torchrun(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.run import get_args_parser

    options = get_args_parser().parse_args(arguments)
    assert (options.module, options.training_script) == (True, "sbn_deploy.cli")
    check_sbn(options.training_script_args, monkeypatch)


def check_make(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in arguments:
        if "=" not in target:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"


def check_pip(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert arguments[0] == "install"
    for argument in arguments:
        for chosen in re.findall(r"^\.\[(.*)\]$", argument):
            assert set(chosen.split(",")) <= extras.keys()


def check_python(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1])
    else:
        assert (ROOT / arguments[0]).is_file()


CHECKS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "sbn": check_sbn,
    "torchrun": check_torchrun,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
}
# What else the examples run is not ours to check.
OTHERS = (
    *("adb", "aarch64-linux-gnu-gcc", "cc", "cmake", "getconf", "head", "python3", "scp"),
    *("ssh", "ssh-copy-id", "sudo", "unzip", "classify"),
)


def run_sbn(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    assert cli.main(arguments) == 0


def run_python(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments[0] == "-m", "only modules are run"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", arguments[1:])
        # runpy warns of a module that is loaded already, as another test may have done.
        patch.delitem(sys.modules, arguments[1], raising=False)
        status: object = 0
        try:
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
    assert not status


RUNS: dict[str, Callable[[list[str], pytest.MonkeyPatch], None]] = {
    "sbn": run_sbn,
    "python": run_python,
}


def commands(script: str, folder: Path) -> list[list[str]]:
    """The commands that a shell script runs, variables and loops resolved by bash.

    folder: an empty one, for what takes the place of the programs.
    """
    stubs, record = folder / "stubs", folder / "record"
    stubs.mkdir()
    record.touch()
    (folder / "sbn/bin").mkdir(parents=True)
    (folder / "sbn/bin/activate").touch()
    compiled = (folder / "classify",)
    for path in (*(stubs / program for program in (*CHECKS, *OTHERS)), *compiled):
        path.write_text(STUB, encoding="utf-8")
        path.chmod(stat.S_IRWXU)
    subprocess.run(
        ["/bin/bash", "-euc", script],
        env={"PATH": str(stubs), "RECORD": str(record)},
        cwd=folder,
        check=True,
        timeout=20,
    )
    return [line.split("\0")[:-1] for line in record.read_text(encoding="utf-8").split("\1")[:-1]]
