"""What the command says about itself."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sbn_deploy import cli

from ..command import sbn


def test_help_lists_every_verb() -> None:
    outcome = sbn("--help")
    assert outcome.status == 0
    assert outcome.stderr == ""
    for verb, summary in cli.VERBS.items():
        assert f"    {verb}" in outcome.stdout
        assert summary in outcome.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_an_example_that_parses(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([verb, "--help"])
    text = capsys.readouterr().out
    assert "--json" in text
    program, *arguments = shlex.split(text.partition("example:\n")[2])
    assert program == "sbn"
    with pytest.raises(SystemExit, match="0"):
        cli.main([*arguments, "--help"])


@pytest.mark.parametrize(
    "verb",
    [
        *("train", "estimators", "export", "validate", "evaluate", "benchmark", "report"),
        *("inspect", "demo"),
    ],
)
def test_help_loads_no_heavy_package(verb: str) -> None:
    code = (
        "import sys; from sbn_deploy import cli\n"
        f"try: cli.main([{verb!r}, '--help'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = set(output.splitlines()[-1].split())
    assert not {"torch", "onnx", "pydantic", "rich", "sklearn", "matplotlib", "jinja2"} & loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: VERB"),
        (["fly"], "invalid choice: 'fly'"),
        (["tran"], "'demo'); did you mean train? (see `sbn --help`)"),
        (["--verison"], "arguments: --verison; did you mean --version? (see `sbn --help`)"),
        (["--frob", "doctor"], "unrecognized arguments: --frob"),
        (["predict", "model.onnx"], "arguments are required: FILE"),
        (["predict", "m", "f", "--top", "0"], "--top: '0' must be a whole number of at least 1"),
        (["predict", "m", "f", "--threads", "two"], "--threads: 'two' must be a whole number"),
        (["export", "checkpoint"], "arguments are required: -o"),
        (["export", "c", "-o", "f", "--weights", "mean"], "invalid choice: 'mean'"),
        (["export", "c", "-o", "f", "--members", "0"], "--members: '0' must be a whole number"),
        (["validate", "m"], "arguments are required: --against"),
        (
            ["benchmark", "m", "--compare", "fp16"],
            "'fp16' is none of native, fp32, int8, lce, torch",
        ),
        (
            ["benchmark", "m", "--threads", "1,0"],
            "--threads: '0' must be a whole number of at least 1",
        ),
        (["benchmark", "m", "--batch", "1,,2"], "--batch: '' must be a whole number of at least 1"),
        (["benchmark", "m", "--max-seconds", "0"], "'0' must be a number of seconds above 0"),
        (["benchmark", "m", "--max-seconds", "inf"], "'inf' must be a number of seconds above 0"),
        (["benchmark", "m", "--runs", "0"], "--runs: '0' must be a whole number"),
    ],
)
def test_bad_usage(arguments: list[str], message: str) -> None:
    line = sbn(*arguments).refused()
    assert message in line
    assert "--help`" in line


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_mistyped_option_gets_a_suggestion(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else is missing, and whether its value stands behind `=` or a blank."""
    with pytest.raises(SystemExit, match="0"):
        cli.main([verb, "--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    options = sorted(set(re.findall(r"--[a-z-]{4,}", usage)))
    for option in options:
        mistyped = f"--{option[3]}{option[2]}{option[4:]}"
        if any(other.startswith(mistyped) for other in options):
            continue
        for words in ([mistyped, "3"], [f"{mistyped}=3"]):
            with pytest.raises(SystemExit, match="2"):
                cli.main([verb, *words])
            message = f"sbn: error: unrecognized arguments: {mistyped}; did you mean {option}?"
            assert capsys.readouterr().err == f"{message} (see `sbn {verb} --help`)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--batch-size", "8"],
            "; settings of a recipe are given as --set KEY=VALUE",
        ),
        (
            ["train", "--data", "digts"],
            "data set 'digts'; did you mean digits?; choose one of",
        ),
        (
            ["train", "--data", "foldr:x"],
            "data set 'foldr:x'; did you mean folder?; choose one",
        ),
        (["train", "--data", "."], "data set '.'; did you mean folder:.?; choose one of"),
    ],
)
def test_what_newcomers_type_instead(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in sbn(*arguments, "--out", tmp_path).refused()


def test_values_are_no_options() -> None:
    """What begins with dashes behind `--`, or holds a blank, is one; beginnings are enough."""
    assert "No such file" in sbn("inspect", "--", "--none.onnx").refused()
    assert "No such file" in sbn("inspect", "--of mine.onnx").refused()
    assert "argument --data: expected" in sbn("evaluate", "m.onnx", "--dat").refused()
