"""`sbn export --int8`: what is not binary in 8 bits, from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from sbn_runtime import Session

from ..command import Outcome, sbn
from ..once import once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose first and last layer have real weights, exported with and without 8 bits."""

    def make(folder: Path) -> None:
        checkpoint = folder / "checkpoint.safetensors"
        real = ("--set", "model.first=real", "--set", "model.last=real")
        outcomes = [
            sbn("train", "--out", folder, "--epochs", "2", *real),
            sbn("export", checkpoint, "-o", folder / "plain.onnx"),
            sbn("export", checkpoint, "--int8", "-o", folder / "digits.onnx", "--json"),
        ]
        assert [outcome.status for outcome in outcomes] == [0, 0, 0], outcomes
        (folder / "said.json").write_text(json.dumps(asdict(outcomes[-1])))

    return once(tmp_path_factory, "int8", make)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    return folder / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def exported(folder: Path) -> tuple[Path, Outcome]:
    outcome = Outcome(**json.loads((folder / "said.json").read_text()))
    return folder / "digits.onnx", outcome


def test_export(exported: tuple[Path, Outcome]) -> None:
    path, outcome = exported
    report = outcome.json["int8"]
    assert (report["data"], report["metric"]) == ("digits", "accuracy")
    assert (report["examples"], report["test_examples"]) == (256, 360)
    assert report["after"] >= 0.99 * report["before"]
    assert "in 8 bits, with ranges of 256 examples of digits" in outcome.stderr
    kinds = {layer["name"]: layer["kind"] for layer in outcome.json["layers"]}
    assert {*report["ranges"], *report["float_layers"]} == {"stage1.conv", "head.linear"}
    assert {kinds[name] for name in report["ranges"]} == {"int8"}
    assert path.stat().st_size < path.with_name("plain.onnx").stat().st_size
    assert Session(path).metadata["int8"] == report


def test_validate(checkpoint: Path, exported: tuple[Path, Outcome]) -> None:
    outcome = sbn("validate", exported[0], "--against", checkpoint, "--inputs", "4")
    assert outcome.status == 0, outcome
    assert "layers are in 8 bits: codes may be 0.52 steps from torch's floats" in outcome.stderr


def test_what_the_report_says_is_what_evaluate_finds(exported: tuple[Path, Outcome]) -> None:
    path, outcome = exported
    found = sbn("evaluate", path, "--json").json["scores"]
    assert found["accuracy"] == outcome.json["int8"]["after"]


def test_inspect(exported: tuple[Path, Outcome]) -> None:
    layers = sbn("inspect", exported[0], "--json").json["layers"]
    assert "head.linear" in {layer["name"] for layer in layers if layer["kind"] == "int8"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--int8-ranges", "digits"), "--int8-ranges needs --int8"),
        (("--int8", "-o", "x.tflite"), "--int8 is for ONNX files"),
        (("--int8", "--int8-ranges", "signals"), "contains no 8-bit images"),
        (("--int8", "--int8-ranges", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be(
    checkpoint: Path, arguments: tuple[str, ...], wanted: str, tmp_path: Path
) -> None:
    output = tmp_path / "digits.onnx"
    outcome = sbn("export", checkpoint, "-o", output, *arguments)
    assert outcome.status == 2
    assert wanted in outcome.stderr
    assert not output.exists()


def test_untrained(tmp_path: Path) -> None:
    outcome = sbn("export", "digits-cnn", "--untrained", "--int8", "-o", tmp_path / "x.onnx")
    assert outcome.status == 2
    assert "an untrained network does not have" in outcome.stderr


def test_own_network_needs_data(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\n\nbuild = nn.Flatten\n")
    own = ("export", f"{tmp_path}/net.py:build", "--input", "1x1x2x2", "-o", tmp_path / "x.onnx")
    outcome = sbn(*own, "--int8")
    assert outcome.status == 2
    assert "add --int8-ranges DATA" in outcome.stderr


def test_a_float_network(tmp_path: Path) -> None:
    """Convolutions in 8 bits before a view of their sums: the codes come in torch's layout."""
    twin = ("--twin", "--epochs", "1", "--set", "model.width=8", "--set", "members=1")
    assert sbn("train", *twin, "--out", tmp_path / "twin").status == 0
    checkpoint, path = tmp_path / "twin" / "checkpoint.safetensors", tmp_path / "twin.onnx"
    found = sbn("export", checkpoint, "-o", path, "--int8", "--json")
    assert found.status == 0, found
    assert "stage2.conv" in found.json["int8"]["ranges"]
    assert sbn("validate", path, "--against", checkpoint).status == 0
