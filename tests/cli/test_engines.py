"""The engines as a user names them: `--engine`, `--compare`, records and reports."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.engines.table import COMPARED, ENGINES
from sbn_deploy.records.files import save
from sbn_runtime import available_isas
from sbn_runtime.engines import ENGINES as RUNTIME

from ..built import ROOT
from ..command import COMMAND, Outcome, sbn
from ..once import once
from ..report import builder
from ..small_models import random_images, write_float_classifier

CHECKPOINT = ROOT / "models/digits-cnn/checkpoint.safetensors"
NETWORK = """
import torch
from torch import nn


class Signs(nn.Module):
    def forward(self, x):
        return torch.where(x >= 0, 1.0, -1.0)


class Net(nn.Module):
    def __init__(self, odd):
        super().__init__()
        self.layer, self.odd = nn.Linear(64, 3, bias=False), odd
        self.layer.weight.data = torch.where(self.layer.weight >= 0, 1.0, -1.0)

    def forward(self, x):
        y = self.layer(Signs()(x.flatten(1)))
        return y.cumsum(1) if self.odd else y


def plain():
    return Net(False)


def odd():
    return Net(True)
"""


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network for digits, exported for engine native."""

    def make(folder: Path) -> None:
        outcome = sbn(
            *("export", CHECKPOINT, "-o", folder / "digits.onnx", "--engine", "native", "--json")
        )
        assert outcome.json["run_in"] == "native"

    return once(tmp_path_factory, "digits-for-native", make) / "digits.onnx"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", random_images(3))
    return tmp_path / "images.npy"


def test_predict(model: Path, images: Path) -> None:
    answers = [sbn("predict", model, images, "--engine", name, "--json").json for name in RUNTIME]
    assert len(answers[0]) == 3
    for found, *others in zip(*answers, strict=True):
        for other in others:
            assert [entry["class"] for entry in other["top"]] == [
                entry["class"] for entry in found["top"]
            ]
            np.testing.assert_allclose(
                [entry["probability"] for entry in other["top"]],
                [entry["probability"] for entry in found["top"]],
                atol=1e-6,
            )


def test_what_is_refused(model: Path, images: Path) -> None:
    refused = sbn("predict", model, images, "--engine", "nativ").refused()
    assert "invalid choice: 'nativ' (choose from" in refused


def test_evaluate_and_what_the_record_says(digits: Path, tmp_path: Path) -> None:
    found = {}
    for engine in ("sbn", "native"):
        options = ("--data", "digits", "--images", "60", "--engine", engine, "--json")
        found[engine] = sbn("evaluate", digits, *options, "-o", tmp_path / "e.json").json
        assert found[engine]["engine"] == engine
    assert found["native"]["scores"]["accuracy"] == found["sbn"]["scores"]["accuracy"]
    swept = sbn("evaluate", digits, "--images", "20", "--sweep-samples", "1", "--engine", "native")
    assert swept.status == 0, swept
    foreign = write_float_classifier(tmp_path / "float.onnx", size="8")
    refused = sbn("evaluate", foreign, "--engine", "native").refused_after_progress()
    assert refused.endswith("has no sbn operators; engine onnxruntime runs it, not native")


def test_validate_has_one_more(digits: Path) -> None:
    outcome = sbn("validate", digits, "--against", CHECKPOINT, "--inputs", "8", "--json")
    assert outcome.status == 0, outcome
    names = [result["engine"] for result in outcome.json["results"]]
    ours = [f"sbn {isa}" for isa in available_isas()]
    assert names == [*ours, "native", "onnxruntime", "onnx reference"]
    assert outcome.json["not_in_native"] == ""


def test_benchmark(model: Path) -> None:
    outcome = sbn(
        *("benchmark", model, "--compare", "native", "--threads", "1,2", "--runs", "10"),
        *("--warmup", "1", "--max-seconds", "1", "--json"),
    )
    assert outcome.status == 0, outcome
    results = outcome.json["results"]
    assert [(r["engine"], r["threads"]) for r in results] == [
        ("sbn", 1),
        ("native", 1),
        ("sbn", 2),
        ("native", 2),
    ]
    by_engine = {result["engine"]: result for result in results[:2]}
    assert by_engine["native"]["file_bytes"] == by_engine["sbn"]["file_bytes"]
    # The process of the one has no onnxruntime in it.
    assert by_engine["native"]["process_bytes"] < by_engine["sbn"]["process_bytes"]


def test_reports_show_it(tmp_path: Path) -> None:
    facts = builder.model("digits")
    cases = [builder.Case(facts, ms, engine=name) for name, ms in (("sbn", 2.0), ("native", 1.0))]
    save(tmp_path / "speed.json", builder.benchmark(cases))
    assert sbn("report", tmp_path / "speed.json", "-o", tmp_path / "report.html").status == 0
    assert ">native</td>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_export_says_what_is_lacking(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    options = ("--input", "1x1x8x8", "--engine", "native")
    for name, runs in (("plain", True), ("odd", False)):
        file = tmp_path / f"{name}.onnx"
        outcome = sbn("export", f"{tmp_path / 'net.py'}:{name}", "-o", file, *options)
        if runs:
            assert outcome.status == 0, outcome
        else:
            line = outcome.refused_after_progress()
            assert line.startswith("engine native cannot run this network: CumSum node '")
            assert "this operator of ONNX is not supported" in line
        assert file.exists() == runs
    odd = tmp_path / "odd.onnx"
    network = f"{tmp_path / 'net.py'}:odd"
    assert sbn("export", network, "-o", odd, *options[:2]).status == 0
    outcome = sbn("validate", odd, "--against", network, "--inputs", "4", "--json")
    assert outcome.status == 0, outcome
    assert "native" not in [result["engine"] for result in outcome.json["results"]]
    assert outcome.json["not_in_native"].startswith("CumSum node '")
    assert "not run by engine native: CumSum node '" in outcome.stderr
    tflite = sbn("export", network, "-o", tmp_path / "odd.tflite", *options)
    assert tflite.refused_after_progress().startswith("--engine is for ONNX files")


def test_doctor() -> None:
    assert sbn("doctor", "--json").json["engines"] == dict.fromkeys(RUNTIME)
    lines = sbn("doctor").stdout.splitlines()
    assert any(line.startswith("native ") and line.endswith("is here") for line in lines)


def test_without_onnxruntime(model: Path, images: Path, tmp_path: Path) -> None:
    """`pip install --no-deps`, and numpy."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['onnxruntime'] = None\n")
    environment = os.environ | {"PYTHONPATH": f"{hidden}:{os.environ.get('PYTHONPATH', '')}"}

    def run(*words: str | Path) -> Outcome:
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    found, wanted = run("predict", model, images, "--json"), sbn("predict", model, images, "--json")
    classes = [[entry["top"][0]["class"] for entry in out.json] for out in (found, wanted)]
    assert classes[0] == classes[1]
    engines = run("doctor", "--json").json["engines"]
    assert engines["native"] is None
    assert engines["sbn"].startswith("engine sbn needs onnxruntime, which is not installed")
    timed = run("benchmark", model, "--runs", "1", "--max-seconds", "1", "--json")
    assert [result["engine"] for result in timed.json["results"]] == ["native"]
    refused = run("evaluate", write_float_classifier(tmp_path / "f.onnx"))
    assert "needs onnxruntime" in refused.refused_after_progress()
    assert run("profile", model).refused() == (
        "`sbn profile` needs onnxruntime, which is not installed: pip install onnxruntime"
    )


def test_the_table() -> None:
    """Names are what they are called everywhere; records of older versions have these."""
    assert {name: row.name for name, row in ENGINES.items()} == {name: name for name in ENGINES}
    assert list(RUNTIME) == ["sbn", "native", "onnxruntime"]
    assert {*ENGINES} == {
        *RUNTIME,
        *("onnxruntime-fp32", "onnxruntime-int8", "lce", "torch"),
    }
    assert list(COMPARED) == ["native", "fp32", "int8", "lce", "torch"]
    for record in (ROOT / "docs/benchmarks").glob("*.json"):
        for result in json.loads(record.read_text()).get("results", ()):
            assert result["engine"] in ENGINES, record
    page = (ROOT / "docs/engines.md").read_text(encoding="utf-8")
    for row in ENGINES.values():
        assert f"| `{row.name}` | {row.shown} |" in page
