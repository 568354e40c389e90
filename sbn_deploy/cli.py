"""The `sbn` command.

Each verb lives in `sbn_deploy.commands.<verb>` as `add_parser` and `run`, and
is imported only when it is asked for, so that `sbn predict` starts fast and
works where only numpy and onnxruntime are installed.

Exit status: 0 done, 1 a check failed, 2 bad usage or input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from sbn_deploy.commands.common import add_loudness, printable
from sbn_deploy.names import suggest
from sbn_deploy.system import host
from sbn_runtime.errors import MissingDependencyError, SbnError

VERBS = {
    "train": "train a stochastic binary network",
    "tune": "search for the settings that train best",
    "estimators": "compare gradient estimators with the true gradient",
    "experiment": "compare training choices over several seeds",
    "export": "turn a checkpoint into a bit-packed ONNX or TFLite file",
    "import": "turn a network from another tool into such an ONNX file",
    "validate": "compare an exported file with its checkpoint, bit for bit",
    "predict": "classify images or recordings",
    "listen": "classify a sound while it comes in",
    "calibrate": "calibrate a model's confidence on held-out data",
    "evaluate": "measure accuracy on a test set",
    "benchmark": "measure latency and throughput",
    "profile": "show where the time goes, layer by layer",
    "report": "turn measurements into one page to read",
    "sweep": "measure every form of a checkpoint and recommend one",
    "card": "write a model card from measurements",
    "inspect": "list a model's layers, multiply-accumulates and packed bytes",
    "bundle": "pack a model and its library for a phone or another machine",
    "doctor": "show what this machine can run and what is missing",
    "demo": "train, export, validate, and compare with fp32, in minutes",
}

# What brings an optional package: an extra or, for a device that reads images, itself.
SOURCES = {
    "torch": "'sbn-deploy[train]'",
    "safetensors": "'sbn-deploy[train]'",
    "sklearn": "'sbn-deploy[train]'",
    "pydantic": "'sbn-deploy[report]'",
    "PIL": "pillow",
    "pyarrow": "pyarrow",
    "onnx": "'sbn-deploy[onnx]'",
    "onnxruntime": "onnxruntime",
    "onnx_ir": "'sbn-deploy[onnx]'",
    "onnxscript": "'sbn-deploy[onnx]'",
    "flatbuffers": "'sbn-deploy[onnx]'",
    "jinja2": "'sbn-deploy[report]'",
    "markupsafe": "'sbn-deploy[report]'",
    "optuna": "'sbn-deploy[tune]'",
    "ray": "'sbn-deploy[ray]'",
    "psutil": "psutil",
    "sounddevice": "sounddevice",
    "shtab": "'sbn-deploy[train]'",
    "matplotlib": "'sbn-deploy[report]'",
}


class _Parser(argparse.ArgumentParser):
    def check_options(self, words: Sequence[str]) -> None:
        """Refuses a word that looks like an option and is none.

        Before argparse does: what it says first is often that another one is missing.
        """
        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        for word in itertools.takewhile("--".__ne__, words):
            name = word.partition("=")[0]
            # The beginning of a name stands for it; what holds a blank is a value.
            if (
                name.startswith("--")
                and " " not in name
                and not any(option.startswith(name[2:]) for option in known)
            ):
                ending = suggest(name[2:], known, "--")
                if "set" in known:
                    ending = ending or "; settings of a recipe are given as --set KEY=VALUE"
                self.error(f"unrecognized arguments: {name}{ending}")

    def error(self, message: str) -> NoReturn:
        """Says what is wrong on one line, instead of the usage before it."""
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            choices = [choice.strip("' ") for choice in found[2].split(",")]
            message += suggest(found[1], choices)
        self.exit(2, f"sbn: error: {message} (see `{self.prog} --help`)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status."""
    arguments = host.expanded(list(sys.argv[1:] if argv is None else argv))
    host.use_console()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters missing in the terminal's encoding become `?` instead of an error after the
            # work.
            stream.reconfigure(errors="replace")
    try:
        return _run(arguments)
    except SbnError as error:
        if {"-v", "--verbose"} & {*arguments}:
            traceback.print_exception(error.__cause__ or error)
        return _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    except OSError as error:
        if host.is_closed_pipe(error) and _reader_is_gone():
            # The reader of our output went away; keep the interpreter from complaining again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if "No usable temporary directory" in str(error):
            return _fail(
                "there is no writable temporary folder; create one, or set TMPDIR:"
                f" {error.strerror or error}"
            )
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")


def _reader_is_gone() -> bool:
    """Whether nobody reads what we write to standard output."""
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError:
        return True
    return False


def command(verb: str) -> ModuleType:
    """The module of a verb; one that is a keyword of Python has `_` behind it."""
    return import_module(f"sbn_deploy.commands.{verb}{'_' if iskeyword(verb) else ''}")


def _run(arguments: list[str]) -> int:
    parser = _Parser(
        prog="sbn",
        description="Stochastic binary networks: train, export, run, measure.",
        epilog="`sbn VERB --help` explains a verb. Start with `sbn demo`.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action="version", version=f"sbn {_version()}")
    add_loudness(parser)
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh"),
        help="print a script that completes verbs, options and files in that shell",
    )
    if "--print-completion" in arguments:
        return _print_completion(parser, arguments)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    before = [*itertools.takewhile(lambda word: word != chosen, arguments)]
    parser.check_options(before)
    module = None
    for verb, summary in VERBS.items():
        if verb == chosen:
            module = command(verb)
            module.add_parser(verbs)
            verbs.choices[verb].check_options(arguments[len(before) + 1 :])
        else:
            verbs.add_parser(verb, help=summary)
    options = parser.parse_args(arguments)
    assert module is not None  # argparse has left by now when no verb was named
    try:
        with _as_loud_as(options):
            status: int = module.run(options)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in SOURCES:
            raise
        raise MissingDependencyError(
            f"`sbn {options.verb}` needs {package}, which is not installed:"
            f" pip install {SOURCES[package]}"
        ) from error
    return status


@contextlib.contextmanager
def _as_loud_as(options: argparse.Namespace) -> Iterator[None]:
    """Silences what goes to stderr, or logs there what is done."""
    if getattr(options, "verbose", False):
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    if not getattr(options, "quiet", False):
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def _version() -> str:
    from sbn_runtime import __version__

    return __version__


def _print_completion(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Prints the script, for all verbs with their options."""
    options, _ = parser.parse_known_args(arguments)
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "completion needs shtab, which is not installed: pip install shtab"
        ) from error
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for verb in VERBS:
        command(verb).add_parser(verbs)
    for made in verbs.choices.values():
        for action in made._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, options.print_completion))
    return 0


def _fail(message: str) -> int:
    print("sbn: error:", printable(" ".join(message.split())), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
