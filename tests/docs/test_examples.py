"""Every code block of the documents runs, or says why not; printed results are true.

The blocks of a page run in order, in one empty folder, Python in one namespace. If a
`text` block follows, its lines must be among those printed. A Python block whose first
line is `# net.py` becomes that file. What a reader has that a test has not, such as
measurements, is before the block, invisible on the page; pages that a newcomer reads
first have nothing of the kind:

    <!-- given
    images = …
    -->

A block that cannot be run here stands behind a line with the reason, and what of it
can be checked is: commands are parsed by their own parsers, names of modules exist.

    <!-- not run: needs a phone -->
"""

from __future__ import annotations

import ast
import copy
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx.parser
import pytest
import torch

from sbn_deploy.commands import benchmark
from sbn_deploy.estimators import names as estimator_names
from sbn_deploy.nn import noise, surrogate
from sbn_deploy.nn.models import network
from sbn_deploy.nn.threads import threads
from sbn_deploy.sweep import SweepConfig
from sbn_deploy.train.config import TrainConfig
from sbn_deploy.tune import TuneConfig

from .commands import CHECKS, OTHERS, RUNS, check_settings, commands
from .pages import DOCUMENTS, FILE, ROOT, Part, documents_with, name, parts

RUNNABLE = ("sh", "python", "given")
# Pages that train: about half a minute each.
SLOW = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in ("getting-started", "own-networks", "own-photos", "training", "uncertainty")
    ),
)
# Work as typed from an empty folder.
NEWCOMER = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in (
            "index",
            "getting-started",
            "own-photos",
            "own-networks",
            "measuring",
            "raspberry-pi",
        )
    ),
)
ENGINES = ("ray", "pyspark")
# Train, so that figures differ a little on another machine.
TRAINED = ("docs/getting-started.md",)
LANGUAGES = {
    *RUNNABLE,
    "toml",
    "onnx",
    "text",
    "kotlin",
    "java",
    "swift",
    "c",
    "cmake",
    "js",
    "mermaid",
    "powershell",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder; what an example registers or imports is forgotten."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)
    for module in (noise, surrogate, network):
        monkeypatch.setattr(module, "_REGISTRY", copy.copy(module._REGISTRY))
    with torch.random.fork_rng(devices=[]), threads(1):
        yield tmp_path
    for file in home.glob("*.py"):
        sys.modules.pop(file.stem, None)


def check_output(part: Part, printed: str) -> None:
    """Every line of the output in the document was printed, spacing apart."""

    def said(line: str) -> str:
        if name(part.document) in TRAINED:
            line = re.sub(r"\d+(\.\d+)?", "0", line)
        return " ".join(line.split())

    lines = {said(line) for line in printed.splitlines()}
    for line in part.output.splitlines():
        assert said(line) in lines | {"", "…"}, f"not printed: {line}\n{printed}"


def check_names(tree: ast.Module) -> None:
    """What the code imports exists, but for what only `make test-engines` installs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for imported in node.names:
                if imported.name not in ENGINES:
                    importlib.import_module(imported.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            if node.module.partition(".")[0] in ENGINES:
                continue
            module = importlib.import_module(node.module)
            for imported in node.names:
                assert hasattr(module, imported.name), f"{node.module} has no {imported.name}"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(page, marks=pytest.mark.long if name(page) in SLOW else ())
        for page in documents_with(*RUNNABLE)
    ],
    ids=name,
)
def test_page_runs(
    document: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace: dict[str, Any] = {"__name__": "example"}
    monkeypatch.setattr(benchmark, "SECONDS", 0.5)
    if name(document) not in NEWCOMER:
        Path("models").symlink_to(ROOT / "models")
    for number, part in enumerate(parts(document)):
        capsys.readouterr()
        if part.language == "sh":
            scratch = folder / str(number)
            scratch.mkdir()
            found = commands(part.code, scratch)
            assert found, f"{part}: no command that is known"
            for program, *arguments in found:
                if not part.reason:
                    assert program in RUNS, f"{part}: {program} is not run; say why not"
                    print(f"{part}: {program} {' '.join(arguments)}")
                    RUNS[program](arguments, monkeypatch)
                elif program not in OTHERS:
                    CHECKS[program](arguments, monkeypatch)
        elif file := FILE.match(part.code):
            Path(file["name"]).write_text(part.code, encoding="utf-8")
        elif part.language in RUNNABLE:
            # Keeps the line numbers of the document in tracebacks.
            tree = ast.parse("\n" * part.line + part.code, str(document))
            if part.reason:
                check_names(tree)
            else:
                exec(compile(tree, str(document), "exec"), namespace)
        if part.output and not part.reason:
            check_output(part, "".join(capsys.readouterr()))


@pytest.mark.parametrize("page", NEWCOMER)
def test_newcomers_see_all_there_is(page: str) -> None:
    assert [part for part in parts(ROOT / page) if part.language == "given"] == []


@pytest.mark.parametrize("document", documents_with("toml"), ids=name)
def test_recipes_are_right(document: Path) -> None:
    for part in parts(document):
        if part.language == "toml":
            settings = tomllib.loads(part.code)
            if "checkpoint" in settings:
                defaults = SweepConfig(checkpoint=settings["checkpoint"])
                assert SweepConfig(**settings) == defaults, f"{part}: other defaults"
            elif "search" in settings:
                TuneConfig(**settings).check(TrainConfig(out=Path("runs")))
            else:
                check_settings(TrainConfig(out=Path("runs"), **settings))


@pytest.mark.parametrize("document", documents_with("onnx"), ids=name)
def test_functions_are_right(document: Path) -> None:
    for part in parts(document):
        if part.language == "onnx":
            head = '<domain: "sbn", opset_import: ["" : 20, "sbn" : 1]>\n'
            assert onnx.parser.parse_function(head + part.code).node


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_what_is_not_run_says_why(document: Path) -> None:
    for part in parts(document):
        assert part.language in LANGUAGES, f"{part}: name the language of the block"
        if part.language in ("kotlin", "java", "swift", "c", "cmake", "js", "powershell"):
            assert part.reason, f"{part}: say why it is not run"
        for path in re.findall(r"tests/[\w/]+(?:\.py)?", part.reason):
            assert (ROOT / path).exists(), f"{part}: {path} is not there"


def test_training_names_everything_there_is() -> None:
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    settings = [*TrainConfig.model_fields, *network.BINARY_OPTIONS]
    # Other tests of the same process may have registered noises of their own.
    noises = [n for n in noise.names() if type(noise.get(n)).__module__ == noise.__name__]
    assert len(noises) > 1
    surrogates = [
        n for n in surrogate.names() if type(surrogate.get(n)).__module__ == surrogate.__name__
    ]
    assert len(surrogates) > 1
    for setting in [*settings, *noises, *surrogates, *estimator_names()]:
        # In a sentence, in a recipe, or after --set.
        said = re.search(rf"`{setting}[` ]|^{setting} = |--set {setting}=", text, re.MULTILINE)
        assert said, f"docs/training.md does not explain {setting}"
