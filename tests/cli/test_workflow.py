"""The main job on the command line: train, export, validate, run, measure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from sbn_deploy.data import load
from sbn_deploy.nn import models, storage
from sbn_deploy.train import checkpoint
from sbn_runtime import Session, available_isas

from ..command import COMMAND, sbn
from ..sampled import few
from ..small_models import Classifier
from .conftest import Trained

# Root may write everywhere; without its capabilities it is a user like any other.
AS_USER = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()


def test_train(trained: Trained) -> None:
    assert trained.training.status == 0, trained.training
    assert trained.training.json["checkpoint"] == str(trained.checkpoint)
    assert trained.training.json["metrics"].keys() == {"thresholded", "noisy", "ensemble"}


def test_export(trained: Trained) -> None:
    assert trained.export.status == 0, trained.export
    report = trained.export.json
    assert report["path"] == str(trained.model)
    assert report["file_bytes"] == trained.model.stat().st_size
    assert Session(trained.model).metadata["members"] == report["members"] == 1


def test_ensemble(trained: Trained, tmp_path: Path) -> None:
    output = tmp_path / "ensemble.onnx"
    outcome = sbn(
        *("export", trained.checkpoint, "-o", output),
        *("--weights", "sample", "--members", "3", "--seed", "5"),
    )
    assert outcome.status == 0, outcome
    assert str(output) in outcome.stdout
    session = Session(output)
    metadata = session.metadata
    assert (metadata["weights"], metadata["members"], metadata["seed"]) == ("sample", 3, 5)
    x = load("digits", "test").inputs()
    assert session.run(x)["member_logits"].shape == (3, len(x), 10)


def test_validate(trained: Trained) -> None:
    outcome = sbn(
        *("validate", trained.model, "--against", trained.checkpoint, "--inputs", "4", "--json")
    )
    assert outcome.status == 0, outcome
    assert outcome.json["ok"] is True
    engines = {result["engine"] for result in outcome.json["results"]}
    assert engines >= {f"sbn {name}" for name in available_isas()}


def test_validate_names_the_layer_that_differs(trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.model)
    node = next(n for n in model.graph.node if n.op_type == "DenseThreshold")
    weights = next(t for t in model.graph.initializer if t.name == node.input[1])
    flipped = onnx.numpy_helper.to_array(weights) ^ np.uint64(1)
    weights.CopyFrom(onnx.numpy_helper.from_array(flipped, weights.name))
    onnx.save(model, tmp_path / "spoilt.onnx")
    arguments = ("validate", tmp_path / "spoilt.onnx", "--against", trained.checkpoint)
    outcome = sbn(*arguments, "--inputs", "4", "--json")
    assert outcome.status == 1
    assert "Traceback" not in outcome.stderr
    assert {result["first_layer"] for result in outcome.json["results"]} == {node.name}
    assert node.name in sbn(*arguments, "--inputs", "4").stdout


def test_evaluate_agrees_with_training(trained: Trained) -> None:
    outcome = sbn("evaluate", trained.model, "--data", "digits", "--json")
    assert outcome.status == 0, outcome
    result = outcome.json["scores"]
    assert result["samples"] == len(load("digits", "test"))
    trained_as = trained.training.json["metrics"]["thresholded"]["accuracy"]
    assert result["accuracy"] == pytest.approx(trained_as)
    assert result["accuracy"] == result["correct"] / result["samples"]
    assert result["confidence_low"] < result["accuracy"] < result["confidence_high"]


@pytest.mark.long
def test_sweep_of_an_ensemble(trained: Trained, tmp_path: Path) -> None:
    output = tmp_path / "ensemble.onnx"
    sbn("export", trained.checkpoint, "-o", output, "--weights", "sample", "--members", "3")
    outcome = sbn("evaluate", trained.model, output, "--sweep-samples", "1,2,3,4", "--json")
    assert outcome.status == 0, outcome
    rows = outcome.json["rows"]
    assert [(row["variant"], row["networks"]) for row in rows] == [
        ("digits", 1),
        ("ensemble", 1),
        ("ensemble", 2),
        ("ensemble", 3),
    ]
    one = sbn("evaluate", output, "--json").json["scores"]
    assert rows[-1]["accuracy"] == one["accuracy"]
    assert rows[-1]["nll"] == pytest.approx(one["nll"], rel=1e-5)
    assert outcome.json["ood"] == "digits, noise 0.3"


def test_inspect(trained: Trained) -> None:
    outcome = sbn("inspect", trained.model, "--json")
    assert outcome.status == 0, outcome
    layers, totals = outcome.json["layers"], outcome.json["totals"]
    assert totals["binary_macs"] == sum(layer["binary_macs"] for layer in layers) > 0
    assert totals["file_bytes"] == trained.model.stat().st_size
    assert outcome.json["metadata"]["arch"] == "digits-cnn"
    table = sbn("inspect", trained.model).stdout
    assert all(layer["name"] in table for layer in layers)


@pytest.mark.long
def test_benchmark_against_baselines(trained: Trained) -> None:
    outcome = sbn(
        *("benchmark", trained.model, "--compare", "int8,fp32"),
        *("--runs", "2", "--warmup", "1", "--max-seconds", "2", "--json"),
    )
    assert outcome.status == 0, outcome
    engines = [result["engine"] for result in outcome.json["results"]]
    assert engines == ["sbn", "onnxruntime-int8", "onnxruntime-fp32"]


@pytest.mark.long
def test_demo(tmp_path: Path) -> None:
    outcome = sbn("demo", "--epochs", "1", "--out", tmp_path / "demo")
    assert outcome.status == 0, outcome
    models = {
        "digits-fp32": "fp32 twin",
        "digits-int8": "int8 twin",
        "digits-threshold": "SBN thresholded",
        "digits-ensemble8": "SBN ensemble of 8",
        "digits-noise8": "SBN noise, 8 samples",
    }
    heading, *rows = outcome.stdout.splitlines()
    columns = ["model", "test accuracy", "file size", "p50 ms", "p90 ms", "images/s"]
    assert re.split(r"\s{2,}", heading) == columns
    text = (tmp_path / "demo" / "report.md").read_text()
    for row, name in zip(rows, models.values(), strict=True):
        assert row.startswith(name)
        assert re.sub(r"\s{2,}", " | ", row) in text
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    for comparison in report["comparisons"]:
        assert {point["model"] for point in comparison["points"]} == models.keys()
    assert {evaluated["model"] for evaluated in report["evaluations"]} == models.keys()
    assert [profiled["model"] for profiled in report["profiles"]] == ["digits-threshold"]
    assert (tmp_path / "demo" / "report.html").is_file()


def test_checkpoint_of_another_architecture(trained: Trained, tmp_path: Path) -> None:
    meta = storage.read_header(trained.checkpoint)
    torch.manual_seed(0)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, models.create("digits-cnn", width=8), meta)
    message = sbn("validate", trained.model, "--against", other).refused_after_progress()
    assert str(other) in message


def test_model_that_was_not_exported(trained: Trained, tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "small.onnx")
    message = sbn("validate", model, "--against", trained.checkpoint).refused_after_progress()
    assert "was not exported by sbn-deploy" in message


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_truncated_checkpoint(trained: Trained, tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(trained.checkpoint.read_bytes()[:keep])
    output = tmp_path / "model.onnx"
    assert str(cut) in sbn("export", cut, "-o", output).refused_after_progress()
    assert list(tmp_path.iterdir()) == [cut]


def test_missing_checkpoint(tmp_path: Path) -> None:
    message = sbn("export", tmp_path / "none", "-o", tmp_path / "x.onnx").refused_after_progress()
    assert "none" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "file"),
    few(
        [
            (("export", "any.safetensors", "-o"), "model.onnx"),
            (("train", "--epochs", "1", "--out"), "run"),
        ],
        1,
    ),
)
def test_read_only_folder(arguments: tuple[str, ...], file: str, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(0o555)
    outcome = sbn(*arguments, folder / file, prefix=AS_USER)
    assert str(folder) in outcome.refused_after_progress()
    assert list(folder.iterdir()) == []


def test_output_that_cannot_be(trained: Trained, tmp_path: Path) -> None:
    line = sbn("export", trained.checkpoint, "-o", tmp_path / "none" / "x.onnx").refused()
    assert line == f"{tmp_path / 'none'}: no such folder; create it first"
    line = sbn("export", trained.checkpoint, "-o", tmp_path).refused()
    assert line == f"{tmp_path}: is a folder; name a file in it"


@pytest.mark.long
def test_interrupted_demo(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "demo", "--epochs", "10000", "--out", tmp_path / "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "1/" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "sbn: error: interrupted"
    assert not list(tmp_path.rglob("*.onnx"))
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("package", "verb", "extra"),
    [("torch", "train", "train"), ("onnx", "inspect", "onnx"), ("sklearn", "evaluate", "train")],
)
def test_missing_package(
    package: str, verb: str, extra: str, trained: Trained, tmp_path: Path
) -> None:
    # A module that fails as an absent one does, found before the installed one.
    (tmp_path / f"{package}.py").write_text(
        f'raise ModuleNotFoundError("No module named {package}", name="{package}")\n'
    )
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    arguments = ["--out", tmp_path / "run"] if verb == "train" else [trained.model]
    message = sbn(verb, *arguments, PYTHONPATH=paths).refused()
    assert f"sbn-deploy[{extra}]" in message
