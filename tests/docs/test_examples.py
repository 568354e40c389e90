"""The documents keep what they say: examples parse or run, printed results are true.

Every shell, Python and TOML block of the documents is checked against the real
command-line parsers, modules and settings. A block after a line `<!-- run -->`,
which rendered Markdown does not show, is run as well, and if a `text` block
follows it, its lines must be among those printed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import re
import runpy
import stat
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sbn_deploy import cli
from sbn_deploy.estimators import names as estimator_names
from sbn_deploy.nn import models, noise, surrogate
from sbn_deploy.nn.models import network
from sbn_deploy.nn.threads import threads
from sbn_deploy.train import loop
from sbn_deploy.train.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
TRAINING = ROOT / "docs/training.md"
DOCUMENTS = (
    TRAINING,
    *(
        ROOT / f"docs/{name}.md"
        for name in ("latency", "lce", "phones", "raspberry-pi", "remote", "uncertainty")
    ),
    ROOT / "README.md",
)
FIGURE_BYTES = 300_000

BLOCK = re.compile(
    r"(?P<run>^<!-- run -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"!?\[[^\]]*\]\((?!\w+:)(?P<path>[^)#]*)(#(?P<anchor>[^)]*))?\)")

# Takes the place of a program: notes its name and arguments.
STUB = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\1'; } >> "$RECORD"
"""


@dataclass(frozen=True)
class Block:
    """A fenced block and the `text` block that follows it, if any."""

    document: Path
    line: int
    language: str
    code: str
    run: bool
    output: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        matches = list(BLOCK.finditer(text))
        for match, after in itertools.zip_longest(matches, matches[1:]):
            adjacent = after and not text[match.end() : after.start()].strip()
            shows = adjacent and after["language"] == "text"
            found.append(
                Block(
                    document,
                    text.count("\n", 0, match.start("code")),
                    match["language"],
                    match["code"],
                    match["run"] is not None,
                    after["code"] if shows else "",
                )
            )
    return [block for block in found if block.language == language]


def every(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks(language), ids=str)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with the recipes; what an example registers or draws is forgotten."""
    monkeypatch.chdir(tmp_path)
    for name in ("models", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for module in (noise, surrogate, network):
        monkeypatch.setattr(module, "_REGISTRY", dict(module._REGISTRY))
    with torch.random.fork_rng(devices=[]), threads(1):
        yield tmp_path


def check_settings(config: TrainConfig) -> None:
    """Makes the network, without memory for its parameters."""
    create = models.create_twin if config.twin else models.create
    with torch.device("meta"):
        create(config.arch, **config.model)


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
    *("adb", "aarch64-linux-android29-clang", "cc", "head", "python3", "scp", "sudo", "unzip"),
    "run_model",
)


def commands(script: str, folder: Path) -> list[list[str]]:
    """The commands that a shell script runs, variables and loops resolved by bash."""
    stubs, record = folder / "stubs", folder / "record"
    stubs.mkdir()
    record.touch()
    (folder / "sbn/bin").mkdir(parents=True)
    (folder / "sbn/bin/activate").touch()
    for path in (*(stubs / program for program in (*CHECKS, *OTHERS)), folder / "run_model"):
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


def check_output(block: Block, printed: str) -> None:
    """Every line of the output in the document was printed, spacing apart."""
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    for line in block.output.splitlines():
        assert " ".join(line.split()) in lines | {"", "…"}, f"not printed: {line}\n{printed}"


@every("sh")
def test_shell_examples(
    block: Block,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = commands(block.code, folder)
    assert found
    for program, *arguments in found:
        if block.run:
            assert program == "sbn"
            assert cli.main(arguments) == 0
        elif program not in OTHERS:
            CHECKS[program](arguments, monkeypatch)
    if block.output and block.run:
        check_output(block, capsys.readouterr().out)


@every("python")
def test_python_examples(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    # Keeps the line numbers of the document in tracebacks.
    code = "\n" * block.line + block.code
    tree = ast.parse(code, str(block.document))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
    if block.run:
        exec(compile(tree, str(block.document), "exec"), {"__name__": "example"})
        if block.output:
            check_output(block, capsys.readouterr().out)


@every("toml")
def test_recipe_examples(block: Block) -> None:
    check_settings(TrainConfig(out=Path("runs"), **tomllib.loads(block.code)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_have_a_known_language(document: Path) -> None:
    languages = {m["language"] for m in BLOCK.finditer(document.read_text(encoding="utf-8"))}
    assert languages <= {"sh", "python", "toml", "text", "kotlin"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in LINK.finditer(text):
        target = (document.parent / link["path"]) if link["path"] else document
        assert target.exists(), link[0]
        if link["anchor"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert link["anchor"] in anchors, link[0]


def test_training_names_everything_there_is() -> None:
    text = TRAINING.read_text(encoding="utf-8")
    settings = [*TrainConfig.model_fields, *network.BINARY_OPTIONS]
    # Other tests of the same process may have registered noises of their own.
    noises = [n for n in noise.names() if type(noise.get(n)).__module__ == noise.__name__]
    assert len(noises) > 1
    for name in [*settings, *noises, *surrogate.names(), *estimator_names()]:
        # In a sentence, in a recipe, or after --set.
        said = re.search(rf"`{name}[` ]|^{name} = |--set {name}=", text, re.MULTILINE)
        assert said, f"docs/training.md does not explain {name}"


def test_figures_are_used_and_small() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    figures = list((ROOT / "docs/figures").iterdir())
    assert figures
    for figure in figures:
        assert f"(figures/{figure.name})" in text
        assert figure.stat().st_size < FIGURE_BYTES


def test_figures_are_drawn_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script: dict[str, Any] = runpy.run_path(str(ROOT / "docs/make_figures.py"))
    drawn = []
    for name in ("once", "twice"):
        target = tmp_path / name
        target.mkdir()
        for draw in (script["draw_noises"], script["draw_mirror_descent"]):
            draw.__globals__["FOLDER"] = target
            draw()
        drawn.append({path.name: path.read_bytes() for path in target.iterdir()})
    assert drawn[0] == drawn[1]
