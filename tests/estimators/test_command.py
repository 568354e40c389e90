"""`sbn estimators`, in this process."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sbn_deploy.commands import estimators as command
from sbn_deploy.estimators import names, study, training
from sbn_runtime.errors import ConfigError, OutputError

QUICK = ("--net", "4-3-2-1", "--networks", "2", "--samples", "200")


def sbn(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return command.run(parser.parse_args(["estimators", *arguments]))


def sbn_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert sbn(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_table_and_answer(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert sbn(*QUICK) == 0
    assert torch.get_num_threads() == threads
    output = capsys.readouterr()
    for name in names():
        assert f"\n{name} " in output.out
    for by in study.SWEEPS:
        assert f"\nby {by}: bias of the first layer" in output.out
    question, _, answer = output.out.partition("\nWhich estimator for my net?\n")
    assert question
    assert answer.startswith("- Take ")
    assert "settings" in output.err


def test_json_has_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = sbn_json(capsys, *QUICK, "--by", "depth,loss", "--gain", "2")
    assert found["result"]["setting"] == {
        "dims": [4, 3, 2, 1],
        "noise": "logistic",
        "loss": "logistic",
        "gain": 2.0,
    }
    assert len(found["result"]["scores"]) == len(names()) * 4
    assert set(found["sweeps"]) == {"depth", "loss"}
    assert found["result"]["reference"] == "enumeration"
    assert set(found["sources"]) == set(names())
    assert found["answer"][0].startswith("Take ")


def test_same_seed_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (*QUICK, "--by", "none", "--estimators", "st,gumbel")
    first = sbn_json(capsys, *arguments, "--seed", "5")
    assert sbn_json(capsys, *arguments, "--seed", "5") == first
    assert sbn_json(capsys, *arguments, "--seed", "6") != first


def test_wide_networks_are_compared_with_samples(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--net", "4-16-1", "--networks", "1", "--samples", "200", "--by", "none")
    found = sbn_json(capsys, *arguments, "--reference-samples", "5000", "--estimators", "st,psa")
    assert "5000 samples" in found["result"]["reference"]
    assert all(score["uncertainty"] > 0 for score in found["result"]["scores"])


@pytest.mark.long
def test_along_a_training_run_with_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "figures"
    assert sbn(*QUICK, "--along", "teacher", "--plot", str(folder), "--estimators", "st,psa") == 0
    output = capsys.readouterr()
    assert "training accuracy" in output.out
    assert sorted(path.name for path in folder.iterdir()) == ["errors.png", "training.png"]


@pytest.mark.long
def test_a_figure_for_each_part(tmp_path: Path) -> None:
    assert sbn(*QUICK, "--plot", str(tmp_path)) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {"errors", *study.SWEEPS}
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_choices_are_those_of_the_library() -> None:
    assert command.SWEEPS == study.SWEEPS
    assert command.TASKS == training.TASKS


@pytest.mark.parametrize(
    "arguments",
    [
        ("--net", "6-5"),
        ("--net", "6-0-1"),
        ("--net", "six"),
        ("--gain", "0"),
        ("--gain", "nan"),
        ("--temperature", "-1"),
        ("--samples", "1"),
        ("--by", "colour"),
        ("--along", "cats"),
    ],
)
def test_bad_usage_is_refused(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        sbn(*arguments)
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--loss", "absolute"), "unknown loss 'absolute'"),
        (("--loss", "softmax"), "softmax of one output"),
        (("--noise", "pink"), "unknown noise 'pink'"),
        (("--estimators", "st,magic"), "unknown estimator 'magic'"),
        (("--along", "digits", "--net", "6-5-4-1"), "64 inputs and 10 classes"),
    ],
)
def test_bad_settings_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sbn(*arguments)


def test_figures_need_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.write_text("")
    with pytest.raises(OutputError, match="taken"):
        sbn(*QUICK, "--plot", str(file))
    assert file.read_text() == ""
